"""From a configuration to a file of weights."""

import warnings
from pathlib import Path

from lightning import Trainer

from dis_lightning.errors import InvalidValueError
from dis_lightning.files import expanded
from dis_lightning.rooms.training.base import Training
from dis_lightning.rooms.training.data import RoomBatches

__all__ = ["fit"]


def fit(training: Training, batches: RoomBatches, trainer: Trainer, output: Path, resume: Path | None = None) -> None:
    """Train a network and write its averaged weights.

    Args:
        training: the network and its loss: `EDMTraining`, `ConsistencyDistillation`, `ReaderTraining` or
            `CaptionerTraining`.
        batches: the rooms to learn from.
        trainer: how long, how precise, on how many processes, and where checkpoints go.
        output: the safetensors file to write.
        resume: a checkpoint of the same run to go on from, where it exists.

    Raises:
        ValueError: if the run has no number of steps.
    """
    if trainer.max_steps < 1:
        raise InvalidValueError(
            "A fit needs trainer.max_steps, the number of steps; trainer.max_time may end it earlier."
        )
    output, resume = expanded(output), expanded(resume) if resume else None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Found .* module.* in eval mode")  # the average, and a teacher
        trainer.fit(training, batches, ckpt_path=resume if resume and resume.exists() else None, weights_only=True)
    if trainer.is_global_zero:
        training.save(output)
