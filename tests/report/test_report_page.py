"""The page in a real browser, at the size of a laptop and of a phone."""

import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from runs_by_hand import write_run
from small_run import ROOT, SMALL

from dis_lightning.main import main
from dis_lightning.report import report

SIZES = {"laptop": (1366, 768), "phone": (390, 844)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.fail("The report page is tested in Chromium, which is not installed: apt-get install chromium.")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program)
        yield opened
        opened.close()


class Visit:
    """A page that is open in the browser, with all that it asked for and complained of."""

    def __init__(self, browser: Browser, file: Path, size: str, **context: Any) -> None:
        width, height = SIZES[size]
        self.page: Page = browser.new_page(viewport={"width": width, "height": height}, **context)
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(file.as_uri())

    def texts(self, selector: str) -> list[str]:
        return [text.strip() for text in self.page.locator(selector).all_inner_texts()]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of two small runs, made by the commands."""
    folder = tmp_path_factory.mktemp("real")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        for name, more in (("dps", []), ("mpgd", ["--config=configs/solvers/mpgd.yaml", "--model.levels.steps=5"])):
            main(["predict", *SMALL, *more, f"--writer.folder={folder / name}", "--trainer.enable_progress_bar=false"])
        main(["report", str(folder / "dps"), str(folder / "mpgd")])
    return folder / "report.html"


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of runs whose numbers are known."""
    folder = tmp_path_factory.mktemp("known")
    values = {"a": [10.0, 30.0, math.nan], "b": [26.0, 16.0, math.inf], "c": [5.0, 7.0, 6.0]}
    spreads = {"a": 0.5, "b": 0.7, "c": 0.6}
    runs = [
        write_run(folder / name, {"psnr": psnr, "std": [spreads[name]] * 3}, diverged=(2, 1))
        for name, psnr in values.items()
    ]
    return report(runs, folder / "report.html")


@pytest.mark.parametrize("size", SIZES)
def test_every_image_loads_nothing_else_is_asked_for_and_nothing_is_wrong(
    size: str, browser: Browser, real: Path
) -> None:
    visit = Visit(browser, real, size)
    widths = visit.page.eval_on_selector_all("img", "images => images.map(image => image.naturalWidth)")
    # Five rooms: truth and measurement, and two samples, mean and std of two runs; and the scale of colours.
    assert len(widths) == 5 * (2 + 2 * 4) + 1
    assert min(widths) > 0
    assert visit.requests == [real.as_uri()]
    assert visit.complaints == []


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_as_wide_as_the_window_and_its_text_stands_out(
    size: str, scheme: str, browser: Browser, real: Path
) -> None:
    page = Visit(browser, real, size, color_scheme=scheme).page
    assert page.evaluate("document.documentElement.scrollWidth") == SIZES[size][0]
    channels = "text => text.match(/[0-9.]+/g).slice(0, 3).map(Number)"
    paper, ink = (
        page.evaluate(f"({channels})(getComputedStyle(document.body)['{name}'])")
        for name in ("backgroundColor", "color")
    )
    assert (sum(paper) > 600, sum(ink) > 600) == (scheme == "light", scheme == "dark")


@pytest.mark.parametrize("size", SIZES)
def test_every_button_is_reached_by_tab_and_can_be_seen(size: str, browser: Browser, known: Path) -> None:
    page = Visit(browser, known, size).page
    buttons, reached = page.locator("th button").count(), set()
    for _ in range(60):
        page.keyboard.press("Tab")
        found = page.evaluate(
            """() => {
                const buttons = [...document.querySelectorAll("th button")];
                const box = document.activeElement.getBoundingClientRect();
                return [buttons.indexOf(document.activeElement), box.left >= 0 && box.right <= innerWidth];
            }"""
        )
        if found[0] >= 0:
            assert found[1]
            reached.add(found[0])
    # Two tables of results (run, PSNR, std; run, time, evaluations) and the images' (image, PSNR, std).
    assert reached == set(range(9)) == set(range(buttons))


def test_runs_are_sorted_by_a_key_press_and_back_by_another(browser: Browser, known: Path) -> None:
    visit = Visit(browser, known, "laptop")
    header = visit.page.locator("table.results th", has=visit.page.get_by_role("button", name="PSNR")).first

    def labels() -> list[str]:
        return [text.split("\n")[0] for text in visit.texts("table.results >> nth=0 >> tbody th")]

    assert header.get_attribute("aria-sort") == "none"
    header.locator("button").focus()
    visit.page.keyboard.press("Enter")
    assert (labels(), header.get_attribute("aria-sort")) == (["c", "a", "b"], "ascending")
    visit.page.keyboard.press("Space")
    assert (labels(), header.get_attribute("aria-sort")) == (["b", "a", "c"], "descending")
    assert visit.texts("#status") == ["Sorted by PSNR (dB), largest first."]


def test_the_best_run_is_marked_and_it_alone(browser: Browser, known: Path) -> None:
    visit = Visit(browser, known, "laptop")
    # Means over the finite values: 20, 21 and 6. Spreads have no better direction, and all times are equal.
    assert visit.texts("table.results .best .number") == ["21 ± 5"]
    assert visit.texts("table.results >> nth=0 >> th small") == ["DPS, 3 images, 2 samples each, 1 diverged"] * 3
    # Of every image; the third has no finite number for a, and an infinite one for b.
    assert visit.texts("table.gallery .best") == ["PSNR (dB) 26", "PSNR (dB) 30", "PSNR (dB) inf"]


def images(visit: Visit) -> list[str]:
    return [text.split()[0] for text in visit.texts("table.gallery tr.given th")]


@pytest.mark.parametrize("size", SIZES)
def test_images_are_sorted_by_the_mean_of_the_runs_or_by_one(size: str, browser: Browser, known: Path) -> None:
    visit = Visit(browser, known, size)
    button = visit.page.locator("table.gallery").get_by_role("button", name="PSNR")
    assert images(visit) == ["0", "1", "2"]
    button.click()
    assert images(visit) == ["0", "1", "2"]  # 13.7, 17.7, infinite
    button.click()
    assert images(visit) == ["2", "1", "0"]
    visit.page.get_by_label("Sort by the values of").select_option(label="a")
    assert images(visit) == ["1", "0", "2"]  # 30, 10, none
    button.click()
    assert images(visit) == ["0", "1", "2"]
    visit.page.get_by_label("Sort by the values of").select_option(label="c")
    assert images(visit) == ["0", "2", "1"]  # 5, 6, 7


def test_what_is_made_of_an_image_stays_with_it(browser: Browser, known: Path) -> None:
    visit = Visit(browser, known, "phone")
    visit.page.locator("table.gallery").get_by_role("button", name="image").click(click_count=2)
    assert images(visit) == ["2", "1", "0"]
    assert visit.texts("table.gallery tbody >> nth=0 >> tr:not(.given) th") == ["a", "b", "c"]
    assert visit.texts("table.gallery tbody >> nth=0 >> .diverged") == ["diverged"] * 3


@pytest.mark.parametrize(("size", "in_a_row"), [("laptop", 6), ("phone", 2)])
def test_runs_of_one_sample_stand_side_by_side_with_their_pictures_in_line(
    size: str, in_a_row: int, browser: Browser, tmp_path: Path
) -> None:
    runs = [write_run(tmp_path / f"{'long ' * n}{n}", {"psnr": [1.0 * n]}, samples=1) for n in range(8)]
    data = {"data": {"class_path": "RoomsData"}}
    runs.append(write_run(tmp_path / "several", {"psnr": [9.0]}, samples=2, configuration=data))
    visit = Visit(browser, report(runs, tmp_path / "report.html"), size)
    tops = visit.page.eval_on_selector_all(
        "table.gallery tr.single img", "images => images.map(image => image.getBoundingClientRect().top)"
    )
    rows = [tops.count(top) for top in dict.fromkeys(tops)]
    assert rows == [in_a_row] * (8 // in_a_row) + [8 % in_a_row] * (8 % in_a_row > 0)
    assert visit.page.evaluate("document.documentElement.scrollWidth") == SIZES[size][0]
    assert visit.texts("h1") == ["RoomsData"]  # nine names would be no heading


def test_configurations_are_folded_and_whole(browser: Browser, real: Path) -> None:
    visit = Visit(browser, real, "laptop")
    text = visit.page.locator("pre").first
    assert not text.is_visible()
    visit.page.locator("summary", has_text="dps").press("Enter")
    assert text.inner_text() == (real.parent / "dps" / "config.yaml").read_text()


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({}, "1 run, 1 image."),
        ({"data": {"class_path": "lake.RoomsData"}}, "RoomsData. 1 run, 1 image."),
        ({"data": {"class_path": "RoomsData"}, "operator": {"class_path": "HDR"}}, "HDR of RoomsData. 1 run, 1 image."),
    ],
)
def test_the_head_says_what_is_known_of_the_runs(
    parts: dict[str, Any], expected: str, browser: Browser, tmp_path: Path
) -> None:
    run = write_run(tmp_path, {"psnr": [1.0]}, configuration=parts)
    assert Visit(browser, report([run], tmp_path / "report.html"), "laptop").texts("header .note") == [expected]


def test_a_name_is_text_and_never_markup(browser: Browser, tmp_path: Path) -> None:
    run = write_run(tmp_path / "<img src=x onerror=alert(1)> $a_b$", {"<b>": [1.0, 2.0]})
    visit = Visit(browser, report([run], tmp_path / "report.html"), "phone")
    assert visit.texts("h1") == [run.name]
    assert visit.page.locator("img[src=x], th b").count() == 0
    assert visit.complaints == []


def test_runs_of_different_images_are_not_compared(browser: Browser, tmp_path: Path) -> None:
    runs = [write_run(tmp_path / str(world), {"psnr": [1.0 + world]}, world=world) for world in (0, 1)]
    visit = Visit(browser, report(runs, tmp_path / "report.html"), "laptop")
    assert visit.texts(".warning")[0].startswith("These runs do not have the same images")
    assert visit.page.locator(".best").count() == 0


def test_values_of_different_definitions_are_not_compared(browser: Browser, tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / judge, {"y_miou": [value], "psnr": [value]}, definitions={"y_miou": {"judge": judge}})
        for judge, value in (("kind", 0.9), ("strict", 0.5))
    ]
    visit = Visit(browser, report(runs, tmp_path / "report.html"), "phone")
    note = "y-mIoU: no best is marked, for the runs' definitions differ in judge."
    assert visit.texts(".tables .note") == [note]
    # Neither of the means nor of the image's values.
    assert visit.texts("table.results .best .number") == ["0.9"]
    assert visit.texts("table.gallery .best") == ["PSNR (dB) 0.9"]
    assert visit.page.evaluate("document.documentElement.scrollWidth") == SIZES["phone"][0]


def test_what_a_paper_reports_is_beside_the_value_with_its_source(browser: Browser, tmp_path: Path) -> None:
    reported = {"writer": {"reported": {"source": "Smith 1999, table 1", "psnr": 22.3}}}
    run = write_run(tmp_path / "run", {"psnr": [20.0, 22.0]}, configuration=reported)
    visit = Visit(browser, report([run], tmp_path / "report.html"), "phone")
    assert visit.texts("td .reported") == ["reported 22.3"]
    assert "Reported: Smith 1999, table 1." in visit.texts("#results .note")


def test_the_same_runs_give_the_same_page(known: Path, tmp_path: Path) -> None:
    again = report([known.parent / name for name in "abc"], tmp_path / "report.html")
    assert again.read_bytes() == known.read_bytes()
