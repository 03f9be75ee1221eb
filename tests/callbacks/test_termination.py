"""The signals that end a run are taken for its time alone."""

import signal
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch

from dis_lightning.callbacks import Termination, Writer
from dis_lightning.levels import KarrasLevels
from dis_lightning.operators import AveragePool
from dis_lightning.priors import GaussianPrior
from dis_lightning.rooms import RoomsData
from dis_lightning.solvers import Unguided

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)


class Failing(AveragePool):
    """An operator that ends the run by an exception."""

    ends_by: type[BaseException] | None = None

    def forward(self, x_0: torch.Tensor) -> torch.Tensor:
        if self.ends_by is not None:
            raise self.ends_by
        return super().forward(x_0)


def unguided(operator: AveragePool) -> Unguided:
    return Unguided(operator, GaussianPrior(torch.zeros(3, 8, 8), torch.eye(192)), KarrasLevels(2))


class Heard(Exception):  # noqa: N818
    """A signal that came to where it would have without a run."""


@pytest.fixture
def own_handlers() -> Any:
    """Handlers of the program that calls."""

    def hear(number: int, frame: object) -> None:
        raise Heard(number)

    before = {number: signal.signal(number, hear) for number in SIGNALS}
    # A suite that runs in the background was told to ignore it.
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("own_handlers")
@pytest.mark.parametrize("ends_by", [None, RuntimeError, SystemExit, KeyboardInterrupt])
def test_after_a_run_signals_come_to_whom_they_came_before(ends_by: type[BaseException] | None, tmp_path: Path) -> None:
    ending = Termination()
    operator = Failing(4)
    solver = unguided(operator)
    for repeat in range(2):  # with the same callback
        operator.ends_by = ends_by
        quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        callbacks = [ending, Writer(tmp_path / str(repeat))]
        trainer = lightning.Trainer(accelerator="cpu", callbacks=callbacks, **quiet)
        with pytest.raises((RuntimeError, SystemExit)) if ends_by else nullcontext():
            trainer.predict(solver, RoomsData(size=8, num_images=1), return_predictions=False)
        for number in SIGNALS:
            with pytest.raises(Heard):
                signal.raise_signal(number)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_within_a_run_they_end_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Sender(lightning.Callback):
        def on_predict_batch_start(self, *_: object) -> None:
            signal.raise_signal(signal.SIGUSR1)

    solver = unguided(AveragePool(4))
    before = signal.getsignal(signal.SIGUSR1)
    trainer = lightning.Trainer(accelerator="cpu", callbacks=[Termination(), Writer(tmp_path), Sender()], logger=False)
    try:
        with pytest.raises(SystemExit) as ended:
            trainer.predict(solver, RoomsData(size=8, num_images=1), return_predictions=False)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert ended.value.code == 128 + signal.SIGUSR1
    assert "ended by SIGUSR1; the same command goes on" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_while_python_frees_an_object_ends_the_run_at_the_next_batch(tmp_path: Path) -> None:
    class Freed:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGUSR1)

    class Freeing(lightning.Callback):
        def on_predict_batch_start(self, *_: object) -> None:
            Freed()

    solver = unguided(AveragePool(4))
    callbacks = [Termination(), Writer(tmp_path), Freeing()]
    trainer = lightning.Trainer(accelerator="cpu", callbacks=callbacks, logger=False)
    with pytest.raises(SystemExit) as ended:
        trainer.predict(solver, RoomsData(size=8, num_images=3), return_predictions=False)
    assert ended.value.code == 128 + signal.SIGUSR1
    assert len(list(tmp_path.glob("records/*"))) == 1
