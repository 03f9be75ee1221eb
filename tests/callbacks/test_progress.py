"""The progress bar counts images and steps; a log gets a line per batch."""

import io
import re
import sys
from pathlib import Path

import lightning
import pytest
import torch

from dis_lightning.callbacks import SamplingProgress, Writer
from dis_lightning.levels import KarrasLevels
from dis_lightning.operators import AveragePool
from dis_lightning.priors import GaussianPrior
from dis_lightning.rooms import RoomsData
from dis_lightning.solvers import Unguided


def run(*callbacks: lightning.Callback) -> Unguided:
    prior = GaussianPrior(torch.zeros(3, 8, 8), torch.eye(192))
    solver = Unguided(AveragePool(4), prior, KarrasLevels(7))
    quiet = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
    trainer = lightning.Trainer(accelerator="cpu", callbacks=[SamplingProgress(), *callbacks], **quiet)
    trainer.predict(solver, RoomsData(size=8, num_images=5, batch_size=2), return_predictions=False)
    return solver


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal wide enough for bars, that is shown everything."""
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "100")


class Log(io.StringIO):
    """A file of which others see only what was flushed."""

    flushed = ""

    def flush(self) -> None:
        self.flushed = self.getvalue()


@pytest.mark.usefixtures("terminal")
def test_a_terminal_shows_images_and_steps(capsys: pytest.CaptureFixture[str]) -> None:
    solver = run()
    shown = capsys.readouterr().out
    assert "5/5" in shown  # the last batch is smaller
    assert "7/7" in shown
    assert "reused" not in shown
    assert solver.observers == []


@pytest.mark.usefixtures("terminal")
def test_a_bar_has_the_steps_done_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def look(bar: SamplingProgress, state: object) -> None:
        step(bar, state)
        assert bar._bars is not None
        images, steps = bar._bars.tasks
        seen.append((images.completed, images.total, steps.completed, steps.total))

    step = SamplingProgress._on_step
    monkeypatch.setattr(SamplingProgress, "_on_step", look)
    run()
    assert seen == [(images, 5, step, 7) for images in (0, 2, 4) for step in range(1, 8)]


def test_a_log_gets_a_line_at_once_after_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    log, lines = Log(), []
    monkeypatch.setattr(sys, "stdout", log)

    class Reader(lightning.Callback):
        def on_predict_batch_start(self, *_: object) -> None:
            lines.append(log.flushed.splitlines())

    run(Reader())
    assert [re.sub(r"\d+ s$", "t s", line) for line in log.flushed.splitlines()] == [
        "images: 0/5, t s",
        "images: 2/5, t s",
        "images: 4/5, t s",
        "images: 5/5, t s",
    ]
    assert [len(before) for before in lines] == [1, 2, 3]


def test_images_of_an_earlier_run_are_counted_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(Writer(tmp_path))
    (tmp_path / "records" / "00002.json").unlink()  # its batch is computed again: images 2 and 3
    capsys.readouterr()
    run(Writer(tmp_path))
    lines = [line.rpartition(",")[0] for line in capsys.readouterr().out.splitlines() if line.startswith("images: ")]
    assert lines == ["images: 0/5", "images: 2/5 (2 reused)", "images: 4/5 (2 reused)", "images: 5/5 (3 reused)"]


@pytest.mark.usefixtures("terminal")
def test_a_bar_of_images_that_are_all_reused_is_full(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(Writer(tmp_path))
    capsys.readouterr()
    run(Writer(tmp_path))
    shown = capsys.readouterr().out
    assert "images (5 reused)" in shown
    assert "5/5" in shown
