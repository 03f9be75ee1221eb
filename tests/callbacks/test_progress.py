"""The progress bar counts images and steps."""

import lightning
import pytest
import torch

from dis_lightning.callbacks import SamplingProgress
from dis_lightning.levels import KarrasLevels
from dis_lightning.operators import AveragePool
from dis_lightning.priors import GaussianPrior
from dis_lightning.rooms import RoomsData
from dis_lightning.solvers import Unguided


def test_it_shows_images_and_steps(capsys: pytest.CaptureFixture[str]) -> None:
    prior = GaussianPrior(torch.zeros(3, 8, 8), torch.eye(192))
    solver = Unguided(AveragePool(4), prior, KarrasLevels(7))
    bar = SamplingProgress()
    trainer = lightning.Trainer(
        accelerator="cpu", callbacks=[bar], logger=False, enable_checkpointing=False, enable_model_summary=False
    )
    trainer.predict(solver, RoomsData(size=8, num_images=5, batch_size=2), return_predictions=False)

    shown = capsys.readouterr().out
    assert "5/5" in shown  # the last batch is smaller
    assert "7/7" in shown
    assert solver.observers == []
