"""The singular value decomposition of every linear operator that has one, against its dense matrix."""

import pytest
import torch
from torch import Tensor

from dis_lightning.noise import NoiseSource
from dis_lightning.operators import (
    AveragePool,
    BicubicDownsample,
    BoxInpainting,
    Colorization,
    GaussianBlur,
    LinearOperator,
    MatrixOperator,
    MotionBlur,
    RandomInpainting,
)

SHAPE = (3, 8, 12)
NOISE = 0.1


def matrix(rows: int, values: int) -> MatrixOperator:
    generator = torch.Generator().manual_seed(0)
    return MatrixOperator(torch.randn(rows, values, generator=generator, dtype=torch.float64), NOISE, SHAPE)


OPERATORS: dict[str, LinearOperator] = {
    "pool": AveragePool(4, NOISE),
    "bicubic": BicubicDownsample(2, NOISE),
    "blur": GaussianBlur(7, 1.0, NOISE),
    "motion": MotionBlur(5, 0.5, NOISE, seed=1),
    "mask": RandomInpainting(0.4, noise_std=NOISE),
    "mask per image": RandomInpainting(0.4, noise_std=NOISE, per_image=True),
    "box": BoxInpainting(0.5, noise_std=NOISE),
    "grey": Colorization(NOISE),
    "wide matrix": matrix(20, 288),
    "tall matrix": matrix(300, 288),
}


def images(number: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(number, *SHAPE, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("name", OPERATORS)
def test_it_is_an_orthogonal_basis_in_which_measuring_is_to_multiply(name: str) -> None:
    operator = OPERATORS[name]
    x, noise = images(3), NoiseSource(0, range(3))
    y = operator.measure(x, noise)
    assert isinstance(y, Tensor)
    parts = operator.decomposition(x, y)
    c = parts.coefficients(x)
    torch.testing.assert_close(parts.images(c), x, rtol=0, atol=1e-6)
    torch.testing.assert_close(c.abs().square().flatten(1).sum(1), x.square().flatten(1).sum(1), rtol=1e-6, atol=0)
    assert (parts.values >= 0).all()
    # A^T y, and A^T A x, by the operator's own maps.
    blank = torch.zeros_like(x)
    measured = operator.compare(x, y)[0] - operator.compare(blank, y)[0]
    back = parts.images(parts.values * parts.measured(measured))
    torch.testing.assert_close(back, operator.adjoint(measured), rtol=0, atol=1e-6)
    torch.testing.assert_close(parts.images(parts.values**2 * c), operator.adjoint(measured), rtol=0, atol=1e-6)
    # Noise that is white stays white where something is measured: |U^T y| is no longer than y.
    seen = operator.compare(blank, y)[1]
    assert (parts.measured(seen).abs().square().flatten(1).sum(1) <= 1.000001 * seen.square().flatten(1).sum(1)).all()
