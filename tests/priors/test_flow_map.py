"""The integrated probability flow against closed forms, and its order of convergence."""

import math
from typing import Self

import pytest
import torch
from torch import Tensor

from dis_lightning.levels import Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import AveragePool
from dis_lightning.priors.base import Denoiser
from dis_lightning.priors.exact.atoms import FiniteAtomPrior
from dis_lightning.priors.exact.gaussian import GaussianPrior
from dis_lightning.priors.exact.mixture import GaussianMixturePrior
from dis_lightning.priors.flow import FlowMap
from dis_lightning.solvers import ConsistencySampling

D = 4


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


GAUSSIAN = GaussianPrior(normal(D), torch.diag(torch.tensor([0.0, 0.01, 0.25, 1.0]).double()))
MIXTURE = GaussianMixturePrior(torch.ones(3), 3 * normal(3, D), torch.eye(D) / 4)


def noisy_images(sigma: float, count: int = 20) -> Tensor:
    return GAUSSIAN.sample(NoiseSource(0, range(count))) + sigma * normal(count, D, seed=1)


by_either_method = pytest.mark.parametrize("multistep", [False, True], ids=["Heun", "2M"])


@by_either_method
@pytest.mark.parametrize("sigma", [0.01, 1.0, 80.0])
def test_flow_approaches_the_closed_form_with_second_order(sigma: float, multistep: bool) -> None:
    x_t = noisy_images(sigma)
    truth = GAUSSIAN.consistency_map()(x_t, sigma)

    def error(steps: int) -> float:
        return float((FlowMap(GAUSSIAN, steps, multistep=multistep)(x_t, sigma) - truth).abs().max())

    errors = [error(steps) for steps in (32, 64, 128)]
    assert errors[2] < 2e-3
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.15)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.15)


@by_either_method
def test_flow_to_a_single_image_is_a_straight_line(multistep: bool) -> None:
    # Both methods are exact on it: x_0 + (x_t - x_0) sigma_min / sigma, in one step.
    x_0, x_t = normal(1, D), normal(5, D, seed=1)
    mapped = FlowMap(FiniteAtomPrior(x_0), steps=1, sigma_min=0.5, multistep=multistep)(x_t, 80.0)
    torch.testing.assert_close(mapped, x_0 + (x_t - x_0) * 0.5 / 80)


@by_either_method
def test_flow_is_the_identity_at_the_last_level(multistep: bool) -> None:
    x_t = noisy_images(0.002)
    torch.testing.assert_close(FlowMap(MIXTURE, multistep=multistep)(x_t, 0.002), x_t, rtol=0, atol=1e-12)


@by_either_method
def test_from_below_the_last_level_the_flow_is_followed_up_to_it(multistep: bool) -> None:
    x_t = noisy_images(0.05)
    there = FlowMap(GAUSSIAN, sigma_min=0.1, multistep=multistep)(x_t, 0.05)
    back = GAUSSIAN.consistency_map()
    torch.testing.assert_close(back(there, 0.1), back(x_t, 0.05), rtol=1e-4, atol=1e-4)


def test_several_steps_at_once_cost_one_evaluation_each() -> None:
    seen: list[float | Tensor] = []
    hook = MIXTURE.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[1]))
    FlowMap(MIXTURE, steps=7, multistep=True)(noisy_images(1.0), 1.0)
    hook.remove()
    assert len(seen) == 7


def test_flow_agrees_along_a_trajectory() -> None:
    x_t = noisy_images(80.0)
    on_the_way = FlowMap(MIXTURE, steps=400, sigma_min=2.0)(x_t, 80.0)
    flow = FlowMap(MIXTURE, steps=400)
    torch.testing.assert_close(flow(x_t, 80.0), flow(on_the_way, 2.0), rtol=0, atol=1e-3)


def test_flow_of_a_mixture_carries_the_noisy_law_to_the_prior() -> None:
    # Each component draws its share of noise: the count that lands nearest to its mean.
    count, sigma = 2000, 80.0
    weights, means = torch.tensor([0.2, 0.8]).double(), torch.tensor([[-3.0, 0.0], [3.0, 0.0]]).double()
    prior = GaussianMixturePrior(weights, means, 0.04 * torch.eye(2))
    x_0 = FlowMap(prior)(prior.sample(NoiseSource(0, range(count))) + sigma * normal(count, 2, seed=1), sigma)
    share = float((x_0[:, 0] > 0).double().mean())
    assert abs(share - 0.8) <= 5 * math.sqrt(0.8 * 0.2 / count)
    spread = (x_0 - means[(x_0[:, 0] > 0).long()]).std(0)
    torch.testing.assert_close(spread, torch.full((2,), 0.2).double(), rtol=5 / math.sqrt(2 * count), atol=0)


@by_either_method
def test_levels_may_differ_from_image_to_image(multistep: bool) -> None:
    x_t, sigmas = noisy_images(1.0, 4), [0.002, 0.1, 1.0, 50.0]
    flow = FlowMap(MIXTURE, steps=16, multistep=multistep)
    alone = torch.cat([flow(x_t[i : i + 1], sigma) for i, sigma in enumerate(sigmas)])
    torch.testing.assert_close(flow(x_t, torch.tensor(sigmas).double()), alone)


@by_either_method
def test_flow_is_differentiable(multistep: bool) -> None:
    x_t, sigma = noisy_images(3.0, 2).requires_grad_(), torch.tensor([2.0, 3.0]).double().requires_grad_()
    assert torch.autograd.gradcheck(FlowMap(MIXTURE, steps=4, multistep=multistep), (x_t, sigma))


def test_gradients_are_finite_from_the_highest_level_in_float32() -> None:
    prior = GaussianMixturePrior(torch.ones(3), MIXTURE.means.float(), torch.eye(D) / 4)
    x_t = noisy_images(1000.0).float().requires_grad_()
    x_0 = prior.consistency_map()(x_t, 1000.0)
    (gradient,) = torch.autograd.grad(x_0.sum(), x_t)
    assert gradient.isfinite().all()
    torch.testing.assert_close(x_0.double(), MIXTURE.consistency_map()(x_t.double(), 1000.0), rtol=0, atol=1e-4)


def test_a_broken_image_leaves_the_others_bit_equal() -> None:
    flow, x_t = FlowMap(MIXTURE, steps=4), noisy_images(1.0, 3)
    whole = flow(x_t, 1.0)
    x_t[1] = math.nan
    assert torch.equal(flow(x_t, 1.0)[[0, 2]], whole[[0, 2]])


class Labelled(Denoiser):
    """Knows the image exactly from its class."""

    num_classes = 10

    def __init__(self, labels: Tensor | None = None) -> None:
        super().__init__()
        self.shape = (1,)
        self.labels = labels

    def forward(self, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        assert self.labels is not None
        return self.labels.to(x_t).unsqueeze(1)

    def given(self, labels: Tensor) -> Self:
        return type(self)(labels)


def test_labels_reach_the_denoiser() -> None:
    flow = FlowMap(Labelled(), steps=3, sigma_min=0.01, rho=5.0, multistep=True)
    assert (flow.shape, flow.num_classes) == ((1,), 10)
    bound = flow.given(torch.tensor([2, 7]))
    assert (bound.steps, bound.sigma_min, bound.rho, bound.multistep) == (3, 0.01, 5.0, True)
    torch.testing.assert_close(bound(torch.zeros(2, 1), 1.0), torch.tensor([[2.0], [7.0]]) * 0.99)


@pytest.mark.parametrize(("multistep", "evaluations"), [(False, 6), (True, 3)])
def test_a_sample_costs_what_the_denoiser_is_asked(multistep: bool, evaluations: int) -> None:
    flow = FlowMap(GaussianPrior(torch.zeros(1, 4, 4), torch.eye(16)), steps=3, multistep=multistep)
    solver = ConsistencySampling(AveragePool(2), flow, Levels([80.0, 1.0, 0.002]), num_samples=2)
    batch = {"image": torch.zeros(1, *flow.shape), "index": torch.zeros(1, dtype=torch.long), "name": ["black"]}
    (cost,) = solver.predict_step(batch, 0).draws.costs
    assert cost.evaluations == 2 * 2 * evaluations


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"sigma_min": 0.0}, {"sigma_min": math.nan}, {"rho": 0.0}])
def test_wrong_arguments_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"FlowMap needs .*{next(iter(wrong))}.* but got"):
        FlowMap(GAUSSIAN, **wrong)


def test_the_flow_of_a_consistency_map_is_refused() -> None:
    prior = GaussianPrior(torch.zeros(2), torch.eye(2))
    with pytest.raises(ValueError, match="FlowMap needs a posterior mean as `denoiser`, but GaussianConsistencyMap"):
        FlowMap(prior.consistency_map())
