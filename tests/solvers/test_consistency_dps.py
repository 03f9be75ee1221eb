"""Consistency-guided DPS: the four cells of the ablation, the algorithm box in plain numbers, and what it refuses."""

import math

import numpy as np
import pytest
import torch
from scalar_gaussian import (
    CONSISTENCY,
    LEVELS,
    MEAN,
    OPERATOR,
    SAMPLES,
    Array,
    Draw,
    Labelled,
    assert_images_are_independent,
    cost,
    slope,
    solve,
    walk,
)
from torch import Tensor, nn

from dis_lightning.noise import NoiseSource
from dis_lightning.posteriors import PosteriorSpread
from dis_lightning.priors import Denoiser, FiniteAtomPrior
from dis_lightning.solvers.consistency_dps import ConsistencyDPS
from dis_lightning.solvers.dps import DPS
from dis_lightning.solvers.lgd import LGD

STEPS = len(LEVELS) - 1


def consistency_dps(
    consistency: Denoiser | None = CONSISTENCY.network, scale: float = 0.2, **arguments: object
) -> ConsistencyDPS:
    return ConsistencyDPS(
        OPERATOR, MEAN.network, LEVELS, consistency=consistency, scale=scale, num_samples=SAMPLES, **arguments
    )


@pytest.mark.parametrize("spread", [0.0, 0.2])
def test_the_walk_is_that_of_the_paper(spread: float) -> None:
    def guide(x: Array, sigma: float, draw: Draw) -> tuple[Array, Array]:
        sample = CONSISTENCY(x, sigma)
        if spread > 0:
            sample = sample + spread * draw()
        return MEAN(x, sigma), 0.2 * sigma * CONSISTENCY.gain(sigma) * slope(sample)

    np.testing.assert_allclose(solve(consistency_dps(spread=spread)), walk(guide), rtol=1e-4, atol=1e-4)


class Unsaid(Denoiser):
    """A posterior mean that does not say that it is one."""

    def __init__(self) -> None:
        super().__init__()
        self.shape = MEAN.network.shape

    def forward(self, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        return MEAN.network(x_t, sigma)


def test_with_the_denoiser_as_its_own_consistency_model_it_is_dps() -> None:
    dps = DPS(OPERATOR, MEAN.network, LEVELS, scale=0.2, num_samples=SAMPLES)
    np.testing.assert_array_equal(solve(consistency_dps(Unsaid(), spread=0.0)), solve(dps))
    with pytest.raises(
        ValueError, match="a consistency map as `consistency`, but GaussianPrior gives a posterior mean"
    ):
        consistency_dps(MEAN.network)


def test_without_consistency_model_it_is_dps_or_with_randomness_lgd() -> None:
    common = {"scale": 0.2, "num_samples": SAMPLES}
    dps = DPS(OPERATOR, MEAN.network, LEVELS, **common)
    np.testing.assert_array_equal(solve(consistency_dps(None, use_consistency=False, spread=0.0)), solve(dps))
    lgd = LGD(OPERATOR, MEAN.network, LEVELS, spread=0.2, **common)
    np.testing.assert_array_equal(solve(consistency_dps(None, use_consistency=False, spread=0.2)), solve(lgd))


def test_the_four_cells_of_the_ablation_differ() -> None:
    cells = [solve(consistency_dps(use_consistency=use, spread=spread)) for use in (False, True) for spread in (0, 0.2)]
    assert all(abs(a - b).max() > 1e-3 for i, a in enumerate(cells) for b in cells[:i])


def test_images_are_independent() -> None:
    assert_images_are_independent(consistency_dps(spread=PosteriorSpread()))


def test_the_gradient_goes_through_the_consistency_model_alone() -> None:
    solver = consistency_dps()
    assert cost(solver, [MEAN.network]) == (STEPS, 0)
    assert cost(solver, [CONSISTENCY.network]) == (STEPS, STEPS)
    alone = consistency_dps(use_consistency=False)
    assert cost(alone, [MEAN.network, CONSISTENCY.network]) == (STEPS, STEPS)


@pytest.mark.parametrize("one", [True, False])
def test_labels_reach_both_networks(one: bool) -> None:
    network = Labelled()
    other = network if one else Labelled()
    solver = ConsistencyDPS(OPERATOR, network, LEVELS, consistency=other, scale=0.0, num_samples=2)
    samples = solver.solve(torch.zeros(2, 2), NoiseSource(0, [0, 1]), labels=torch.tensor([2, 1]))
    torch.testing.assert_close(samples.squeeze(2), torch.tensor([[2.0, 2.0], [1.0, 1.0]]))
    assert solver.denoiser is network
    assert solver.consistency is other


def test_the_consistency_model_is_used_as_it_is() -> None:
    model = FiniteAtomPrior(torch.zeros(1, 1)).consistency_map()
    model.weight = nn.Parameter(torch.ones(1))
    consistency_dps(model.train())
    assert not model.training
    assert not model.weight.requires_grad


def test_a_consistency_model_for_other_images_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must belong to one prior.*\(\(2,\), None\)"):
        consistency_dps(FiniteAtomPrior(torch.zeros(1, 2)).consistency_map())
    with pytest.raises(ValueError, match=r"must belong to one prior.*\(\(1,\), 3\)"):
        consistency_dps(Labelled())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": -1.0}, "ConsistencyDPS needs a finite scale >= 0, but got -1"),
        ({"spread": -0.1}, "finite spread >= 0, but got -0.1"),
        ({"spread": math.nan}, "finite spread >= 0, but got nan"),
    ],
)
@pytest.mark.parametrize("use_consistency", [True, False])
def test_arguments_out_of_range_are_refused(arguments: dict[str, float], message: str, use_consistency: bool) -> None:
    with pytest.raises(ValueError, match=message):
        consistency_dps(use_consistency=use_consistency, **arguments)
