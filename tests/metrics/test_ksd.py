from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dis_lightning.images import quantise
from dis_lightning.levels import KarrasLevels
from dis_lightning.metrics import KernelSteinDiscrepancy
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import AveragePool
from dis_lightning.priors import Denoiser, GaussianPrior
from dis_lightning.solvers import Unguided
from dis_lightning.types import Cost, Draws, Reconstruction

IMAGES, SAMPLES, SHAPE = 30, 24, (1, 4, 4)


def prior() -> GaussianPrior:
    """Smooth pictures, far from the borders of the range."""
    place = torch.arange(16.0)
    covariance = 0.04 * (-(place[:, None] - place[None, :]).abs()).exp()
    return GaussianPrior(torch.zeros(SHAPE), covariance)


OPERATOR = AveragePool(factor=2, noise_std=0.3)


def run_of(change: Callable[[Tensor, Tensor], Tensor]) -> tuple[Reconstruction, Unguided]:
    """Exact posterior samples, `(B, S, *shape)`, changed with the posterior means in view, and saved."""
    law, indices = prior(), torch.arange(IMAGES)
    truth = law.sample(NoiseSource(1, indices))
    y = OPERATOR.measure(truth, NoiseSource(0, indices))
    assert isinstance(y, Tensor)
    posteriors = [law.posterior(OPERATOR, one[None]) for one in y]
    exact = [posterior.sample(NoiseSource(2, [index]).samples(SAMPLES)) for index, posterior in enumerate(posteriors)]
    means = torch.stack([posterior.mean for posterior in posteriors])[:, None]
    samples = quantise(change(torch.stack(exact), means).expand(-1, SAMPLES, -1, -1, -1))
    draws = Draws(samples, torch.zeros(IMAGES, SAMPLES, dtype=torch.bool), [Cost(0, 0, 0, 0)] * IMAGES)
    solver = Unguided(OPERATOR, law, KarrasLevels(2), num_samples=SAMPLES)
    return Reconstruction(indices, [""] * IMAGES, quantise(truth), y, draws), solver


def values(change: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    reconstruction, solver = run_of(change)
    metric = KernelSteinDiscrepancy(sigma=0.05, length=0.05)
    metric.prepare(solver, torch.device("cpu"))
    return metric.measure(reconstruction, solver)["ksd"]


def test_exact_posterior_samples_have_none_and_biased_and_collapsed_ones_have_some() -> None:
    exact = values(lambda x, m: x)
    error = float(exact.std() / IMAGES**0.5)
    assert abs(float(exact.mean())) < 4 * error
    wrong: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "elsewhere": lambda x, m: x + 0.3,
        "too narrow": lambda x, m: m + 0.5 * (x - m),
        "too wide": lambda x, m: m + 3 * (x - m),
        "of another measurement": lambda x, m: x.roll(1, dims=0),
        "the posterior mean": lambda x, m: m,
    }
    found = {name: float(values(change).mean()) for name, change in wrong.items()}
    assert min(found.values()) > 4 * error, found
    # The further from the posterior, the larger.
    assert found["the posterior mean"] > found["too narrow"]


def test_a_consistency_map_or_a_measurement_without_density_is_refused() -> None:
    law = prior()
    flow = Unguided(OPERATOR, law.consistency_map(), KarrasLevels(2), num_samples=2)
    with pytest.raises(ValueError, match="needs a posterior mean as `denoiser`"):
        KernelSteinDiscrepancy().prepare(flow, torch.device("cpu"))
    KernelSteinDiscrepancy(prior=law).prepare(flow, torch.device("cpu"))
    exact = Unguided(AveragePool(factor=2), law, KarrasLevels(2), num_samples=2)
    with pytest.raises(ValueError, match="needs noise on the measurement, but AveragePool has noise_std=0"):
        KernelSteinDiscrepancy().prepare(exact, torch.device("cpu"))


def test_one_sample_of_each_image_is_warned_of() -> None:
    alone = Unguided(OPERATOR, prior(), KarrasLevels(2), num_samples=1)
    with pytest.warns(UserWarning, match=r"reports nothing of one; draw two or more \(--model.num_samples\)"):
        KernelSteinDiscrepancy().prepare(alone, torch.device("cpu"))


def test_the_definition_says_whose_score_it_is() -> None:
    assert KernelSteinDiscrepancy().define("ksd")["score"] == "the run's own denoiser"
    score = KernelSteinDiscrepancy(prior=prior()).define("ksd")["score"]
    assert score["class_path"] == "dis_lightning.priors.GaussianPrior"


def test_numbers_that_are_not_positive_are_refused() -> None:
    with pytest.raises(ValueError, match="sigma > 0"):
        KernelSteinDiscrepancy(sigma=0.0)


def test_a_prior_of_other_images_is_refused() -> None:
    other: Denoiser = GaussianPrior(torch.zeros(1, 2, 2), torch.eye(4))
    solver = Unguided(OPERATOR, prior(), KarrasLevels(2), num_samples=2)
    with pytest.raises(ValueError, match=r"\(1, 4, 4\).*\(1, 2, 2\)"):
        KernelSteinDiscrepancy(prior=other).prepare(solver, torch.device("cpu"))
