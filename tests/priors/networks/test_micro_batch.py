"""Passes of few images: the same results, with no more held than one of them needs."""

import copy
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from dis_lightning.gradients import pullback
from dis_lightning.levels import KarrasLevels
from dis_lightning.meters import CostMeter
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import AveragePool
from dis_lightning.priors import EDM, VP, ConsistencyModel, Denoiser, UNet
from dis_lightning.solvers import DPS, MMPS


def network(num_classes: int | None = None) -> UNet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = UNet(8, 32, 1, [8], [1], num_head_channels=32, num_classes=num_classes)
        for parameter in made.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.05)
    return made.requires_grad_(False).eval()


BUILDS: list[Callable[..., Denoiser]] = [EDM, ConsistencyModel, VP]
X_T = torch.randn(7, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("size", [1, 3, 7])
def test_estimates_and_gradients_are_those_of_one_pass(build: Callable[..., Denoiser], size: int) -> None:
    found = []
    for prior in (build(network()), build(network(), micro_batch=size)):
        x_t = X_T.clone().requires_grad_()
        sigmas = torch.linspace(0.3, 3.0, 7)
        x_0 = prior(x_t, sigmas)
        found.append((x_0.detach(), torch.autograd.grad(x_0.square().sum(), x_t)[0], prior(X_T, 0.5)))
    for whole, part in zip(*found, strict=True):
        torch.testing.assert_close(part, whole, rtol=1e-3, atol=1e-4)


def test_classes_go_with_their_images() -> None:
    labels = torch.arange(7) % 4
    whole, part = (EDM(network(4), micro_batch=size).given(labels)(X_T, 1.0) for size in (None, 2))
    torch.testing.assert_close(part, whole, rtol=1e-4, atol=1e-5)


def held(prior: Denoiser) -> int:
    """Numbers that are kept for the gradient of an evaluation."""
    kept = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        prior(X_T.clone().requires_grad_(), 1.0)
    return kept


def test_no_more_is_held_than_the_images_themselves() -> None:
    assert held(EDM(network(), micro_batch=1)) < held(EDM(network())) / 10


@pytest.mark.parametrize("kind", [DPS, MMPS])
def test_solvers_sample_the_same_and_count_the_same(kind: type[DPS | MMPS]) -> None:
    operator = AveragePool(2, noise_std=0.1)
    more = {"scale": 0.5} if kind is DPS else {"iterations": 2}
    y = operator.measure(torch.zeros(2, 3, 8, 8), NoiseSource(0, [0, 1]))
    found = []
    for size in (None, 3):
        prior = EDM(copy.deepcopy(network()), micro_batch=size)
        with CostMeter([prior], torch.device("cpu")) as meter:
            samples = kind(operator, prior, KarrasLevels(4), num_samples=2, **more).solve(y, NoiseSource(0, [0, 1]))
        found.append((samples, meter.evaluations, meter.gradients))
    torch.testing.assert_close(found[1][0], found[0][0], rtol=1e-3, atol=1e-4)
    assert found[0][1:] == found[1][1:]


def test_products_with_the_jacobian_may_be_asked_again() -> None:
    priors = EDM(network()), EDM(network(), micro_batch=2)
    (_, whole), (_, part) = (pullback(partial(prior, sigma=0.7), X_T) for prior in priors)
    for seed in range(2):
        v = torch.randn(X_T.shape, generator=torch.Generator().manual_seed(seed))
        torch.testing.assert_close(part(v), whole(v), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "needs"),
    [
        ({"micro_batch": 0}, "micro_batch >= 1"),
        ({"micro_batch": 2.5}, "a whole number"),
        ({"micro_batch": 2, "compile": "cuda_graphs"}, "kernels that are not recorded"),
    ],
)
def test_what_cannot_be_is_refused(arguments: dict[str, object], needs: str) -> None:
    with pytest.raises(ValueError, match=needs):
        EDM(network(), **arguments)
