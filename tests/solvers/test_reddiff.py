"""RED-diff against the algorithm box in DDPM's variable with an optimiser of PyTorch, and where it must end."""

import math

import numpy as np
import pytest
import torch
from scalar_gaussian import (
    LEVELS,
    MEAN,
    OPERATOR,
    SAMPLES,
    A,
    Array,
    Y,
    assert_images_are_independent,
    cost,
    solve,
)

from dis_lightning.levels import KarrasLevels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import MatrixOperator
from dis_lightning.priors import FiniteAtomPrior
from dis_lightning.solvers import REDDiff


def red(**arguments: object) -> REDDiff:
    return REDDiff(OPERATOR, MEAN.network, LEVELS, num_samples=SAMPLES, **arguments)


def paper(weight: float, learning_rate: float) -> Array:
    """The loss of the authors, with the variance-preserving image, the noise it holds and a stopped gradient."""
    rows = NoiseSource(0, [0]).samples(SAMPLES)
    mu = torch.full((SAMPLES,), float(A @ Y / (A @ A)), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([mu], lr=learning_rate, betas=(0.9, 0.99))
    for sigma in LEVELS[:-1]:
        abar = 1 / (1 + sigma**2)
        n = rows.normal((SAMPLES,)).double()
        u = math.sqrt(abar) * mu + math.sqrt(1 - abar) * n
        x_0 = torch.from_numpy(MEAN(u.detach().numpy() / math.sqrt(abar), sigma))
        eps = (u - math.sqrt(abar) * x_0) / math.sqrt(1 - abar)
        observed = (torch.tensor(Y) - torch.outer(mu, torch.tensor(A))).square().mean(dim=1) / 2
        inverse_snr = math.sqrt(1 - abar) / math.sqrt(abar)
        loss = weight * inverse_snr * (eps - n).detach() * mu + observed  # per image: Adam does not feel the scale
        optimiser.zero_grad()
        loss.sum().backward()
        optimiser.step()
    return mu.detach().numpy()


@pytest.mark.parametrize(("weight", "learning_rate"), [(0.25, 0.1), (2.0, 0.03)])
def test_the_descent_is_that_of_the_paper(weight: float, learning_rate: float) -> None:
    solver = red(weight=weight, learning_rate=learning_rate)
    np.testing.assert_allclose(solve(solver), paper(weight, learning_rate), rtol=1e-4, atol=1e-4)


def test_what_is_not_seen_goes_to_the_only_image_there_is() -> None:
    """Of a prior of one image the pull is `x - image` at every level, so that hidden pixels end at the image's."""
    image = torch.tensor([[0.5, -0.3]])
    operator = MatrixOperator(torch.tensor([[1.0, 0.0]]))
    solver = REDDiff(operator, FiniteAtomPrior(image), KarrasLevels(400), learning_rate=0.02)
    x = solver.solve(torch.tensor([[0.5]]), NoiseSource(0, [0]))[0]
    torch.testing.assert_close(x, image, rtol=0, atol=0.01)


def test_images_are_independent() -> None:
    assert_images_are_independent(red())


def test_a_result_costs_one_evaluation_per_level_and_no_gradient() -> None:
    assert cost(red(), [MEAN.network]) == (len(LEVELS) - 1, 0)


@pytest.mark.parametrize("wrong", [{"weight": 0.0}, {"weight": math.inf}])
def test_arguments_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="REDDiff needs a finite weight > 0"):
        red(**wrong)
