"""Our solvers as reconstructors of DeepInverse: `(y, physics) -> x`, as its benchmarks call them.

Its images `u` are in [0, 1] and ours, `x = 2 u - 1`, in [-1, 1]. A linear physics measures `A u + s n`, so that

    2 y - A 1 = A x + 2 s n

is a linear measurement of ours with noise `2 s`. Of another physics, `A((x + 1) / 2)` is measured.
"""

import copy
from typing import Any

import torch
from torch import Tensor

from dis_lightning.errors import InvalidTypeError, InvalidValueError, MissingPackageError
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import Operator
from dis_lightning.operators.deepinv import DeepInvLinearPhysics, DeepInvPhysics
from dis_lightning.solvers.base import Solver

__all__ = ["as_deepinv"]


class _UnitPhysics(DeepInvPhysics):
    """A physics that measures images in [0, 1], of images in [-1, 1]."""

    def forward(self, x_0: Tensor) -> Tensor:
        """See `DeepInvPhysics`."""
        return super().forward((x_0 + 1) / 2)


def as_deepinv(solver: Solver) -> Any:
    """Give a solver as a `deepinv.models.Reconstructor`.

    Each call binds the physics as the solver's operator, with the noise of its `GaussianNoise`; the operator that the
    solver was built with is not used. Every image of a batch gets the noise streams of image 0, so that a result
    depends on its measurement alone, not on the batch; the solver's `seed` chooses them.

    Args:
        solver: any solver, built with any operator that its prior's images can be measured by.

    Returns:
        A module that maps `y` and a physics to images `(B, C, H, W)` in units of [0, 1]: the mean of the solver's
        `num_samples` posterior samples, which is what PSNR asks for; with one, that sample.

    Raises:
        ModuleNotFoundError: if DeepInverse is not installed.
        TypeError: if it is no solver.
        ValueError: when called, if the noise of the physics is not Gaussian, or the prior's images have another shape.
    """
    try:
        from deepinv.models import Reconstructor  # an extra, slow to import
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            "A reconstructor of DeepInverse needs its package: pip install 'dis-lightning[deepinv]'."
        ) from error
    if not isinstance(solver, Solver):
        raise InvalidTypeError(f"as_deepinv takes a solver, but got {type(solver).__name__}.")

    class SolverReconstructor(Reconstructor):  # type: ignore[misc] # ships no types
        """A solver of dis_lightning."""

        def __init__(self) -> None:
            super().__init__()
            self.solver = solver

        @torch.no_grad()
        def forward(self, y: Tensor, physics: Any, **_: Any) -> Tensor:
            """Reconstruct images."""
            operator, measured = _bound(y, physics, solver.denoiser.shape)
            bound = type(solver)(**{**solver._arguments, "operator": operator}).to(y.device)
            bound.load(y.device)
            noise = NoiseSource(solver.seed, [0] * len(y), y.device)
            images = (bound.solve(measured, noise) + 1) / 2
            return images.mean(dim=1).to(y.dtype)

    return SolverReconstructor()


def _bound(y: Tensor, physics: Any, shape: tuple[int, ...]) -> tuple[Operator, Tensor]:
    """The operator that a physics is for images of ours, and what it measured."""
    import deepinv.physics as library

    noise = physics.noise_model
    if isinstance(noise, library.ZeroNoise):
        std = 0.0
    elif isinstance(noise, library.GaussianNoise):
        levels = torch.as_tensor(noise.sigma).flatten()
        if not (levels == levels[0]).all():
            raise InvalidValueError(f"The images of a batch must have one level of noise, but got {levels.tolist()}.")
        std = float(levels[0])
    else:
        raise InvalidValueError(
            f"Only Gaussian noise is known here, but the physics has {type(noise).__name__}: set its noise_model."
        )
    clean = copy.deepcopy(physics)
    clean.noise_model = library.ZeroNoise()
    if isinstance(physics, library.LinearPhysics):
        ones = torch.ones(1, *shape, device=y.device, dtype=y.dtype)
        return DeepInvLinearPhysics(clean, noise_std=2 * std), 2 * y - clean.A(ones)
    return _UnitPhysics(clean, noise_std=std), y
