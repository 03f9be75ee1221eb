"""Denoisers of DeepInverse as priors, and our solvers as its reconstructors."""

import subprocess
import sys
from typing import Any

import deepinv
import pytest
import torch
from torch import Tensor

import dis_lightning
from dis_lightning.levels import KarrasLevels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import AveragePool, DeepInvLinearPhysics, MatrixOperator
from dis_lightning.priors import DeepInvDenoiser, GaussianPrior
from dis_lightning.solvers import DPS, MMPS, Unguided

SHAPE = (1, 4, 4)


COVARIANCE = 0.2 * (-(torch.arange(16.0)[:, None] - torch.arange(16.0)).abs() / 4).exp()


def law() -> GaussianPrior:
    return GaussianPrior(0.1 * torch.ones(SHAPE), COVARIANCE)


class Exact(deepinv.models.Denoiser):
    """The posterior mean of pictures in [0, 1] that are `(x + 1) / 2` of the law's, by the closed form."""

    def __init__(self) -> None:
        super().__init__()
        self.law = GaussianPrior((law().mean + 1) / 2, COVARIANCE / 4)

    def forward(self, x: Tensor, sigma: float | Tensor, **_: Any) -> Tensor:
        return self.law(x, sigma)


def test_range_and_levels_are_those_of_the_closed_form() -> None:
    prior, exact = DeepInvDenoiser(Exact(), SHAPE), law()
    x_t = torch.randn(5, *SHAPE, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for sigma in (0.02, 0.7, 12.0):
        found, wanted = prior(x_t, sigma), exact(x_t, sigma)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
        slopes = [torch.autograd.grad(each.square().sum(), x_t)[0] for each in (found, wanted)]
        torch.testing.assert_close(*slopes, rtol=1e-4, atol=1e-4)
    sigmas = torch.tensor([0.1, 0.2, 0.5, 1.0, 3.0])
    torch.testing.assert_close(prior(x_t, sigmas), exact(x_t, sigmas), rtol=1e-4, atol=1e-5)


def test_a_denoiser_is_built_by_its_name_and_keeps_its_promises() -> None:
    arguments = {"pretrained": None, "in_channels": 3, "out_channels": 3, "nc": [8, 8, 8, 8], "nb": 1}
    prior = DeepInvDenoiser("DRUNet", (3, 16, 16), arguments, sigma_range=(0.0, 0.4), clip=True)
    assert prior.sigma_range == (0.0, 0.4)
    x_t = torch.randn(2, 3, 16, 16)
    assert prior(x_t, 0.2).abs().max() <= 1
    with pytest.raises(ValueError, match=r"start at 80, but DeepInvDenoiser was trained on 0 to 0\.4"):
        Unguided(AveragePool(4, 0.1), prior, KarrasLevels(5))


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: DeepInvDenoiser("NoSuchNet", SHAPE), TypeError, "deepinv.models has no denoiser NoSuchNet"),
        (lambda: DeepInvDenoiser("DRUNet", SHAPE, {"chanels": 3}), TypeError, "cannot be built from arguments"),
        (lambda: DeepInvDenoiser(torch.nn.Identity(), SHAPE), TypeError, "must be a deepinv.models.Denoiser"),
        (lambda: DeepInvDenoiser(Exact(), (4, 4)), ValueError, r"shape \(C, H, W\)"),
        (lambda: DeepInvDenoiser(Exact(), SHAPE, sigma_range=(2.0, 1.0)), ValueError, "sigma_range"),
    ],
)
def test_what_is_no_denoiser_is_refused(build: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build()


def physics(kind: str) -> Any:
    noise = deepinv.physics.GaussianNoise(0.1)
    generator = torch.Generator().manual_seed(0)
    if kind == "down":
        return deepinv.physics.Downsampling(img_size=SHAPE, factor=2, noise_model=noise, filter=None)
    if kind == "mask":
        return deepinv.physics.Inpainting(img_size=SHAPE, mask=0.5, noise_model=noise, rng=generator)
    return deepinv.physics.Blur(filter=torch.ones(1, 1, 3, 3) / 9, padding="circular", noise_model=noise)


@pytest.mark.parametrize("kind", ["down", "mask", "blur"])
def test_a_solver_reconstructs_what_the_exact_posterior_says(kind: str) -> None:
    measure = physics(kind)
    exact = law()
    x = exact.sample(NoiseSource(1, [0]))
    with torch.random.fork_rng():
        torch.manual_seed(3)
        y = measure((x + 1) / 2)
    levels = KarrasLevels(30, sigma_max=20.0)
    solver = MMPS(AveragePool(2, 0.1), exact, levels, iterations=16, num_samples=64)
    model = dis_lightning.as_deepinv(solver)
    found = 2 * model(y, measure) - 1
    clean = physics(kind)
    clean.noise_model = deepinv.physics.ZeroNoise()
    if kind == "mask":
        clean.update_parameters(mask=measure.mask)
    # The exact conditional denoiser on the same noise: a linear measurement of x with noise 2 x 0.1.
    operator = MatrixOperator(DeepInvLinearPhysics(clean).matrix(SHAPE, torch.float32), 0.2, SHAPE)
    posterior = exact.posterior(operator, (2 * y - clean.A(torch.ones(1, *SHAPE))).flatten(1))
    wanted = Unguided(operator, posterior, levels, num_samples=64).solve(y, NoiseSource(0, [0])).mean(dim=1)
    torch.testing.assert_close(found, wanted, rtol=0, atol=5e-3)


def test_an_image_does_not_feel_its_batch() -> None:
    measure, exact = physics("down"), law()
    with torch.random.fork_rng():
        torch.manual_seed(3)
        y = measure((exact.sample(NoiseSource(1, [0, 1, 2])) + 1) / 2)
    model = dis_lightning.as_deepinv(DPS(AveragePool(2, 0.1), exact, KarrasLevels(5), scale=1.0))
    together = model(y, measure)
    torch.testing.assert_close(together, torch.cat([model(one[None], measure) for one in y]), rtol=0, atol=1e-5)


def test_a_physics_that_is_not_linear_is_measured_in_its_own_range() -> None:
    class Square(deepinv.physics.Physics):
        def A(self, x: Tensor, **_: Any) -> Tensor:  # noqa: N802 # the library's name
            return x.square()

    measure = Square(noise_model=deepinv.physics.GaussianNoise(0.01))
    exact = law()
    x = exact.sample(NoiseSource(1, [0]))
    with torch.random.fork_rng():
        torch.manual_seed(3)
        y = measure((x + 1) / 2)
    model = dis_lightning.as_deepinv(DPS(AveragePool(2, 0.1), exact, KarrasLevels(60, sigma_max=20.0), scale=8.0))
    found = model(y, measure)
    # Squares say everything but the sign: the reconstruction explains them far better than the prior's mean.
    residual = (found.square() - y).norm()
    assert residual < 0.3 * (((law().mean + 1) / 2).square() - y).norm()


def test_other_noise_is_refused() -> None:
    measure = physics("down")
    measure.noise_model = deepinv.physics.PoissonNoise()
    model = dis_lightning.as_deepinv(Unguided(AveragePool(2, 0.1), law(), KarrasLevels(5)))
    assert isinstance(model, deepinv.models.Reconstructor)
    with pytest.raises(ValueError, match="Only Gaussian noise is known here, but the physics has PoissonNoise"):
        model(torch.zeros(1, 1, 2, 2), measure)
    with pytest.raises(TypeError, match="as_deepinv takes a solver"):
        dis_lightning.as_deepinv(law())  # type: ignore[arg-type]


def test_the_package_alone_imports_neither_lightning_nor_deepinv() -> None:
    code = "import sys, dis_lightning; assert not {'lightning', 'torch', 'deepinv'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
