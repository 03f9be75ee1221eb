"""CM4IR against the algorithm box in plain numbers, its levels, and what it begins with."""

import math

import numpy as np
import pytest
import torch
from scalar_gaussian import (
    CONSISTENCY,
    NOISE_STD,
    SAMPLES,
    A,
    Array,
    Y,
    assert_images_are_independent,
    cost,
    solve,
)

from dis_lightning.levels import GrowingSignalLevels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import HDR, AveragePool, MatrixOperator, PhaseRetrieval, RandomInpainting
from dis_lightning.priors import FiniteAtomPrior
from dis_lightning.solvers import CM4IR
from dis_lightning.solvers.functional.proximity import first_guess

LEVELS = GrowingSignalLevels(250, 0.2)
DELTAS = [0.0, 0.3, 0.05, 0.1]


def cm4ir(noise_std: float = NOISE_STD, **arguments: object) -> CM4IR:
    operator = MatrixOperator(torch.tensor(A[:, None]), noise_std=noise_std)
    return CM4IR(operator, CONSISTENCY.network, LEVELS, num_samples=SAMPLES, **arguments)


def linear_signal(step: int) -> float:
    """`abar` of DDPM, by its definition."""
    return float((1 - np.linspace(1e-4, 0.02, 1000)).cumprod()[step])


def paper(noise_std: float, ridge: float, eta: float, deltas: list[float]) -> Array:
    rows = NoiseSource(0, [0]).samples(SAMPLES)

    def draw() -> Array:
        return rows.normal((SAMPLES,)).double().numpy()

    def inverse(y: Array) -> Array:
        return y @ A / (A @ A + ridge * noise_std**2)

    alphas = [linear_signal(251) * 1.2**k for k in range(4)]
    x = inverse(Y) + math.sqrt(1 - alphas[0]) * draw()
    for k, alpha in enumerate(alphas):
        sigma = math.sqrt(1 - alpha)
        x_0 = CONSISTENCY(x, (1 + deltas[k]) * sigma)
        if k == 3 and noise_std > 0:
            return x_0
        minus = (x_0 - x) / sigma
        x = x_0 - inverse(np.outer(x_0, A) - Y)
        if k < 3:
            x = x + math.sqrt(1 - alphas[k + 1]) * (eta * draw() + math.sqrt(1 - eta**2) * minus)
    return x


@pytest.mark.parametrize("noise_std", [NOISE_STD, 0.0])
@pytest.mark.parametrize(("ridge", "eta", "deltas"), [(0.0, 0.1, [0.0] * 4), (3.0, 0.6, DELTAS)])
def test_the_walk_is_that_of_the_paper(noise_std: float, ridge: float, eta: float, deltas: list[float]) -> None:
    solver = cm4ir(noise_std, ridge=ridge, eta=eta, deltas=deltas)
    np.testing.assert_allclose(solve(solver), paper(noise_std, ridge, eta, deltas), rtol=1e-4, atol=1e-4)


def test_levels_are_those_of_the_authors() -> None:
    alphas = [linear_signal(401) * 1.7**k for k in range(4)]
    np.testing.assert_allclose(GrowingSignalLevels(400, 0.7), [*(math.sqrt(1 - a) for a in alphas), 0.0])
    # Settings of inpainting: two levels at the floor of 0.01, where the authors have the same one twice.
    floor = GrowingSignalLevels(150, 0.2)
    np.testing.assert_allclose(floor[2:4], 0.01, rtol=2e-6)
    for wrong in ((-1, 0.2), (999, 0.2), (250, 0.0)):
        with pytest.raises(ValueError, match=r"GrowingSignalLevels needs (start|a finite growth)"):
            GrowingSignalLevels(*wrong)


def test_without_noise_the_result_meets_the_measurement() -> None:
    truth = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    operator = AveragePool(4)
    solver = CM4IR(operator, FiniteAtomPrior(0.5 * truth).consistency_map(), LEVELS)
    samples = solver.solve(operator(truth), NoiseSource(0, [0]))[0]
    torch.testing.assert_close(operator(samples), operator(truth), rtol=0, atol=1e-5)


@pytest.mark.parametrize("per_image", [False, True])
def test_hidden_pixels_begin_at_a_median_of_what_is_seen_around(per_image: bool) -> None:
    """Against a loop over the pixels, which fills in rounds of growing squares as the authors do."""
    operator = RandomInpainting(0.08, per_image=per_image)
    images = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(1)) * 2 - 1
    noise = NoiseSource(0, [0, 1])
    y = operator.measure(images, noise)
    mask = (~y.isnan() if per_image else operator.mask(images).bool().expand_as(y)).numpy()
    filled = first_guess(operator, y, (3, 12, 12), noise).numpy()
    for image in range(2):
        known = np.where(mask[image], images[image].numpy(), np.nan)
        radius = 1
        while np.isnan(known).any():
            radius, before = radius + 1, known.copy()
            for channel, row, column in np.argwhere(np.isnan(known)):
                rows = slice(max(0, row - radius), row + radius + 1)
                around = before[channel, rows, max(0, column - radius) : column + radius + 1]
                seen = np.sort(around[~np.isnan(around)])
                if len(seen):
                    known[channel, row, column] = seen[(len(seen) - 1) // 2]
        np.testing.assert_allclose(filled[image], known)


def test_first_guesses_of_what_is_not_linear() -> None:
    noise = NoiseSource(0, [0])
    image = torch.full((1, 3, 8, 8), 0.2)
    hdr, magnitudes = HDR(noise_std=0.1), PhaseRetrieval(oversample=2.0)
    y = hdr.measure(image, noise)
    assert torch.equal(first_guess(hdr, y, (3, 8, 8), noise), y)
    guess = first_guess(magnitudes, magnitudes(image), (3, 8, 8), NoiseSource(1, [0]))
    assert torch.equal(guess, NoiseSource(1, [0]).normal((1, 3, 8, 8)))


def test_a_broken_measurement_stays_alone() -> None:
    assert_images_are_independent(cm4ir())
    operator = RandomInpainting(0.4, noise_std=0.1)
    y = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    broken = torch.stack([y[0] * torch.nan, y[1]])
    whole, other = (first_guess(operator, value, (3, 8, 8), NoiseSource(0, [0, 1])) for value in (y, broken))
    assert torch.equal(whole[1], other[1])
    assert not other[0].isfinite().all()


def test_a_sample_costs_one_evaluation_per_level_and_no_gradient() -> None:
    assert cost(cm4ir(), [CONSISTENCY.network]) == (4, 0)


@pytest.mark.parametrize("wrong", [{"ridge": -1.0}, {"eta": 1.1}, {"deltas": [0.1]}, {"deltas": [0.0, 0.0, 0.0, -0.1]}])
def test_arguments_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="CM4IR needs"):
        cm4ir(**wrong)
