"""Distillation of a denoiser into a consistency model.

Where the probability flow of the teacher ends is computed, and the model learns to go there at once from every level on
the way, `sigma_max = t_1 > ... > t_N = sigma_min`:

    x_1 = x_0 + t_1 n,    x_(k+1) = one step of the teacher from x_k, t_k to t_(k+1), see `priors.flow`
    L   = E mean_(k<N) sqrt(|(f(x_k, t_k) - x_N) / c_out(t_k)|^2 + c^2) - c

It is the matching of Kim et al., "Consistency Trajectory Models", 2024, with the teacher followed to the very end; at
t_1 alone, it is Luhman and Luhman, "Knowledge Distillation in Iterative Generative Models", 2021. Song et al.,
"Consistency Models", 2023, match neighbouring levels, with the model's own estimate as the target. Here an image
costs a little less, as one way down serves all its levels, and nothing has to travel from level to level: targets are
right from the first step, which is what counts in a short training. The distance is the pseudo-Huber one of Song and
Dhariwal, "Improved Techniques for Training Consistency Models", 2024. Dividing by `c_out` measures it in units of the
raw network's output, so that each level has the same say.
"""

import copy

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError
from dis_lightning.images import dequantise
from dis_lightning.levels import karras
from dis_lightning.priors.base import Denoiser, per_image
from dis_lightning.priors.checkpoints.loading import load_network
from dis_lightning.priors.consistency import ConsistencyModel
from dis_lightning.priors.edm import EDM
from dis_lightning.priors.flow import extended
from dis_lightning.rooms.training.base import Training
from dis_lightning.rooms.training.data import RoomBatch

__all__ = ["ConsistencyDistillation", "consistency_losses", "shifted_levels"]

SIGMA_MIN, SIGMA_MAX, RHO = 0.002, 80.0, 7.0
"""The grid of `KarrasLevels`."""


class ConsistencyDistillation(Training):
    """Train a consistency model from an EDM, starting at its weights.

    Args:
        teacher: where the EDM's network is; see `load_network`.
        steps: number of levels of a way down, N >= 3: each room of a batch gives N - 1 images to learn from.
        softness: `c`: differences smaller than it count squared. The default is that of Song and Dhariwal for images of
            3 x 32 x 32.
        rate: see `Training`.
        warm_up: see `Training`.
        decay_after: see `Training`.
        sharpness: see `Training`.
        seed: see `Training`.

    Raises:
        ValueError: if `steps` is below 3.
    """

    model: ConsistencyModel
    average: ConsistencyModel

    def __init__(
        self,
        teacher: str,
        steps: int = 16,
        softness: float = 0.03,
        rate: float = 5e-4,
        warm_up: int = 50,
        decay_after: int = 1000,
        sharpness: float = 12.0,
        seed: int = 0,
    ) -> None:
        if steps < 3:
            raise InvalidValueError(f"ConsistencyDistillation needs steps >= 3, but got {steps}.")
        network = load_network(teacher)
        super().__init__(ConsistencyModel(copy.deepcopy(network)), rate, warm_up, decay_after, sharpness, seed)
        self.teacher = EDM(network)
        self.steps, self.softness = steps, softness

    def losses(self, rooms: RoomBatch, random: torch.Generator) -> Tensor:
        """See the module."""
        levels = shifted_levels(self.steps, random)
        x_0 = dequantise(rooms.images)
        noise = torch.randn(x_0.shape, generator=random, device=x_0.device)
        with torch.no_grad():
            start = x_0 + levels[0] * noise
            way = [start, *extended(self.teacher, start, levels)]
        sigma = torch.tensor(levels[:-1], device=x_0.device).repeat_interleave(len(x_0))
        _, c_out = self.model.scalings(sigma)
        assert isinstance(c_out, Tensor)
        targets = way[-1].repeat(len(levels) - 1, 1, 1, 1)
        losses = consistency_losses(self.model, torch.cat(way[:-1]), sigma, targets, c_out, self.softness)
        return losses.reshape(-1, len(x_0)).mean(dim=0)


def consistency_losses(
    model: Denoiser, x_t: Tensor, sigma: Tensor, targets: Tensor, scale: Tensor, softness: float
) -> Tensor:
    """How far a model is from the ends of the probability flow.

    Args:
        model: what is judged.
        x_t: noisy images, `(N, C, H, W)`.
        sigma: their levels, `(N,)`.
        targets: where the probability flow takes them, same shape.
        scale: what differences are divided by, `(N,)`.
        softness: `c` > 0.

    Returns:
        Losses, `(N,)`.
    """
    difference: Tensor = (model(x_t, sigma) - targets) / per_image(scale, x_t)
    return (difference.square().sum(dim=(1, 2, 3)) + softness**2).sqrt() - softness


def shifted_levels(steps: int, random: torch.Generator) -> list[float]:
    """The first and the last level of `KarrasLevels`, and between them its levels moved down by a part of a step.

    So every level between the ends is met in training.

    Args:
        steps: number of levels, N >= 3.
        random: source of the shift, which is the same for all.

    Returns:
        Decreasing levels, N of them.
    """
    shift = float(torch.rand((), generator=random, device=random.device))
    between = [karras((number + shift) / (steps - 1), SIGMA_MIN, SIGMA_MAX, RHO) for number in range(steps - 2)]
    return [SIGMA_MAX, *(level for level in between if level < SIGMA_MAX), SIGMA_MIN]
