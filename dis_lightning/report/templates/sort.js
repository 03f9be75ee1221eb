"use strict";

// A table's units, its rows or, where a group of rows belongs together, its groups, are put in order by a column. The
// value of a unit is the mean of its cells in the column; a unit without any comes last.

const unitsOf = (table) => [...("groups" in table.dataset ? table.tBodies : table.tBodies[0].rows)];

function valueOf(unit, column, run) {
  const cells = [...unit.querySelectorAll("[data-value]")].filter(
    (cell) => cell.dataset.column === column && (!run || !cell.dataset.run || cell.dataset.run === run),
  );
  const values = cells.map((cell) => cell.dataset.value);
  const numbers = values.map(Number);
  if (numbers.some(Number.isNaN)) return values[0];
  return numbers.length ? numbers.reduce((sum, number) => sum + number) / numbers.length : undefined;
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a === b ? 0 : a - b;
  return String(a).localeCompare(String(b), undefined, { numeric: true });
}

function sort(table, header, descending) {
  const run = "groups" in table.dataset ? (document.getElementById("by")?.value ?? "") : "";
  const keyed = unitsOf(table).map((unit) => [valueOf(unit, header.dataset.column, run), unit]);
  const known = keyed.filter(([value]) => value !== undefined);
  const unknown = keyed.filter(([value]) => value === undefined);
  known.sort(([a], [b]) => (descending ? compare(b, a) : compare(a, b)));
  for (const [, unit] of [...known, ...unknown]) unit.parentNode.append(unit);
  for (const other of table.tHead.querySelectorAll("th")) other.setAttribute("aria-sort", "none");
  header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const name = header.querySelector("button").firstChild.textContent.trim();
  document.getElementById("status").textContent = `Sorted by ${name}, ${descending ? "largest" : "smallest"} first.`;
}

for (const table of document.querySelectorAll("table.sortable")) {
  table.tHead.addEventListener("click", (event) => {
    const header = event.target.closest("button")?.closest("th");
    if (header) sort(table, header, header.getAttribute("aria-sort") === "ascending");
  });
}

document.getElementById("by")?.addEventListener("change", () => {
  const table = document.querySelector("table.gallery");
  const header = table.tHead.querySelector('[aria-sort="ascending"], [aria-sort="descending"]');
  if (header) sort(table, header, header.getAttribute("aria-sort") === "descending");
});
