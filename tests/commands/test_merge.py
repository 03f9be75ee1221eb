"""`dis-lightning merge`: shards of a run, put together, are the run."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from small_run import SMALL, timeless

from dis_lightning.main import main


def sample(folder: Path, *more: str) -> Path:
    main(["predict", *SMALL, f"--writer.folder={folder}", *more])
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`whole`, `0` and `1` (five images in batches of two: 2 and 3 of them), and `scale`, which is made otherwise."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(Path(__file__).parents[2])
        sample(folder / "whole")
        for part in range(2):
            sample(folder / str(part), f"--data.shard={part}/2")
        sample(folder / "scale", "--data.shard=1/2", "--model.scale=0.5")
        sample(folder / "third", "--data.shard=2/3")
    return folder


def merged(runs: Path, output: Path, *names: str) -> Path:
    main(["merge", *(str(runs / name) for name in names), f"--output={output}"])
    return output


@pytest.mark.usefixtures("in_project")
def test_a_metric_that_asks_the_prior_is_computed_again_and_of_shards_too(tmp_path: Path) -> None:
    metric = "--trainer.callbacks+=KernelSteinDiscrepancy"
    for name, words in (("whole", []), ("0", ["--data.shard=0/2"]), ("1", ["--data.shard=1/2"])):
        sample(tmp_path / name, metric, *words)

    def values(folder: Path) -> list[str]:
        with (folder / "results.csv").open() as file:
            return [row["ksd"] for row in csv.DictReader(file)]

    expected = values(tmp_path / "whole")
    assert len(set(expected)) == 5
    assert values(merged(tmp_path, tmp_path / "merged", "0", "1")) == expected
    (tmp_path / "whole" / "results.csv").unlink()
    main(["evaluate", str(tmp_path / "whole")])
    assert values(tmp_path / "whole") == expected


@pytest.mark.usefixtures("in_project")
def test_merged_shards_are_the_whole_run(runs: Path, tmp_path: Path) -> None:
    whole, got = runs / "whole", merged(runs, tmp_path / "merged", "1", "0")
    files = {file.relative_to(whole) for file in whole.rglob("*") if file.is_file()}
    assert {file.relative_to(got) for file in got.rglob("*") if file.is_file()} == files
    assert len(files) == 5 * (2 + 1 + 2 + 1) + 7
    for file in files:
        if file.suffix in (".png", ".npy"):
            assert (got / file).read_bytes() == (whole / file).read_bytes(), file
        elif file.suffix == ".json":
            one, other = (json.loads((run / file).read_text()) for run in (got, whole))
            assert json.dumps(timeless(one)) == json.dumps(timeless(other)), file  # in the same order, too
    one, other = ((run / "config.yaml").read_text() for run in (got, whole))
    assert one.replace(str(got), str(whole)) == other
    one_table, other_table = (
        list(csv.DictReader((run / "results.csv").read_text().splitlines())) for run in (got, whole)
    )
    assert list(map(timeless, one_table)) == list(map(timeless, other_table))


@pytest.mark.usefixtures("in_project")
def test_a_merge_that_was_interrupted_goes_on(runs: Path, tmp_path: Path) -> None:
    output = merged(runs, tmp_path / "merged", "0", "1")
    (output / "records" / "00004.json").unlink()
    (output / "metrics.json").unlink()
    merged(runs, output, "0", "1")
    assert json.loads((output / "metrics.json").read_text())["images"] == 5


@pytest.mark.usefixtures("in_project")
@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["0"], "Shards are missing: 1/2"),
        (["0", "1", "0"], r"overlap: both hold image 0\. Give every shard once"),
        (["0", "1", "third"], r"1 \(shard 1/2\) and .*third \(shard 2/3\) overlap|third .* overlap"),
        (["0", "third"], r"third is shard 2/3, but .*0 is shard 0/2"),
        (["0", "scale"], r"scale has other settings than (?s:.*)model\.init_args\.scale: .* there, 0\.5 here"),
        (["whole", "1"], "whole is not the run of a shard"),
        (["0", "nowhere"], "nowhere/config.yaml does not exist"),
    ],
)
def test_what_is_no_whole_is_refused_before_anything_is_written(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], names: list[str], said: str
) -> None:
    with pytest.raises(SystemExit) as ending:
        merged(runs, tmp_path / "merged", *names)
    assert ending.value.code == 2
    assert re.search(said, capsys.readouterr().err)
    assert not (tmp_path / "merged").exists()


@pytest.mark.usefixtures("in_project")
def test_an_unfinished_shard_and_a_folder_of_another_run_are_refused(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs / "1", tmp_path / "1")
    (tmp_path / "1" / "metrics.json").unlink()
    with pytest.raises(SystemExit, match="2"):
        main(["merge", str(runs / "0"), str(tmp_path / "1"), f"--output={tmp_path / 'merged'}"])
    assert "is not finished" in capsys.readouterr().err
    before = (runs / "scale" / "config.yaml").read_bytes()
    with pytest.raises(SystemExit, match="2"):
        merged(runs, runs / "scale", "0", "1")
    assert "holds a run with another configuration" in capsys.readouterr().err
    assert (runs / "scale" / "config.yaml").read_bytes() == before
    assert yaml.safe_load(before)["data"]["init_args"]["shard"] == "1/2"
