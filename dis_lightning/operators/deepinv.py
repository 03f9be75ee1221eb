"""Any physics of DeepInverse as an operator.

Tachella et al., "DeepInverse: A Python package for solving imaging inverse problems with deep learning", JOSS 2025,
https://deepinv.github.io. A physics brings `A`, and a linear one its adjoint, pseudo-inverse and proximal operator. The
noise is drawn here, from the streams of the images. A physics is given images in [-1, 1], whatever range it expects.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dis_lightning.deepinv_parts import deepinv_part
from dis_lightning.errors import InvalidValueError
from dis_lightning.operators.base import GaussianOperator, LinearOperator, tensor
from dis_lightning.types import Measurement

__all__ = ["DeepInvLinearPhysics", "DeepInvPhysics"]


class DeepInvPhysics(GaussianOperator):
    """A physics of DeepInverse that need not be linear.

    Args:
        physics: a `deepinv.physics.Physics` without noise of its own, whose measurements are real; or its name, such
            as `Decolorize`, and it is built here (a configuration cannot hold the object).
        noise_std: standard deviation of the noise on `y`.
        arguments: what a physics that is named is built from.

    Raises:
        ModuleNotFoundError: if DeepInverse is not installed.
        TypeError: if it is no physics, or cannot be built from the arguments.
        ValueError: if the physics has noise of its own or, when measuring, cannot take images of that size.
    """

    kind: ClassVar[str] = "Physics"
    """The class of DeepInverse that it must be of."""

    def __init__(
        self, physics: str | nn.Module, noise_std: float = 0.0, arguments: dict[str, Any] | None = None
    ) -> None:
        super().__init__(noise_std)
        self.physics = _built(physics, arguments, self.kind)

    def forward(self, x_0: Tensor) -> Tensor:
        """`A(x_0)` of the physics."""
        return _measured(self.physics, x_0)

    def picture(self, y: Measurement) -> Tensor:
        """The numbers in rows, from the smallest of the measurement (black) to the largest (white)."""
        rows = tensor(y).reshape(len(y), 1, -1, tensor(y).shape[-1])
        smallest, largest = rows.amin(dim=(1, 2, 3), keepdim=True), rows.amax(dim=(1, 2, 3), keepdim=True)
        return (2 * (rows - smallest) / (largest - smallest).clamp(min=1e-12) - 1).expand(-1, 3, -1, -1)


class DeepInvLinearPhysics(DeepInvPhysics, LinearOperator):
    """A linear physics of DeepInverse, with its adjoint and its pseudo-inverse.

    Where DeepInverse has no closed form, it iterates to the tolerance that the physics was built with.

    Args:
        physics: a `deepinv.physics.LinearPhysics` without noise of its own, whose measurements are real; or its name,
            such as `Decolorize`, and it is built here (a configuration cannot hold the object).
        noise_std: standard deviation of the noise on `y`.
        arguments: what a physics that is named is built from.

    Raises:
        ModuleNotFoundError: if DeepInverse is not installed.
        TypeError: if it is no linear physics, or cannot be built from the arguments.
        ValueError: if the physics has noise of its own or, when measuring, cannot take images of that size.
    """

    kind: ClassVar[str] = "LinearPhysics"

    def adjoint(self, y: Tensor) -> Tensor:
        """`A^T y` of the physics."""
        x: Tensor = self.physics.A_adjoint(y)
        return x

    def pseudo_inverse(self, y: Tensor, damping: float = 0.0) -> Tensor:
        """`A^+ y` of the physics or, damped, its proximal operator at 0."""
        x: Tensor = self.physics.prox_l2(0.0, y, gamma=1 / damping) if damping > 0 else self.physics.A_dagger(y)
        return x

    def picture(self, y: Measurement) -> Tensor:
        """The pseudo-inverse, since measurements come in any shape."""
        return self.pseudo_inverse(tensor(y)).clamp(-1, 1)


def _built(physics: str | nn.Module, arguments: dict[str, Any] | None, kind: str) -> Any:
    """A physics of the kind that is named, without noise."""
    built = deepinv_part(physics, arguments, "physics", kind, "--operator.arguments")
    import deepinv.physics as library  # ships no types

    if not isinstance(built.noise_model, library.ZeroNoise):
        raise InvalidValueError(
            f"{type(built).__name__} has noise of its own ({type(built.noise_model).__name__}), which no image's "
            "stream would know; leave noise_model out and give noise_std."
        )
    return built


def _measured(physics: Any, x_0: Tensor) -> Tensor:
    """`A(x_0)` of a physics, which may have been built for images of another size."""
    try:
        y: Tensor = physics.A(x_0)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever the library raises for images that a physics was not made for
        raise InvalidValueError(
            f"The physics {type(physics).__name__} cannot measure images of shape {tuple(x_0.shape[1:])} ({error}). "
            "Build it for images of this shape (its `arguments`, such as img_size), or resize the data."
        ) from error
    return y
