"""What every operator keeps to. A new operator is found by itself and needs an entry in `catalogue.py`, no test here.

For operators with Gaussian noise the truth is known: distance and energy are 0 at the clean image, and the energy is
minus the logarithm of a density. For linear ones everything follows from their dense matrix.
"""

import importlib
import inspect
import math
import pkgutil
from typing import Any

import pytest
import torch
from catalogue import DEVICE, OPERATORS, SHAPE, build_operator, concrete
from torch import Tensor

from dis_lightning import operators
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import GaussianOperator, LinearOperator, Operator
from dis_lightning.types import Measurement


def names(kind: type[Operator]) -> list[str]:
    return [operator.__name__ for operator in concrete(operators, kind) if operator.__name__ in OPERATORS]


FOUND = [operator.__name__ for operator in concrete(operators, Operator)]

for_every_operator = pytest.mark.parametrize("name", names(Operator))
for_gaussian_operators = pytest.mark.parametrize("name", names(GaussianOperator))
for_linear_operators = pytest.mark.parametrize("name", names(LinearOperator))


def built(name: str, **changes: Any) -> Operator:
    """An operator of the catalogue, where it is tried."""
    return build_operator(name, **changes).to(DEVICE)


def images(count: int = 3, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    uniform = torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (2 * uniform - 1).to(DEVICE, dtype)


def measured(operator: Operator, x: Tensor) -> Measurement:
    """What is measured of images, without noise where there is any."""
    if isinstance(operator, GaussianOperator):
        return operator(x).clone()
    y = operator.measure(x, NoiseSource(0, range(len(x)), DEVICE))
    return y.clone() if isinstance(y, Tensor) else y


def values_like(y: Tensor, seed: int = 1) -> Tensor:
    return torch.randn(y.shape, generator=torch.Generator().manual_seed(seed), dtype=y.dtype).to(DEVICE)


def test_every_operator_has_an_entry() -> None:
    missing = sorted(set(FOUND) - set(OPERATORS))
    assert not missing, f"Give {missing} an entry in OPERATORS of tests/conformance/catalogue.py: the arguments."


def test_every_operator_in_the_folder_is_public() -> None:
    files = [file.name for file in pkgutil.iter_modules(operators.__path__)]
    found = [
        value for file in files for value in vars(importlib.import_module(f"dis_lightning.operators.{file}")).values()
    ]
    hidden = {kind.__name__ for kind in found if inspect.isclass(kind) and issubclass(kind, Operator)}
    hidden -= set(operators.__all__)
    assert not hidden, f"Import {sorted(hidden)} in dis_lightning/operators/__init__.py and name them in `__all__`."


@for_every_operator
def test_distance_and_energy_are_one_number_per_image_that_no_other_image_changes(name: str) -> None:
    operator, x = built(name), images()
    y = operator.measure(images(seed=5), NoiseSource(0, [0, 1, 2], DEVICE))
    for value in (operator.distance, operator.energy):
        together = value(x, y)
        assert together.shape == (3,)
        alone = torch.cat([value(x[row : row + 1], y[row : row + 1]) for row in range(3)])
        torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)
        slope = torch.func.grad(lambda x, value=value: value(x, y)[1])(x)
        assert slope[1].any()
        assert not slope[[0, 2]].any()


@for_every_operator
def test_the_gradient_of_the_distance_is_finite_also_where_the_distance_is_zero(name: str) -> None:
    operator, x = built(name), images()
    for clean in (x, images(seed=5)):
        y = measured(operator, clean)
        slope = torch.func.grad(lambda x, y=y: operator.distance(x, y).sum())(x)
        assert slope.isfinite().all()


@for_every_operator
def test_an_image_is_measured_the_same_in_any_batch(name: str) -> None:
    operator, x = built(name), images()
    together = operator.measure(x, NoiseSource(7, [4, 0, 9], DEVICE))
    alone = operator.measure(x[1:2], NoiseSource(7, [0], DEVICE))
    if not isinstance(together, Tensor):
        assert together[1:2] == alone
        return
    torch.testing.assert_close(together[1:2], alone, rtol=1e-5, atol=1e-5)
    if isinstance(operator, GaussianOperator):
        other = operator.measure(x[1:2], NoiseSource(7, [1], DEVICE))
        assert not torch.equal(alone, other)


@for_every_operator
def test_the_picture_of_a_measurement_is_an_image_that_can_be_shown(name: str) -> None:
    operator = built(name)
    picture = operator.picture(operator.measure(images(), NoiseSource(0, [0, 1, 2], DEVICE)))
    assert (picture.ndim, *picture.shape[:2]) == (4, 3, 3)
    assert picture.abs().max() <= 1


@for_every_operator
def test_an_operator_remembers_nothing_of_earlier_images(name: str) -> None:
    """Masks and matrices that are kept for speed must fit the next image's type."""
    used, fresh = built(name), built(name)
    used(images(1))
    x = images(2, dtype=torch.float64)
    assert used(x).dtype == torch.float64
    assert torch.equal(used(x), fresh(x))


@for_every_operator
def test_gradients_can_be_taken_after_use_in_inference_mode(name: str) -> None:
    """Lightning's hooks run in inference mode; what an operator keeps from there must serve the solvers too."""
    operator, x = built(name), images().requires_grad_()
    with torch.inference_mode():
        y = measured(operator, images(seed=5))
    operator.distance(x, y.clone() if isinstance(y, Tensor) else y).sum().backward()
    assert x.grad.isfinite().all()


@for_every_operator
def test_the_repr_says_how_an_operator_was_built(name: str) -> None:
    """Without a command line, a run folder knows by it which run it belongs to."""
    operator = built(name)
    arguments = set(inspect.signature(type(operator)).parameters)
    assert {argument for argument in arguments if f"{argument}=" not in repr(operator)} == set()


@for_every_operator
def test_a_number_that_is_none_or_not_whole_is_named(name: str) -> None:
    plain = inspect.signature(getattr(operators, name)).parameters
    for argument in [argument for argument in plain if plain[argument].annotation in (int, float)]:
        with pytest.raises(TypeError, match=rf"{name} needs a number as `{argument}`, but got none \(null\)"):
            built(name, **{argument: None})
        if plain[argument].annotation is int:
            with pytest.raises(
                ValueError, match=f"{name} needs {argument} >= .*a whole number, but got {argument}=1.5"
            ):
                built(name, **{argument: 1.5})


@for_every_operator
def test_a_precision_may_be_given_by_its_name(name: str) -> None:
    if "dtype" in inspect.signature(getattr(operators, name)).parameters:
        assert built(name, dtype="bfloat16").dtype == torch.bfloat16
        with pytest.raises(ValueError, match="A dtype is one of float32"):
            built(name, dtype="float61")


@for_gaussian_operators
def test_distance_and_energy_are_zero_at_the_clean_image_alone(name: str) -> None:
    operator, x = built(name), images()
    for value in (operator.distance, operator.energy):
        assert torch.equal(value(x, operator(x)), torch.zeros(3, device=DEVICE))
        assert (value(images(seed=5), operator(x)) > 0).all()


@for_gaussian_operators
def test_a_measurement_of_another_shape_is_refused_with_both(name: str) -> None:
    """Most of them would be broadcast without a word."""
    operator, x = built(name), images()
    y = operator(x)
    for wrong in (y[..., :1], y[:1], y.unsqueeze(0)):
        for value in (operator.distance, operator.energy):
            with pytest.raises(ValueError, match=rf"{name} measures \(.*\) of images \(3, 3, 8, 8\), but y has \(.*\)"):
                value(x, wrong)


@for_gaussian_operators
def test_the_distance_is_the_euclidean_norm_of_the_residual(name: str) -> None:
    operator, x = built(name), images(dtype=torch.float64)
    y = operator(images(seed=5, dtype=torch.float64))
    residual = (operator(x) - y).flatten(1)
    torch.testing.assert_close(operator.distance(x, y), residual.pow(2).sum(1).sqrt(), rtol=1e-12, atol=0)


@for_gaussian_operators
def test_differences_of_the_energy_are_those_of_the_log_density(name: str) -> None:
    operator = built(name, noise_std=0.3)
    first, second = images(dtype=torch.float64), images(seed=5, dtype=torch.float64)
    y = operator.measure(images(seed=6, dtype=torch.float64), NoiseSource(0, [0, 1, 2], DEVICE))

    def log_density(x: Tensor) -> Tensor:
        return torch.distributions.Normal(operator(x), 0.3).log_prob(y).flatten(1).sum(1)

    difference = operator.energy(first, y) - operator.energy(second, y)
    torch.testing.assert_close(difference, log_density(second) - log_density(first), rtol=1e-9, atol=1e-9)


@for_gaussian_operators
def test_measuring_adds_normal_noise_of_the_stated_size(name: str) -> None:
    operator, x = built(name, noise_std=0.3), images(1).expand(100, -1, -1, -1)
    noise = (operator.measure(x, NoiseSource(0, range(100), DEVICE)) - operator(x)).double() / 0.3
    # A chi-square with as many degrees of freedom as there are numbers has this count as mean, twice it as variance.
    count = noise.numel()
    assert abs(noise.square().sum() - count) < 5 * math.sqrt(2 * count)
    assert abs(noise.mean()) < 5 / math.sqrt(count)
    assert torch.equal(built(name, noise_std=0.0).measure(x, NoiseSource(0, range(100), DEVICE)), operator(x))


@for_gaussian_operators
def test_the_energy_of_a_measurement_without_noise_is_refused(name: str) -> None:
    operator = built(name, noise_std=0.0)
    with pytest.raises(ValueError, match=f"The energy of {name} needs noise_std > 0"):
        operator.energy(images(), operator(images()))


@for_linear_operators
def test_it_is_linear(name: str) -> None:
    operator = built(name)
    first, second = images(dtype=torch.float64), images(seed=5, dtype=torch.float64)
    torch.testing.assert_close(
        operator(2 * first - 3 * second), 2 * operator(first) - 3 * operator(second), rtol=0, atol=1e-12
    )


@for_linear_operators
def test_the_adjoint_moves_to_the_other_side_of_the_inner_product(name: str) -> None:
    operator, x = built(name), images(dtype=torch.float64)
    y = values_like(operator(x))
    assert operator.adjoint(y).shape == x.shape
    sides = [(operator(x) * y).flatten(1).sum(1), (x * operator.adjoint(y)).flatten(1).sum(1)]
    torch.testing.assert_close(*sides, rtol=0, atol=1e-12 * float(x.norm() * y.norm()))


@for_linear_operators
def test_the_adjoint_is_what_autograd_takes_for_the_transpose(name: str) -> None:
    operator, x = built(name), images(dtype=torch.float64)
    y, pull_back = torch.func.vjp(operator, x)
    torch.testing.assert_close(operator.adjoint(values_like(y)), pull_back(values_like(y))[0], rtol=0, atol=1e-12)


@for_linear_operators
def test_the_slope_of_the_distance_is_the_adjoint_of_the_unit_residual(name: str) -> None:
    operator, x = built(name), images(dtype=torch.float64)
    y = values_like(operator(x))
    slope = torch.func.grad(lambda x: operator.distance(x, y).sum())(x)
    residual = operator(x) - y
    unit = residual / operator.distance(x, y).reshape(-1, *[1] * (y.ndim - 1))
    torch.testing.assert_close(slope, operator.adjoint(unit), rtol=0, atol=1e-12)


@for_linear_operators
def test_the_dense_matrix_is_the_operator(name: str) -> None:
    operator, x = built(name), images(dtype=torch.float64)
    matrix = operator.matrix(SHAPE).to(DEVICE)
    torch.testing.assert_close(x.flatten(1) @ matrix.T, operator(x).flatten(1), rtol=0, atol=1e-12)
    y = values_like(operator(x))
    torch.testing.assert_close(y.flatten(1) @ matrix, operator.adjoint(y).flatten(1), rtol=0, atol=1e-12)


@for_linear_operators
def test_measuring_what_the_pseudo_inverse_made_changes_nothing(name: str) -> None:
    """`A A+ A = A`, up to the singular values that the operator says it takes as zero, and `A+ A A+ = A+`."""
    operator, x = built(name), images(dtype=torch.float64)
    # An operator that is cut at a share of its largest singular value loses at most as much of the norm.
    share = getattr(operator, "tolerance", 1e-12)
    norm = torch.linalg.matrix_norm(operator.matrix(SHAPE).to(DEVICE), 2)
    error = operator(operator.pseudo_inverse(operator(x))) - operator(x)
    assert error.norm() <= share * norm * x.norm()
    once = operator.pseudo_inverse(operator(x))
    torch.testing.assert_close(operator.pseudo_inverse(operator(once)), once, rtol=0, atol=1e-9)


@for_linear_operators
def test_the_pseudo_inverse_is_the_shortest_explanation(name: str) -> None:
    """It has no part that the operator does not see: it lies in the range of the adjoint."""
    operator = built(name)
    matrix = operator.matrix(SHAPE).to(DEVICE)
    x = operator.pseudo_inverse(values_like(operator(images(dtype=torch.float64)))).flatten(1)
    seen = torch.linalg.pinv(matrix) @ matrix
    torch.testing.assert_close(x @ seen.T, x, rtol=0, atol=1e-8)


@for_linear_operators
@pytest.mark.parametrize("step", [0.125, 1.0, 128.0])
def test_the_proximal_step_is_where_the_slope_of_its_goal_vanishes(name: str, step: float) -> None:
    operator, x = built(name), images(dtype=torch.float64)
    y = values_like(operator(x))
    z = operator.proximal(x, y, step)
    slope = (z - x) + step * operator.adjoint(operator(z) - y)
    torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-11 * max(1, step))


@for_linear_operators
def test_much_damping_leaves_the_adjoint_and_little_the_pseudo_inverse(name: str) -> None:
    """What an operator takes as lost in its pseudo-inverse must be damped away first."""
    operator = built(name)
    seen = operator(images(dtype=torch.float64))
    damped = operator.pseudo_inverse(seen, damping=1e12)
    torch.testing.assert_close(damped * 1e12, operator.adjoint(seen), rtol=1e-6, atol=1e-6)
    if not getattr(operator, "tolerance", 0) > 1e-3:
        torch.testing.assert_close(
            operator.pseudo_inverse(seen, damping=1e-10), operator.pseudo_inverse(seen), rtol=0, atol=1e-6
        )


@for_linear_operators
@pytest.mark.parametrize("step", [0.0, -1.0, math.nan])
def test_a_proximal_step_that_is_not_positive_is_refused(name: str, step: float) -> None:
    operator, x = built(name), images()
    with pytest.raises(ValueError, match=f"{name} needs step > 0, but got {step}"):
        operator.proximal(x, operator(x), step)
