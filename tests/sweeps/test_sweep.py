"""Sweeps as real processes on tiny rooms."""

import csv
import math
import os
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from statistics import fmean, stdev

import pytest
import yaml
from small_run import ROOT, SMALL

from dis_lightning.errors import InvalidValueError
from dis_lightning.main import main
from dis_lightning.runs.finished import read_runs
from dis_lightning.sweeps import read_sweep
from dis_lightning.sweeps.results import _nested

GRID = {
    "name": "small",
    "method": "grid",
    "metric": {"name": "metrics/psnr", "goal": "maximize"},
    "parameters": {"model.init_args.scale": {"values": [1.0, -1.0, 4.0]}},
    "command": ["${env}", "dis-lightning", "predict", *SMALL, "${args}"],
}


def written(folder: Path, **changes: object) -> Path:
    file = folder / "sweep.yaml"
    file.write_text(yaml.safe_dump({**GRID, **changes}))
    return file


def start(file: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "dis_lightning", "sweep", str(file), "--output", str(file.parent / "out"), *more]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.usefixtures("in_project")
def test_failing_trial_reports_itself_and_a_killed_sweep_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path)
    first = start(file)
    while not (done := list(tmp_path.glob("out/*/*/metrics.json"))) and first.poll() is None:
        time.sleep(0.1)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    assert done, "the sweep ended before a trial did"
    before = done[0].stat().st_mtime_ns

    again = start(file, "--jobs", "2")
    output = again.communicate()[0]
    assert again.returncode == 0, output
    assert done[0].stat().st_mtime_ns == before
    assert f"{done[0].parent.name} was finished before" in output
    assert output.count("failed with status 2") == 1

    folder = done[0].parents[1]
    with (folder / "trials.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["metrics/psnr"] != "" for row in rows] == [True, True, False]
    assert float(rows[2]["model.init_args.scale"]) == -1.0
    for row in rows[:2]:
        values = [value["psnr"] for value in read_runs([folder / row["trial"]])[0].values.values()]
        assert float(row["metrics/psnr"]) == pytest.approx(fmean(values), rel=1e-12)
        assert float(row["standard_error"]) == pytest.approx(stdev(values) / math.sqrt(5), rel=1e-12)
    assert float(rows[0]["metrics/psnr"]) > float(rows[1]["metrics/psnr"])
    assert (folder / "model.init_args.scale.png").stat().st_size > 0
    assert ">scale=4<" in (folder / "report.html").read_text()
    best = yaml.safe_load((folder / "best.yaml").read_text())
    assert best == {"model": {"init_args": {"scale": float(rows[0]["model.init_args.scale"])}}}
    with pytest.raises(SystemExit, match="0"):
        main(["predict", *SMALL, "--config", str(folder / "best.yaml"), "--print_config"])
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["model"]["init_args"]["scale"] == best["model"]["init_args"]["scale"]


def test_numbers_that_yaml_takes_for_texts_are_numbers(tmp_path: Path) -> None:
    sweep = read_sweep(written(tmp_path, parameters={"a": {"values": ["1e-3", "x", 2]}}))
    assert [values["a"] for values in sweep.values(0)] == [0.001, "x", 2]


def test_another_file_in_the_command_is_another_sweep_and_another_metric_of_a_grid_is_not(tmp_path: Path) -> None:
    base = tmp_path / "base.yaml"
    command = ["dis-lightning", "predict", f"--config={base}", "${args}"]
    found = []
    for content, metric in (("threads: 1", "psnr"), ("threads: 1", "ssim"), ("threads: 2", "psnr")):
        base.write_text(content)
        changes = {"command": command, "metric": {"name": f"metrics/{metric}"}}
        found.append(read_sweep(written(tmp_path, **changes)).fingerprint)
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("words", [["--config=solvers/mine"], ["--config", "solvers/mine"]])
def test_a_configuration_that_is_named_for_short_counts_too(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "configs" / "solvers" / "mine.yaml"
    mine.parent.mkdir(parents=True)
    found = []
    for threads in (1, 2, 1):
        mine.write_text(f"threads: {threads}")
        file = written(tmp_path, command=["dis-lightning", "predict", *words, "${args}"])
        found.append(read_sweep(file).fingerprint)
    assert found[0] == found[2] != found[1]


def test_a_metric_that_no_run_has_ends_the_sweep_at_its_first_trial(tmp_path: Path) -> None:
    ended = start(written(tmp_path, metric={"name": "psnr"}, parameters={"model.scale": {"values": [1.0, 2.0]}}))
    output = ended.communicate()[0]
    assert ended.returncode == 2
    assert "has no metric 'psnr'. Did you mean `metrics/psnr`?" in output
    assert len(list(tmp_path.glob("out/*/*/metrics.json"))) == 1


def test_best_values_are_written_in_one_spelling() -> None:
    values = {"model.num_samples": 2, "model.init_args.scale": 3.0, "data.size": 8}
    assert _nested(values) == {"model": {"init_args": {"num_samples": 2, "scale": 3.0}}, "data": {"size": 8}}


def test_a_sweep_that_is_ended_ends_its_trials_and_the_next_goes_on_with_them(tmp_path: Path) -> None:
    minutes = ["--data.batch_size=1", "--data.num_images=500", "--model.levels.steps=500"]
    long = ["${env}", "dis-lightning", "predict", *SMALL, *minutes, "${args}"]
    first = start(written(tmp_path, command=long))
    while not list(tmp_path.glob("out/*/*/records/*")) and first.poll() is None:
        time.sleep(0.1)
    second = start(tmp_path / "sweep.yaml")
    assert "is at work in" in second.communicate()[0]
    assert second.returncode == 2
    first.terminate()
    time.sleep(0.5)
    first.send_signal(signal.SIGHUP)  # as it waits for its trials, which it does all the same
    output = first.communicate()[0]
    assert first.returncode == 130
    (log,) = tmp_path.glob("out/*/*.log")
    assert f"{log.stem} interrupted\n" in output
    assert "ended by SIGTERM" in log.read_text()
    assert not log.with_suffix(".stopped").exists()

    finished = len(list(tmp_path.glob("out/*/*/records/*")))
    third = start(tmp_path / "sweep.yaml")
    while len(list(tmp_path.glob("out/*/*/records/*"))) == finished and third.poll() is None:
        time.sleep(0.1)
    assert "ended by SIGTERM" not in log.read_text()  # begun anew
    third.kill()
    third.communicate()
    deadline = time.monotonic() + 60
    while "ended by SIGTERM" not in log.read_text():  # with the sweep, not with its 500 images
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_random_draws_are_those_of_the_seed_and_a_longer_sweep_begins_with_them(tmp_path: Path) -> None:
    parameters = {
        "a": {"distribution": "log_uniform_values", "min": 0.01, "max": 100.0},
        "b": {"min": 1, "max": 3},
        "c": {"values": ["x", "y"]},
    }
    long = read_sweep(written(tmp_path, method="random", parameters=parameters, run_cap=2000))
    short = read_sweep(written(tmp_path, method="random", parameters=parameters, run_cap=10))
    draws = list(long.values(3))
    assert list(short.values(3)) == draws[:10] != list(short.values(4))
    early = {"early_terminate": {"type": "hyperband", "min_iter": 2}}
    others = [read_sweep(written(tmp_path, **changes)).fingerprint for changes in ({}, early)]
    assert len({long.fingerprint, short.fingerprint, *others}) == 3
    assert long.fingerprint == short.fingerprint
    logs = [math.log10(draw["a"]) for draw in draws]  # uniform on [-2, 2]: mean 0, standard deviation 4 / sqrt(12)
    assert abs(fmean(logs)) < 4 * (4 / math.sqrt(12)) / math.sqrt(2000)
    assert stdev(logs) == pytest.approx(4 / math.sqrt(12), rel=0.05)
    assert {(draw["b"], draw["c"]) for draw in draws} == {(b, c) for b in (1, 2, 3) for c in "xy"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"method": "rndom"}, "take one of grid, random"),
        ({"method": "random"}, "run_cap"),
        ({"metric": {"goal": "minimize"}}, "metric.name"),
        ({"command": ["predict"]}, "args"),
        ({"parameters": {"a": {"min": 1, "max": 2}}}, "in a grid"),
        ({"parameters": {"a": {"value": 1}, "a.b": {"value": 2}}}, "a.b, which is a part"),
        ({"parameters": {1: {"value": 1}}}, "named by dotted keys"),
        ({"parameters": {"a": {"values": [date(2026, 1, 1)]}}}, "numbers, texts and lists"),
        ({"parameters": {"a": {"values": [1], "distrbution": "uniform"}}}, "Did you mean .distribution"),
        ({"metric": {"name": "metrics/psnr", "gaol": "maximize"}}, "Did you mean .goal"),
        ({"runcap": 3}, "Did you mean .run_cap"),
        ({"run_cap": True}, "run_cap is True"),
        ({"name": "../up"}, "name is that of a folder"),
        ({"method": "random", "run_cap": 2, "parameters": {"a": {"min": float("nan"), "max": 1.0}}}, "finite numbers"),
    ],
)
def test_what_is_no_sweep_is_refused(tmp_path: Path, changes: dict[str, object], told: str) -> None:
    with pytest.raises(InvalidValueError, match=told):
        read_sweep(written(tmp_path, **changes))
