import math

import pytest
import torch
from torch import Tensor, nn

from dis_lightning.priors.consistency import ConsistencyModel
from dis_lightning.priors.edm import EDM
from dis_lightning.priors.networks.unet import UNet
from dis_lightning.priors.preconditioning import Preconditioned

BOTH = pytest.mark.parametrize("kind", [EDM, ConsistencyModel])


def relative_error(came: Tensor, wanted: Tensor) -> float:
    return float((came - wanted).detach().norm() / wanted.norm())


def bound(denoiser: Preconditioned, labels: Tensor | None) -> Preconditioned:
    return denoiser if labels is None else denoiser.given(labels)


class Recorder(nn.Module):
    """A network that keeps its inputs and answers with a constant."""

    shape = (3, 8, 8)
    num_classes = None

    def __init__(self, answer: float = 0.0) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        self.x, self.t = x, t
        return torch.full_like(x, self.answer)


def test_edm_denoises_as_the_official_code(reference):
    denoiser = bound(EDM(reference.network()), reference.labels)
    x_0 = denoiser(reference.io["x_noisy"], reference.io["sigma"])
    assert relative_error(x_0, reference.io["edm_denoised"]) < 1e-5


def test_consistency_model_and_its_gradient_are_those_of_the_official_code(reference):
    model = bound(ConsistencyModel(reference.network()), reference.labels)
    x_t = reference.io["x_noisy"].requires_grad_()
    x_0 = model(x_t, reference.io["sigma"])
    assert relative_error(x_0, reference.io["cm_denoised"]) < 1e-5
    (gradient,) = torch.autograd.grad(x_0.square().sum(), x_t)
    assert relative_error(gradient, reference.io["cm_sqnorm_grad"]) < 1e-4


@BOTH
def test_a_float_level_and_one_level_per_image_agree(kind: type[Preconditioned], lsun):
    denoiser, x_t = kind(lsun.network()), lsun.io["x_noisy"]
    for sigma in (0.002, 0.7, 80.0):
        wanted = denoiser(x_t, torch.full((len(x_t),), sigma, dtype=torch.float64))
        assert relative_error(denoiser(x_t, sigma), wanted) < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_consistency_model_is_exactly_the_identity_at_sigma_min(dtype: torch.dtype):
    x_t, model = torch.randn(2, 3, 8, 8, dtype=dtype), ConsistencyModel(Recorder(answer=1.0))
    for sigma in (0.002, torch.full((2,), 0.002, dtype=dtype), torch.full((2,), 0.002, dtype=torch.float64)):
        assert torch.equal(model(x_t, sigma), x_t)
    assert not torch.equal(model(x_t, 0.003), x_t)


def test_edm_scalings_turn_a_consistency_model_into_the_edm_of_its_network(lsun):
    network, x_t, sigma = lsun.network(), lsun.io["x_noisy"], lsun.io["sigma"]
    as_run_by_xu = ConsistencyModel(network, edm_scalings=True)(x_t, sigma)
    assert torch.equal(as_run_by_xu, EDM(network)(x_t, sigma))
    assert not torch.equal(as_run_by_xu, ConsistencyModel(network)(x_t, sigma))


def test_an_edm_without_a_network_is_exact_for_gaussian_data():
    # The network's answer 0 leaves the posterior mean under the prior N(0, sigma_data^2), which is c_skip x_t.
    x_t, sigma, sigma_data = torch.randn(4, 3, 8, 8, dtype=torch.float64), 0.7, 0.3
    gain = sigma_data**2 / (sigma_data**2 + sigma**2)
    torch.testing.assert_close(EDM(Recorder(), sigma_data=sigma_data)(x_t, sigma), gain * x_t)


@BOTH
def test_the_network_sees_unit_variance_and_250_log_sigma(kind: type[Preconditioned]):
    network = Recorder()
    for sigma in (0.002, 1.0, 80.0):
        x_t = math.hypot(0.5, sigma) * torch.ones(2, 3, 8, 8)  # the standard deviation of data with noise
        kind(network)(x_t, sigma)
        torch.testing.assert_close(network.x, torch.ones_like(x_t))
        torch.testing.assert_close(network.t, torch.full((2,), 250 * math.log(sigma)))


@BOTH
def test_clipping_straight_through_clamps_the_estimate_and_passes_the_gradient(kind: type[Preconditioned]):
    x_t = torch.linspace(-3, 3, 192).reshape(1, 3, 8, 8).requires_grad_()
    plain, clipped = kind(Recorder())(x_t, 0.1), kind(Recorder(), clip="straight-through")(x_t, 0.1)
    torch.testing.assert_close(clipped, plain.clamp(-1, 1))
    assert (plain.abs() > 1).any()
    whole, passed = (torch.autograd.grad(x_0.sum(), x_t)[0] for x_0 in (plain, clipped))
    assert torch.equal(passed, whole)
    with pytest.raises(ValueError, match="needs clip True, False or \"straight-through\", but got 'hard'"):
        kind(Recorder(), clip="hard")


@BOTH
def test_clipping_clamps_the_estimate_and_stops_the_gradient_there(kind: type[Preconditioned]):
    x_t = torch.linspace(-3, 3, 192).reshape(1, 3, 8, 8).requires_grad_()
    plain, clipped = kind(Recorder())(x_t, 0.1), kind(Recorder(), clip=True)(x_t, 0.1)
    assert torch.equal(clipped, plain.clamp(-1, 1))
    (slope,) = torch.autograd.grad(clipped.sum(), x_t)
    assert torch.equal(slope == 0, plain.abs() > 1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_estimate_has_the_type_of_the_image(lsun, dtype: torch.dtype):
    x_t = lsun.io["x_noisy"]
    x_0 = EDM(lsun.network())(x_t.to(dtype), 1.3)
    assert x_0.dtype == dtype
    assert relative_error(x_0.float(), EDM(lsun.network())(x_t, 1.3)) < 20 * torch.finfo(dtype).eps + 1e-5


@BOTH
def test_binding_labels_shares_the_network_and_leaves_the_original_free(kind: type[Preconditioned], imagenet):
    denoiser = kind(imagenet.network())
    first, second = denoiser.given(torch.tensor([1])), denoiser.given(torch.tensor([2]))
    assert first.network is second.network is denoiser.network
    assert denoiser.labels is None
    x_t = imagenet.io["x_noisy"][:1]
    assert not torch.equal(first(x_t, 14.0), second(x_t, 14.0))
    assert torch.equal(first(x_t, 14.0), first.given(torch.tensor([1]))(x_t, 14.0))


def test_labels_are_asked_for_and_checked(imagenet, lsun):
    conditional, free = EDM(imagenet.network()), EDM(lsun.network())
    assert (conditional.num_classes, free.num_classes) == (10, None)
    with pytest.raises(ValueError, match=r"class-conditional: give labels in 0 \.\. 9"):
        conditional(imagenet.io["x_noisy"], 1.0)
    with pytest.raises(ValueError, match="takes no labels"):
        free.given(torch.tensor([0]))
    for labels in (torch.tensor([0, 10]), torch.tensor([-1]), torch.tensor([1.0]), torch.tensor([[1]])):
        with pytest.raises(ValueError, match=r"0 \.\. 9, but got"):
            conditional.given(labels)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda network: EDM(network, sigma_data=0.0), "sigma_data > 0"),
        (lambda network: ConsistencyModel(network, sigma_min=-1.0), "sigma_min >= 0"),
        (lambda network: EDM(network, dtype=torch.bfloat16), "built already"),
        (lambda network: EDM(network)(torch.zeros(1, 3, 32, 32), 0.0), "sigma > 0, but got 0.0"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message: str, lsun):
    network: UNet = lsun.network()
    with pytest.raises(ValueError, match=message):
        make(network)
