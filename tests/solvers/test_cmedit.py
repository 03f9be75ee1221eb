"""CMEdit against the merges as they are published: with a mask, and in orthonormal bases."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from linear_gaussian import cost
from torch import Tensor

from dis_lightning.levels import KarrasLevels, Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import AveragePool, LinearOperator, RandomInpainting
from dis_lightning.operators.colorization import Colorization
from dis_lightning.priors import GaussianPrior
from dis_lightning.solvers.cmedit import CMEdit
from dis_lightning.solvers.consistency_sampling import ConsistencySampling

SHAPE = (3, 8, 8)
LEVELS = Levels([80.0, 2.0, 0.002])
ROOT = torch.randn(192, 192, generator=torch.Generator().manual_seed(0), dtype=torch.float64) / 30
PRIOR = GaussianPrior(torch.full(SHAPE, 0.1), ROOT @ ROOT.T + 0.01 * torch.eye(192))
MAP = PRIOR.consistency_map()
REFERENCE = PRIOR.sample(NoiseSource(9, [0]))
OPERATORS = [AveragePool(4, noise_std=0.1), RandomInpainting(0.3, noise_std=0.1), Colorization(noise_std=0.1)]


def name(operator: LinearOperator) -> str:
    return type(operator).__name__


def basis(first: np.ndarray) -> np.ndarray:
    """An orthonormal basis whose first vector is along `first`."""
    square = np.eye(len(first))
    square[:, 0] = first
    q, _ = np.linalg.qr(square)
    return q * np.sign(q[:, :1].sum())


def keep_first(x_0: np.ndarray, reference: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Take the first coefficient from the reference and the others from the image; vectors on the last axis."""
    coefficients = x_0 @ q
    coefficients[..., 0] = (reference @ q)[..., 0]
    return coefficients @ q.T


def by_mask(x_0: np.ndarray, y: np.ndarray) -> np.ndarray:
    mask = RandomInpainting(0.3).mask(torch.zeros(1, *SHAPE)).numpy()
    return mask * y + (1 - mask) * x_0


def by_patches(x_0: np.ndarray, y: np.ndarray) -> np.ndarray:
    def patches(x: np.ndarray) -> np.ndarray:
        return x.reshape(-1, 3, 2, 4, 2, 4).swapaxes(3, 4).reshape(-1, 3, 2, 2, 16)

    merged = keep_first(patches(x_0), patches(y.repeat(4, axis=2).repeat(4, axis=3)), basis(np.full(16, 0.25)))
    return merged.reshape(-1, 3, 2, 2, 4, 4).swapaxes(3, 4).reshape(-1, *SHAPE)


def by_brightness(x_0: np.ndarray, y: np.ndarray) -> np.ndarray:
    weights = np.array([0.2989, 0.5870, 0.1140])
    reference = y[:, 0, :, :, None] * weights / (weights @ weights)  # any colours of that brightness
    colours = keep_first(np.moveaxis(x_0, 1, -1), reference, basis(weights))
    return np.moveaxis(colours, -1, 1)


@pytest.mark.parametrize(
    ("operator", "merge"),
    [(OPERATORS[0], by_patches), (OPERATORS[1], by_mask), (OPERATORS[2], by_brightness)],
    ids=["patches", "mask", "brightness"],
)
def test_the_merge_is_the_published_one(
    operator: LinearOperator, merge: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> None:
    y = operator.measure(REFERENCE, NoiseSource(1, [0]))
    edit = CMEdit(operator, MAP, LEVELS, num_samples=2)
    noise = NoiseSource(0, [0]).samples(2)
    z, z_next = noise.normal((2, *SHAPE)), noise.normal((2, *SHAPE))

    def merged(x_0: Tensor) -> Tensor:
        return torch.from_numpy(merge(x_0.double().numpy(), y.double().numpy())).float()

    x_0 = merged(MAP(80 * z, 80.0))
    x_0 = merged(MAP(x_0 + (2.0**2 - 0.002**2) ** 0.5 * z_next, 2.0))
    torch.testing.assert_close(edit.solve(y, NoiseSource(0, [0]))[0], x_0, rtol=0, atol=2e-5)


@pytest.mark.parametrize("operator", OPERATORS, ids=name)
def test_samples_agree_with_the_measurement_noise_included(operator: LinearOperator) -> None:
    y = operator.measure(REFERENCE, NoiseSource(1, [0]))
    samples = CMEdit(operator, MAP, LEVELS, num_samples=3).solve(y, NoiseSource(0, [0]))[0]
    seen = operator(operator.pseudo_inverse(y))  # hidden pixels hold noise alone
    torch.testing.assert_close(operator(samples), seen.expand_as(operator(samples)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("operator", OPERATORS, ids=name)
def test_what_is_not_measured_stays_the_consistency_model_s(operator: LinearOperator) -> None:
    one_step = Levels([80.0, 0.002])
    y = operator.measure(REFERENCE, NoiseSource(1, [0]))
    edited = CMEdit(operator, MAP, one_step).solve(y, NoiseSource(0, [0]))[0]
    change = edited - ConsistencySampling(operator, MAP, one_step).solve(y, NoiseSource(0, [0]))[0]
    torch.testing.assert_close(change, operator.pseudo_inverse(operator(change)), rtol=0, atol=1e-5)
    assert change.abs().max() > 0.1


def test_the_last_level_of_a_karras_grid_changes_nothing() -> None:
    """There the model is the identity and the merge is idempotent: the published grids may end one level earlier."""
    levels, operator = KarrasLevels(5), OPERATORS[0]
    y = operator.measure(REFERENCE, NoiseSource(1, [0]))
    full, short = (CMEdit(operator, MAP, kept).solve(y, NoiseSource(0, [0])) for kept in (levels, Levels(levels[:-1])))
    torch.testing.assert_close(full, short, rtol=0, atol=1e-5)


def test_a_sample_costs_one_evaluation_per_level_but_the_last() -> None:
    edit = CMEdit(OPERATORS[0], MAP, LEVELS, num_samples=3)
    assert cost(edit, torch.zeros(1, 3, 2, 2)) == (6, 0)
