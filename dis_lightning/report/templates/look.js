// A picture is enlarged in a dialog, which Esc closes; arrows go to the one before or after it on the page.

const dialog = document.getElementById("large");
const large = new Image();
dialog.prepend(large);
let picture;

function look(at) {
  picture = at;
  const small = at.querySelector("img");
  large.src = small.src;
  large.alt = small.alt;
  large.className = small.className;
  dialog.querySelector("p").textContent = small.alt;
}

function step(by) {
  const all = [...document.querySelectorAll("button.picture")];
  look(all[(all.indexOf(picture) + by + all.length) % all.length]);
}

document.querySelector("main").addEventListener("click", (event) => {
  const button = event.target.closest("button.picture");
  if (!button) return;
  look(button);
  dialog.showModal();
});

dialog.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.value) step(Number(button.value));
  else if (button || event.target === dialog) dialog.close(); // the dialog itself is what lies around its content
});

dialog.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});

dialog.addEventListener("close", () => picture.focus());

// What is wider than the window says so at its edges.

for (const box of document.querySelectorAll(".scroll")) {
  const mark = () => {
    const hidden = box.scrollWidth - box.clientWidth - box.scrollLeft;
    box.parentNode.classList.toggle("more-left", box.scrollLeft > 1);
    box.parentNode.classList.toggle("more-right", hidden > 1);
  };
  box.addEventListener("scroll", mark);
  new ResizeObserver(mark).observe(box);
}
