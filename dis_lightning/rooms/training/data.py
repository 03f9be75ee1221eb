"""Batches of rooms, each a pure function of seed and step."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from dis_lightning.errors import InvalidValueError
from dis_lightning.rooms.training.album import Album, album

__all__ = ["RoomBatch", "RoomBatches"]


class RoomBatch(NamedTuple):
    """N rooms, all 8 bit; see `Album` for the meaning of the values."""

    images: Tensor
    """Pictures, `(N, 3, H, W)`."""
    segmentation: Tensor
    """`(N, H, W)`."""
    layout: Tensor
    """`(N, H, W)`."""
    labels: Tensor
    """`(N,)`."""
    facts: Tensor
    """`(N, 6)`."""


class RoomBatches(lightning.LightningDataModule):
    """Endless batches of rooms, drawn with replacement.

    Args:
        num_images: size of the album that batches are drawn from.
        batch_size: rooms per step, shared by all processes.
        part: first and last-plus-one room of the album that may be drawn; all if not given.
        split: see `render_room`.
        size: side of the pictures in pixels.
        seed: key of the draws.
        folder: where rendered rooms are kept, see `album`.

    Raises:
        ValueError: if `part` is no part of the album.
    """

    def __init__(
        self,
        num_images: int = 48000,
        batch_size: int = 32,
        part: tuple[int, int] | None = None,
        split: str = "train",
        size: int = 32,
        seed: int = 0,
        folder: Path | None = None,
    ) -> None:
        super().__init__()
        self.part = part or (0, num_images)
        if not 0 <= self.part[0] < self.part[1] <= num_images:
            raise InvalidValueError(f"A part of an album of {num_images} rooms was needed, but got part={part}.")
        self.num_images, self.batch_size, self.split, self.size = num_images, batch_size, split, size
        self.seed, self.folder = seed, folder

    def prepare_data(self) -> None:
        """Render the album, once for all processes."""
        self._album()

    def train_dataloader(self) -> DataLoader[RoomBatch]:
        """Batches from the step that the run has reached."""
        trainer = self.trainer
        assert trainer is not None
        draws = _Draws(self._album(), self.part, self.batch_size, self.seed, trainer.global_rank, trainer.world_size)
        return DataLoader(draws, batch_size=None, sampler=_StepsFrom(trainer))

    def _album(self) -> Album:
        return album(self.split, self.num_images, self.size, folder=self.folder)


class _Draws(Dataset[RoomBatch]):
    """The rooms of each step, one process's share of them."""

    def __init__(
        self, rooms: Album, part: tuple[int, int], batch_size: int, seed: int, rank: int, world_size: int
    ) -> None:
        self.rooms, self.part, self.batch_size, self.seed = rooms, part, batch_size, seed
        self.share = slice(rank, None, world_size)

    def __getitem__(self, step: int) -> RoomBatch:
        indices = np.random.default_rng((self.seed, step)).integers(*self.part, size=self.batch_size)[self.share]
        return RoomBatch(*(torch.from_numpy(page[indices]) for page in self.rooms))


class _StepsFrom(Sampler[int]):
    """The steps of a run that are still to be done; its length counts all, as Lightning wants it."""

    def __init__(self, trainer: lightning.Trainer) -> None:
        self.trainer = trainer

    def __len__(self) -> int:
        return self.trainer.max_steps

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.trainer.global_step, self.trainer.max_steps))
