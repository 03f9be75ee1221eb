"""What every prior keeps to. A new prior is found by itself and needs an entry in `catalogue.py`, no test here.

A posterior mean has a Jacobian that is a covariance, up to a factor; a consistency map is the identity where it ends.
"""

import importlib
import inspect
import pkgutil
from typing import get_args

import pytest
import torch
from catalogue import DEVICE, PRIORS, SHAPE, concrete, small_unet
from torch import Tensor

from dis_lightning import priors
from dis_lightning.priors import EDM, ConsistencyModel, Denoiser, ExactPrior
from dis_lightning.priors.base import Kind

for_every_prior = pytest.mark.parametrize(
    "name", [prior.__name__ for prior in concrete(priors, Denoiser) if prior.__name__ in PRIORS]
)
LEVELS = torch.tensor([0.05, 0.7, 4.0], device=DEVICE)


def built(name: str) -> Denoiser:
    """A prior of the catalogue, where it is tried."""
    return PRIORS[name]().to(DEVICE)


def noisy(count: int = 3, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(DEVICE, dtype)


def test_every_prior_has_an_entry() -> None:
    missing = sorted({prior.__name__ for prior in concrete(priors, Denoiser)} - set(PRIORS))
    assert not missing, f"Give {missing} an entry in PRIORS of tests/conformance/catalogue.py: how one is built."


def test_every_prior_in_the_folder_is_public() -> None:
    files = [file.name for file in pkgutil.walk_packages(priors.__path__, f"{priors.__name__}.")]
    found = [value for file in files for value in vars(importlib.import_module(file)).values()]
    kinds = {kind for kind in found if inspect.isclass(kind) and issubclass(kind, Denoiser)}
    hidden = {kind.__name__ for kind in kinds if not inspect.isabstract(kind)} - set(priors.__all__)
    assert not hidden, f"Import {sorted(hidden)} in dis_lightning/priors/__init__.py and name them in `__all__`."


@for_every_prior
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_estimates_have_the_shape_and_the_type_of_the_images(name: str, dtype: torch.dtype) -> None:
    prior = built(name)
    assert tuple(prior.shape) == SHAPE
    for sigma in (0.5, LEVELS):
        x_0 = prior(noisy(dtype=dtype), sigma)
        assert (x_0.shape, x_0.dtype) == ((3, *SHAPE), dtype)
        assert x_0.isfinite().all()


@for_every_prior
def test_in_double_precision_a_prior_in_closed_form_has_all_digits(name: str) -> None:
    prior, x = built(name), noisy(dtype=torch.float64)
    if isinstance(prior, ExactPrior):
        exact = prior.double()(x, LEVELS)
        torch.testing.assert_close(exact.float(), built(name)(x.float(), LEVELS), rtol=1e-4, atol=1e-4)
        perturbed = (prior(x + 1e-9, LEVELS) - exact).abs().max()
        assert 0 < perturbed < 1e-7  # which single precision does not see


@for_every_prior
def test_a_level_for_each_image_is_the_same_as_one_for_all(name: str) -> None:
    prior, x = built(name), noisy()
    for sigma in (0.05, 0.7, 4.0):
        torch.testing.assert_close(
            prior(x, torch.full((3,), sigma, device=DEVICE)), prior(x, sigma), rtol=1e-4, atol=1e-5
        )
    together = prior(x, LEVELS)
    for row, sigma in enumerate(LEVELS.tolist()):
        alone = prior(x[row : row + 1], sigma)
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(together, prior(x, LEVELS.flip(0)), atol=1e-3)


@for_every_prior
def test_an_image_does_not_feel_the_others_and_a_broken_one_breaks_itself_alone(name: str) -> None:
    prior, x = built(name), noisy()
    slope = torch.func.grad(lambda x: prior(x, 0.7)[1].square().sum())(x)
    assert slope[1].isfinite().all()
    assert slope[1].abs().max() > 1e-4
    assert not slope[[0, 2]].any()
    broken = x.clone()
    broken[1] = torch.nan
    torch.testing.assert_close(prior(broken, 0.7)[[0, 2]], prior(x, 0.7)[[0, 2]], rtol=1e-5, atol=1e-6)


@for_every_prior
def test_the_same_call_gives_the_same_bits_and_leaves_the_global_generator_alone(name: str) -> None:
    prior, x = built(name), noisy()
    before = torch.get_rng_state()
    assert torch.equal(prior(x, 0.7), prior(x, 0.7))
    assert torch.equal(built(name)(x, LEVELS), prior(x, LEVELS))
    assert torch.equal(torch.get_rng_state(), before)


@for_every_prior
def test_gradients_can_be_taken_after_use_in_inference_mode(name: str) -> None:
    prior, x = built(name), noisy().requires_grad_()
    with torch.inference_mode():
        prior.load(DEVICE)
        prior(noisy(), 0.7)
    prior(x, 0.7).sum().backward()
    assert x.grad.isfinite().all()


@for_every_prior
def test_it_says_which_kind_it_is_and_is_of_that_kind(name: str) -> None:
    prior, x = built(name), noisy(1, torch.float64)
    assert prior.kind in get_args(Kind)
    if prior.kind == "consistency map":
        end = prior.sigma_min
        torch.testing.assert_close(prior.double()(x, end), x, rtol=0, atol=1e-6)
    elif isinstance(prior, ExactPrior):
        prior = prior.double()
        jacobian = torch.func.jacrev(lambda x: prior(x, 0.7))(x).reshape(x.numel(), x.numel())
        torch.testing.assert_close(jacobian, jacobian.T, rtol=0, atol=1e-7)
        assert torch.linalg.eigvalsh(jacobian).min() > -1e-7
    else:
        assert not torch.allclose(prior.double()(x, 0.002), x, rtol=0, atol=1e-5)


@for_every_prior
def test_labels_are_refused_by_a_prior_without_classes(name: str) -> None:
    prior = built(name)
    assert prior.num_classes is None
    with pytest.raises(ValueError, match="is not class-conditional and takes no labels"):
        prior.given(torch.tensor([0, 1, 2], device=DEVICE))


@pytest.mark.parametrize("kind", [EDM, ConsistencyModel])
def test_labels_are_bound_to_a_copy_row_by_row(kind: type[Denoiser]) -> None:
    prior, x, labels = kind(small_unet(num_classes=4)).to(DEVICE), noisy(), torch.tensor([2, 0, 3], device=DEVICE)
    bound = prior.given(labels)
    alone = [prior.given(labels[row : row + 1])(x[row : row + 1], 0.7) for row in range(3)]
    torch.testing.assert_close(bound(x, 0.7), torch.cat(alone), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(bound(x, 0.7), prior.given(labels.flip(0))(x, 0.7), atol=1e-4)
    assert prior.labels is None
    for wrong in (
        torch.tensor([4, 0, 0], device=DEVICE),
        torch.tensor([-1, 0, 0], device=DEVICE),
        torch.tensor([0.0, 1.0, 2.0], device=DEVICE),
    ):
        with pytest.raises(ValueError, match=r"one integer label per image, \(N,\), in 0 \.\. 3"):
            prior.given(wrong)


@for_every_prior
def test_a_number_that_is_none_or_not_whole_is_named(name: str) -> None:
    kind = getattr(priors, name)
    plain = inspect.signature(kind).parameters
    given = {"network": small_unet(), "denoiser": built("GaussianPrior"), "prior": built("GaussianPrior")}
    parts = {part: value for part, value in given.items() if part in plain}
    for argument in [argument for argument in plain if plain[argument].annotation in (int, float)]:
        with pytest.raises(TypeError, match=rf"{name} needs a number as `{argument}`, but got none \(null\)"):
            kind(**parts, **{argument: None})
        if plain[argument].annotation is int:
            with pytest.raises(ValueError, match=rf" needs .*{argument} >= .*a whole number, but got .*{argument}=1.5"):
                kind(**parts, **{argument: 1.5})
