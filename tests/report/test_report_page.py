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
    distances = {"a": 0.5, "b": 0.75, "c": 0.625}
    runs = [
        write_run(folder / name, {"psnr": psnr, "lpips_alex": [distances[name]] * 3}, diverged=(2, 1))
        for name, psnr in values.items()
    ]
    return report(runs, folder / "report.html")


@pytest.mark.parametrize("size", SIZES)
def test_every_image_loads_nothing_else_is_asked_for_and_nothing_is_wrong(
    size: str, browser: Browser, real: Path
) -> None:
    visit = Visit(browser, real, size)
    widths = visit.page.eval_on_selector_all("img", "images => images.map(image => image.naturalWidth)")
    # Two rooms at first: truth, measurement and a sample of two runs. Then five: truth and measurement, and two
    # samples, mean and std of two runs; the scale of colours; and the picture that is enlarged, for now none.
    assert len(widths) == 2 * (2 + 2) + 5 * (2 + 2 * 4) + 1 + 1
    assert widths.pop() == 0
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
    for _ in range(100):
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
    # Two tables of results (run, PSNR, LPIPS; run, time, evaluations) and the images' (image, PSNR, LPIPS).
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
    # The means of PSNR, over the finite values, are not over the same images; all times are equal.
    assert visit.texts("table.results .best .number") == ["0.5"]
    assert visit.texts(".tables .note")[0].startswith("PSNR (dB): no best is marked, for the means are over different")
    assert visit.texts("table.results >> nth=0 >> th small") == ["DPS, 3 images, 2 samples each, 1 diverged"] * 3
    # Of every image; the third has no finite number for a, and an infinite one for b.
    assert visit.texts("table.gallery .best") == [
        *("LPIPS alex 0.5", "PSNR (dB) 26"),
        *("PSNR (dB) 30", "LPIPS alex 0.5"),
        *("LPIPS alex 0.5", "PSNR (dB) inf"),
    ]


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


def test_runs_of_different_measurements_are_said_to_be_such(browser: Browser, tmp_path: Path) -> None:
    runs = [
        write_run(
            tmp_path / str(factor),
            {"psnr": [30.0 - factor]},
            configuration={"operator": {"class_path": "AveragePool", "init_args": {"factor": factor}}},
        )
        for factor in (4, 8)
    ]
    visit = Visit(browser, report(runs, tmp_path / "report.html"), "laptop")
    assert visit.texts(".warning")[0].startswith(
        "These runs do not have the same measurements (operator.init_args.factor)"
    )


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


def shown(what: str, image: int = 0) -> str:
    """How a picture of an image is called."""
    side = 2 if what == "measurement" else 8
    return f"{what}: {image} test/{image}, {side} \N{MULTIPLICATION SIGN} {side} pixels"


def test_pictures_come_before_the_tables_and_stay_small_in_number(browser: Browser, known: Path) -> None:
    visit = Visit(browser, known, "laptop")
    first = visit.page.locator(".first img")
    assert [first.nth(n).get_attribute("alt") for n in range(first.count())] == [
        shown(what, image)
        for image in (0, 1)
        for what in ("truth", "measurement", *(f"sample 0 of {run}" for run in "abc"))
    ]
    top = [visit.page.locator(place).first.bounding_box() for place in (".first img", "table.results")]
    assert top[0]["y"] < top[1]["y"]
    assert first.first.bounding_box()["width"] == 128


@pytest.mark.parametrize("size", SIZES)
def test_a_picture_is_enlarged_by_a_key_or_a_click_and_escape_goes_back_to_it(
    size: str, browser: Browser, known: Path
) -> None:
    visit = Visit(browser, known, size)
    large = visit.page.locator("#large")
    opener = visit.page.locator("table.gallery button.picture").nth(2)
    assert not large.is_visible()
    opener.focus()
    visit.page.keyboard.press("Enter")
    assert visit.texts("#large p") == [shown("sample 0 of a")]
    picture = large.locator("img")
    assert picture.get_attribute("src") == opener.locator("img").get_attribute("src")
    box = picture.bounding_box()
    assert box is not None
    assert 300 < box["width"] == box["height"] <= SIZES[size][0]
    visit.page.keyboard.press("ArrowRight")
    assert visit.texts("#large p") == [shown("sample 1 of a")]
    visit.page.keyboard.press("ArrowLeft")
    visit.page.keyboard.press("Escape")
    assert not large.is_visible()
    assert opener.evaluate("button => button === document.activeElement")
    visit.page.locator(".first button.picture").first.click()
    assert visit.texts("#large p") == [shown("truth")]
    large.get_by_role("button", name="next picture").click()
    assert visit.texts("#large p") == [shown("measurement")]
    large.get_by_role("button", name="Close").click()
    assert not large.is_visible()
    assert (visit.requests, visit.complaints) == ([known.as_uri()], [])


def sign(visit: Visit) -> list[str]:
    """What is drawn over the right edge of each table of results."""
    return visit.page.eval_on_selector_all(
        ".wide:has(table.results)",
        "boxes => boxes.map(box => getComputedStyle(box, '::after').content.replaceAll('\"', ''))",
    )


def test_a_table_that_goes_on_beyond_the_edge_of_a_phone_says_so(browser: Browser, tmp_path: Path) -> None:
    values = {name: [1.0, 2.0] for name in ("psnr", "psnr_of_mean", "ssim", "ssim_of_mean")}
    page = report([write_run(tmp_path, values)], tmp_path / "report.html")
    assert sign(Visit(browser, page, "laptop")) == ["none", "none"]
    visit = Visit(browser, page, "phone")
    visit.page.wait_for_selector(".more-right")
    assert sign(visit) == ["\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}", "none"]
    visit.page.locator(".scroll").first.evaluate("box => box.scrollLeft = 40")
    visit.page.wait_for_selector(".more-left.more-right")
    visit.page.locator(".scroll").first.evaluate("box => box.scrollLeft = 10000")
    visit.page.wait_for_selector(".more-left:not(.more-right)")
    assert sign(visit) == ["none", "none"]


def test_a_coverage_stands_beside_what_it_should_be(browser: Browser, tmp_path: Path) -> None:
    level = {"title": "coverage", "better": "neither", "level": 1 / 3}
    run = write_run(tmp_path, {"coverage": [0.25, 0.27]}, section="set", definitions={"coverage": level})
    visit = Visit(browser, report([run], tmp_path / "report.html"), "phone")
    assert visit.texts("td .level") == ["should be 0.3333"]
    assert "0.260 ± 0.010, should be 0.3333" in (tmp_path / "report.md").read_text()


def test_a_value_that_is_missing_is_a_dash_with_the_reason_below(browser: Browser, tmp_path: Path) -> None:
    missing = {"mean": None, "standard_error": None, "images": 0, "infinite": 0, "missing": "all samples diverged"}
    one, other = ({"fid": missing}, {"fid": {**missing, "mean": 5.0}})
    runs = [write_run(tmp_path / name, {"psnr": [1.0]}, set=part) for name, part in (("a", one), ("b", other))]
    nothing = {name: {**missing, "missing": ""} for name in ("ssim", "kid")}
    runs.append(write_run(tmp_path / "c", {"psnr": [1.0]}, set=nothing))
    visit = Visit(browser, report(runs, tmp_path / "report.html"), "laptop")
    assert visit.texts("table.results >> nth=1 >> td .number") == ["-", "-", "-", "5", *"-----"]
    notes = ["No FID of a: all samples diverged.", "No SSIM, KID of c: no image has one."]
    assert [note for note in visit.texts(".tables .note") if note.startswith("No ")] == notes
    assert all(note in (tmp_path / "report.md").read_text() for note in notes)


def test_what_a_value_of_few_images_is_worth_is_said_once(browser: Browser, tmp_path: Path) -> None:
    caution = {"title": "KID", "better": "lower", "caution": "Of 16 images it may be negative by chance."}
    value = {"kid": {"mean": -0.39, "standard_error": 0.05, "images": 16, "infinite": 0}}
    runs = [write_run(tmp_path / n, {"psnr": [1.0]}, set=value, definitions={"kid": caution}) for n in "ab"]
    visit = Visit(browser, report(runs, tmp_path / "report.html"), "phone")
    assert visit.texts(".tables .note") == ["Of 16 images it may be negative by chance."]


def test_samples_that_were_clamped_are_spoken_of_where_they_are_many(browser: Browser, tmp_path: Path) -> None:
    shares = {"few": 0.01, "many": 0.62}
    runs = [
        write_run(tmp_path / name, {"psnr": [1.0]}, clamped={"mean": share, "largest": share})
        for name, share in shares.items()
    ]
    visit = Visit(browser, report(runs, tmp_path / "report.html"), "phone")
    said = "many: 62% of the values of the samples lay outside [-1, 1]; is the guidance too strong?"
    assert visit.texts(".tables .note") == [said]


def test_one_unit_of_standard_deviations_is_in_the_table_and_under_the_pictures(browser: Browser, real: Path) -> None:
    visit = Visit(browser, real, "laptop")
    assert "std (grey levels)" in visit.texts("table.results thead th")
    assert "std in grey levels of 0 to 255: 0" in visit.texts("#images .note")[0]


def test_definitions_are_read_sentence_by_sentence(browser: Browser, tmp_path: Path) -> None:
    ssim = {"what": "SSIM of pictures", "borders": "left out", "weights_sha256": "0123456789abcdef", "title": "SSIM"}
    own = {"fid": {"what": "distance", "reference": "own", "title": "FID", "better": "lower"}}
    folder = {"fid": {**own["fid"], "reference": "a folder"}}
    common = {"ssim": {**ssim, "better": "higher"}}
    values = {"ssim": [1.0], "fid": [1.0]}
    runs = [write_run(tmp_path / name, values, definitions=common | part) for name, part in (("a", own), ("b", folder))]
    visit = Visit(browser, report(runs, tmp_path / "report.html"), "phone")
    visit.page.locator("summary", has_text="How the metrics are defined").click()
    assert visit.texts("dt") == ["SSIM (ssim)", "FID (fid) of a", "FID (fid) of b"]
    assert visit.texts("dd")[0].split("\n") == ["SSIM of pictures", "borders left out; weights sha256 0123456789ab…"]
    assert visit.page.evaluate("document.documentElement.scrollWidth") == SIZES["phone"][0]


def test_a_run_without_clean_images_has_a_page_without_them(browser: Browser, tmp_path: Path) -> None:
    run = write_run(tmp_path, {"y_mse": [1.0, 2.0]}, section="consistency", truth=False)
    visit = Visit(browser, report([run], tmp_path / "report.html"), "phone")
    captions = visit.texts(".first figcaption")
    assert captions == ["measurement", "sample 0"] * 2
    assert "truth" not in visit.page.inner_text("main")
    assert visit.complaints == []
