"""Noise from one stream for all rows: the same law as `NoiseSource`, and quicker where there are thousands."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dis_lightning.noise import NoiseSource

__all__ = ["OneStream"]


class OneStream(NoiseSource):
    """One stream for any number of rows."""

    def __init__(self, seed: int = 0, device: torch.device | str = "cpu") -> None:
        super().__init__(seed, [0], device)

    def normal(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.randn(tuple(shape), generator=self._generators[0], dtype=dtype).to(self.device)
