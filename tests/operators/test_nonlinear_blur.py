"""Nonlinear blur: whose kernel is whose, and what the measurement is given it."""

import math
from typing import Any

import pytest
import torch
from published_files import randomised
from torch import Tensor

from dis_lightning.levels import KarrasLevels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import NonlinearBlur
from dis_lightning.operators.networks import KernelWizard
from dis_lightning.priors import GaussianPrior
from dis_lightning.solvers import DPS

WIZARD = randomised(KernelWizard((8, 8, 8), feature_blocks=1, trunk_blocks=1))  # multiples of 16


def blur(**arguments: Any) -> NonlinearBlur:
    return NonlinearBlur(WIZARD, **arguments)


def images(indices: list[int], size: int = 16) -> Tensor:
    return NoiseSource(99, indices).normal((len(indices), 3, size, size)).clamp(-1, 1)


def blurred(x_0: Tensor, kernel: Tensor) -> Tensor:
    return (2 * WIZARD((x_0 + 1) / 2, kernel) - 1).clamp(-1, 1)


def test_each_image_is_blurred_by_the_kernel_of_its_own_noise_stream_and_y_carries_it() -> None:
    x, indices = images([4, 0, 9], size=32), [4, 0, 9]
    y = blur().measure(x, NoiseSource(7, indices))
    kernel = 1.2 * NoiseSource(7, indices).normal((3, 8, 2, 2))
    torch.testing.assert_close(y[:, :3], blurred(x, kernel), rtol=0, atol=1e-6)
    assert torch.equal(y[:, 3].flatten(1)[:, : 8 * 4], kernel.flatten(1))
    assert not y[:, 3].flatten(1)[:, 8 * 4 :].any()


def test_a_measurement_knows_its_kernel_in_any_batch() -> None:
    operator, x = blur(), images([0, 1, 2])
    y = operator.measure(x, NoiseSource(7, [0, 1, 2]))
    assert torch.equal(operator.distance(x, y), torch.zeros(3))
    order = [2, 0]
    assert operator.distance(x[order], y[order]).max() < 1e-5
    assert (operator.distance(x, y[[1, 2, 0]]) > 1).all()


def test_noise_is_added_to_the_image_and_not_to_the_kernel() -> None:
    x, indices = images([0]).expand(200, -1, -1, -1), range(200)
    clean, noisy = (blur(noise_std=std).measure(x, NoiseSource(3, indices)).double() for std in (0.0, 0.3))
    assert torch.equal(clean[:, 3], noisy[:, 3])
    noise = (noisy - clean)[:, :3] / 0.3
    count = noise.numel()
    assert abs(noise.square().sum() - count) < 5 * math.sqrt(2 * count)
    assert abs(noise.mean()) < 5 / math.sqrt(count)


def test_the_energy_is_that_of_the_image_given_its_kernel() -> None:
    operator, x = blur(noise_std=0.3), images([0, 1])
    y = operator.measure(images([5, 6]), NoiseSource(7, [0, 1]))
    kernel = 1.2 * NoiseSource(7, [0, 1]).normal((2, 8, 1, 1))
    residual = (blurred(x, kernel) - y[:, :3]).flatten(1)
    torch.testing.assert_close(operator.energy(x, y), residual.square().sum(1) / (2 * 0.3**2), rtol=1e-5, atol=0)
    torch.testing.assert_close(operator.distance(x, y), residual.norm(dim=1), rtol=1e-5, atol=0)


def test_a_kernel_for_all_images_follows_from_its_seed_alone() -> None:
    x = images([0, 0])
    y = blur(kernel_seed=3).measure(x, NoiseSource(7, [0, 1]))
    assert y.shape == (2, 3, 16, 16)
    torch.testing.assert_close(y[0], y[1], rtol=0, atol=1e-6)
    assert torch.equal(y, blur(kernel_seed=3).measure(x, NoiseSource(8, [5, 6])))
    assert (y - blur(kernel_seed=4)(x)).abs().max() > 0.01
    assert torch.equal(blur()(x), blur(kernel_seed=0)(x))


def test_kernels_drawn_anew_differ_between_evaluations_and_depend_on_the_image_alone() -> None:
    operator, x = blur(resample=True), images([0, 1])
    y = operator.measure(x, NoiseSource(7, [0, 1]))
    assert y.shape == (2, 3, 16, 16)
    together = operator.distance(x, y)
    assert (together > 0.1).all()  # not the kernel that was measured with
    torch.testing.assert_close(operator.distance(x[1:], y[1:]), together[1:], rtol=1e-5, atol=0)
    nudged = x + 1e-6
    assert ((operator.distance(nudged, y) - together).abs() > 1e-3).all()


def test_kernels_drawn_anew_have_the_spread_of_all_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    monkeypatch.setattr(WIZARD, "forward", lambda u, kernel: seen.append(kernel) or u)
    blur(resample=True)(images(list(range(500))))
    assert seen[0].std().item() == pytest.approx(1.2, abs=5 * 1.2 / math.sqrt(2 * 4000))
    assert len(seen[0].flatten(1).unique(dim=0)) == 500


@pytest.mark.parametrize("arguments", [{}, {"kernel_seed": 1}, {"resample": True}])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_gradient_with_respect_to_the_image_is_finite_and_not_zero(
    arguments: dict[str, Any], dtype: torch.dtype
) -> None:
    network = randomised(KernelWizard((8, 8, 8), feature_blocks=1, trunk_blocks=1)).to(dtype)
    operator, x = NonlinearBlur(network, **arguments), images([0, 1]).requires_grad_()
    operator.distance(x, operator.measure(images([5, 6]), NoiseSource(7, [0, 1]))).sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == torch.float32
    assert x.grad.isfinite().all()
    assert (x.grad.flatten(1).norm(dim=1) > 1e-3).all()


def test_a_picture_of_ones_own_needs_the_kernel_that_it_was_blurred_with() -> None:
    noise = NoiseSource(7, [0, 1])
    with pytest.raises(ValueError, match="give the kernel_seed"):
        blur().adopt(images([0, 1]), noise, (3, 16, 16))
    assert torch.equal(blur(kernel_seed=1).adopt(images([0, 1]), noise, (3, 16, 16)), images([0, 1]))


def test_a_solver_gives_every_sample_the_kernel_of_its_image() -> None:
    prior = GaussianPrior(torch.zeros(3, 16, 16), 0.2 * torch.eye(3 * 16 * 16))
    operator, noise = blur(), NoiseSource(7, [3, 8])
    y = operator.measure(0.3 * images([3, 8]), noise)
    samples = DPS(operator, prior, levels=KarrasLevels(20, sigma_max=5.0), scale=3.0, num_samples=2).solve(y, noise)
    for sample in samples.unbind(1):
        own, foreign = operator.distance(sample, y), operator.distance(sample, y.flip(0))
        assert (own < 0.85 * foreign).all()


def test_the_picture_is_the_blurred_image_alone() -> None:
    y = blur(noise_std=0.5).measure(images([0, 1]), NoiseSource(0, [0, 1]))
    assert torch.equal(blur().picture(y), y[:, :3].clamp(-1, 1))


@pytest.mark.parametrize("arguments", [{"kernel_seed": -1}, {"kernel_seed": 0, "resample": True}])
def test_kernels_that_are_both_fixed_and_drawn_anew_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"kernel_seed={arguments['kernel_seed']} and resample="):
        blur(**arguments)


def test_an_image_of_a_size_that_the_network_cannot_take_is_refused_when_it_is_measured() -> None:
    with pytest.raises(ValueError, match="sides are multiples of 16, but got 24 x 24"):
        blur().measure(images([0], size=24), NoiseSource(0, [0]))
