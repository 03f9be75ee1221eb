"""Physics of DeepInverse as operators: what they are given, what they bring along, and what is refused."""

import importlib.util
from typing import Any

import deepinv.physics
import pytest
import torch
from torch import nn

from dis_lightning import deepinv_parts as adapter
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import (
    AveragePool,
    DeepInvLinearPhysics,
    DeepInvPhysics,
    GaussianOperator,
    MatrixOperator,
)


def images(count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


def averages() -> DeepInvLinearPhysics:
    box = torch.full((1, 1, 2, 2), 0.25)
    return DeepInvLinearPhysics(deepinv.physics.Downsampling((3, 8, 8), filter=box, factor=2), noise_std=0.1)


def iterated() -> tuple[DeepInvLinearPhysics, MatrixOperator]:
    """A physics without a closed form, and its matrix."""
    matrix = torch.randn(40, 192, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    physics = deepinv.physics.LinearPhysics(
        A=lambda x: x.flatten(1) @ matrix.T,
        A_adjoint=lambda y: (y @ matrix).reshape(-1, 3, 8, 8),
        max_iter=200,
        tol=1e-10,
    )
    return DeepInvLinearPhysics(physics), MatrixOperator(matrix, shape=(3, 8, 8))


def test_an_average_of_blocks_is_average_pooling_up_to_where_the_blocks_begin() -> None:
    operator, pool = averages(), AveragePool(2)
    y = operator(images())
    shifts = [(i, j) for i in (0, 1) for j in (0, 1)]
    gaps = {shift: float((y - pool(images().roll(shift, dims=(-2, -1)))).abs().max()) for shift in shifts}
    assert min(gaps.values()) < 1e-6
    assert sorted(gaps.values())[1] > 0.1


def test_a_physics_without_closed_form_agrees_with_its_matrix() -> None:
    operator, matrix = iterated()
    x, other = images().double().split(1)
    y = matrix(x)
    torch.testing.assert_close(operator(x), y)
    torch.testing.assert_close(operator.adjoint(y), matrix.adjoint(y))
    torch.testing.assert_close(operator.pseudo_inverse(y), matrix.pseudo_inverse(y), rtol=0, atol=1e-6)
    torch.testing.assert_close(operator.proximal(other, y, 0.3), matrix.proximal(other, y, 0.3), rtol=0, atol=1e-6)


def test_noise_comes_from_the_streams_of_the_images() -> None:
    operator = averages()
    y = operator.measure(images(), NoiseSource(0, [3, 5]))
    noise = NoiseSource(0, [3, 5]).like(y)
    torch.testing.assert_close(y, operator(images()) + 0.1 * noise, rtol=0, atol=1e-6)


def test_a_physics_that_is_not_linear_is_measured_as_it_is() -> None:
    operator = DeepInvPhysics(deepinv.physics.PhaseRetrieval(deepinv.physics.LinearPhysics()))
    torch.testing.assert_close(operator(images()), images().square())


def test_the_picture_of_numbers_in_any_shape_goes_from_black_to_white() -> None:
    operator = DeepInvPhysics(deepinv.physics.Physics())
    numbers = torch.tensor([[2.0, 3.0, 4.0], [0.0, 0.0, 10.0]])
    expected = torch.tensor([[-1.0, 0.0, 1.0], [-1.0, -1.0, 1.0]])[:, None, None].expand(-1, 3, -1, -1)
    torch.testing.assert_close(operator.picture(numbers), expected)
    assert operator.picture(torch.zeros(2, 5, 4, 7)).shape == (2, 3, 20, 7)


def test_a_physics_with_noise_of_its_own_is_refused() -> None:
    noisy = deepinv.physics.Inpainting((3, 8, 8), mask=0.5, noise_model=deepinv.physics.GaussianNoise(0.1))
    for kind in (DeepInvPhysics, DeepInvLinearPhysics):
        with pytest.raises(ValueError, match=r"Inpainting has noise of its own \(GaussianNoise\).*give noise_std"):
            kind(noisy)


def test_a_physics_can_be_named_with_its_arguments() -> None:
    operator = DeepInvLinearPhysics("Decolorize", arguments={"srf": "flat"})
    torch.testing.assert_close(operator(images()), images().mean(dim=1, keepdim=True))


@pytest.mark.parametrize("kind", [DeepInvPhysics, DeepInvLinearPhysics])
@pytest.mark.parametrize(
    "physics",
    [deepinv.physics.Inpainting((3, 4, 4), mask=0.5), deepinv.physics.Tomography(5, img_width=4, normalize=False)],
    ids=lambda physics: type(physics).__name__,
)
def test_images_of_another_size_than_the_physics_was_built_for_are_refused(
    kind: type[GaussianOperator], physics: deepinv.physics.LinearPhysics
) -> None:
    wanted = rf"{type(physics).__name__} cannot measure images of shape \(3, 8, 8\) .*`arguments`, such as img_size"
    with pytest.raises(ValueError, match=wanted):
        kind(physics).measure(images(), NoiseSource(0, [0, 1]))


def test_a_physics_of_more_than_an_image_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Haze cannot measure images of shape \(3, 8, 8\)"):
        DeepInvPhysics("Haze").measure(images(), NoiseSource(0, [0, 1]))


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [(None, "'m' and 'img_size'"), ({"m": 3}, "'img_size'"), ({"k": 3}, "'m' and 'img_size'")],
)
def test_arguments_that_a_named_physics_cannot_be_built_from_are_refused(
    arguments: dict[str, Any] | None, missing: str
) -> None:
    with pytest.raises(TypeError, match=rf"physics\.CompressedSensing cannot be built .*{missing}.* in `arguments` "):
        DeepInvLinearPhysics("CompressedSensing", arguments=arguments)


def test_what_is_no_physics_or_not_linear_is_refused() -> None:
    for name in ("Blurr", "GaussianNoise"):
        with pytest.raises(TypeError, match=rf"deepinv\.physics has no physics {name}"):
            DeepInvLinearPhysics(name)
    with pytest.raises(TypeError, match=r"must be a deepinv\.physics\.Physics, but got Identity"):
        DeepInvPhysics(nn.Identity())
    with pytest.raises(TypeError, match=r"must be a deepinv\.physics\.LinearPhysics, but got Physics"):
        DeepInvLinearPhysics(deepinv.physics.Physics())


def test_without_the_package_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(adapter, "find_spec", lambda name: None if name == "deepinv" else found(name))
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'dis-lightning\[deepinv\]'"):
        DeepInvPhysics(nn.Identity())
