"""Trials that fall behind, that diverge, and that W&B's agent starts; as real processes."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import yaml
from lightning import Trainer
from lightning.pytorch.loggers import CSVLogger
from small_run import ROOT, SMALL

from dis_lightning.callbacks import RunningMeans, Writer
from dis_lightning.levels import KarrasLevels
from dis_lightning.metrics import default_metrics
from dis_lightning.operators import AveragePool
from dis_lightning.rooms import RoomsData, rooms_gaussian
from dis_lightning.runs.finished import read_runs
from dis_lightning.solvers import DPS


def written(folder: Path, **changes: Any) -> Path:
    content = {
        "name": "small",
        "method": "grid",
        "metric": {"name": "metrics/psnr", "goal": "maximize"},
        "parameters": {"model.init_args.scale": {"values": [8.0, 1e38, 0.001]}},
        "command": ["${env}", "dis-lightning", "predict", *SMALL, "--data.batch_size=1", "${args}"],
    }
    file = folder / "sweep.yaml"
    file.write_text(yaml.safe_dump({**content, **changes}))
    return file


def test_trials_that_fall_behind_or_diverge_are_ended(tmp_path: Path) -> None:
    slow = ["--data.num_images=12", "--model.levels.steps=600"]
    early = {"type": "hyperband", "min_iter": 2, "eta": 3}
    scales = {"model.init_args.scale": {"values": [1e38, 8.0, 0.001, 2e38]}}
    command = ["${env}", "dis-lightning", "predict", *SMALL, "--data.batch_size=1", *slow, "${args}"]
    file = written(tmp_path, early_terminate=early, command=command, parameters=scales)
    words = [sys.executable, "-m", "dis_lightning", "sweep", str(file), f"--output={tmp_path / 'out'}"]
    told = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (folder,) = (tmp_path / "out").iterdir()
    with (folder / "trials.csv").open() as stream:
        rows = {float(row["model.init_args.scale"]): row for row in csv.DictReader(stream)}
    assert rows[8.0]["state"] == "finished"
    assert rows[1e38]["state"] == "finished, 24 samples diverged"
    assert "batches: metrics/psnr is" in rows[0.001]["state"]
    assert "batches: metrics/psnr has no value" in rows[2e38]["state"]
    assert [rows[scale]["metrics/psnr"] for scale in (1e38, 0.001, 2e38)] == ["", "", ""]
    assert "24 samples diverged" in told
    assert "no longer among the best" in told
    finished = read_runs([folder / rows[8.0]["trial"]])[0]
    values = [value["psnr"] for value in finished.values.values()]
    lines = [json.loads(line) for line in (folder / f"{rows[8.0]['trial']}.jsonl").read_text().splitlines()]
    assert [line["images"] for line in lines] == list(range(1, 13))
    assert [line["metrics/psnr"] for line in lines] == pytest.approx([fmean(values[:n]) for n in range(1, 13)])
    assert 2 <= len(list((folder / rows[0.001]["trial"] / "records").iterdir())) < 12  # nothing is lost
    assert (folder / "report.html").exists()

    again = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert again.count("was finished before") == 2
    assert again.count("was stopped after") == 2


def test_bayes_runs_as_many_trials_as_it_is_told_and_goes_on(tmp_path: Path) -> None:
    parameters = {"model.init_args.scale": {"distribution": "log_uniform_values", "min": 0.1, "max": 10.0}}
    for cap in (1, 2):
        file = written(tmp_path, method="bayes", run_cap=cap, parameters=parameters)
        words = [sys.executable, "-m", "dis_lightning", "sweep", str(file), f"--output={tmp_path / 'out'}", "--jobs=2"]
        told = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert told.count(" finished\n") == 1
    (folder,) = (tmp_path / "out").iterdir()
    with (folder / "trials.csv").open() as stream:
        assert len({row["model.init_args.scale"] for row in csv.DictReader(stream)}) == 2


def test_the_agent_of_wandb_runs_the_command_of_a_file(tmp_path: Path) -> None:
    folder = f"{tmp_path}/out/${{WANDB_SWEEP_ID}}/${{WANDB_RUN_ID}}"
    own = ["--config=loggers/wandb", "--config=callbacks/running_means", f"--writer.folder={folder}"]
    file = written(
        tmp_path, program="dis-lightning", command=["${env}", "dis-lightning", "predict", *SMALL, *own, "${args}"]
    )
    runs = [["first", {"model.init_args.scale": 1.0}], ["second", {"model.init_args.scale": 4.0}]]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    environment |= {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "WANDB_SILENT": "true"}
    environment |= {"WANDB_SWEEP_ID": "sweep", "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}"}
    words = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("agent.py")), str(file)]
    for again in (runs, runs[:1]):  # the second time it is there already
        (tmp_path / "runs.json").write_text(json.dumps(again))
        done = subprocess.run(
            [*words, str(tmp_path / "runs.json")],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert f"finished {len(again)}, failed 0" in done.stdout, done.stdout + done.stderr
        records = sorted((tmp_path / "out" / "sweep").glob("*/records/*.json"))
        assert len(records) == 10
        times = [record.stat().st_mtime_ns for record in records]
    assert times == [record.stat().st_mtime_ns for record in records]
    scales = [
        yaml.safe_load((tmp_path / "out" / "sweep" / name / "config.yaml").read_text())["model"]["init_args"]["scale"]
        for name, _ in runs
    ]
    assert scales == [1.0, 4.0]


def test_loggers_get_the_means_so_far_by_their_final_names(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, name="log", flush_logs_every_n_steps=1)
    solver = DPS(AveragePool(4, noise_std=0.1), rooms_gaussian(8, 30), KarrasLevels(4), scale=1.0, num_samples=2)
    trainer = Trainer(
        accelerator="cpu",
        logger=logger,
        callbacks=[RunningMeans(), *default_metrics(), Writer(tmp_path / "run")],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.predict(solver, RoomsData(size=8, num_images=5, batch_size=2), return_predictions=False)
    values = [value["psnr"] for value in read_runs([tmp_path / "run"])[0].values.values()]
    with (Path(logger.log_dir) / "metrics.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["metrics/psnr"]]
    steps = {int(row["step"]): float(row["metrics/psnr"]) for row in rows[:3]}
    assert steps == {n: pytest.approx(fmean(values[:n])) for n in (2, 4, 5)}
