"""What every solver keeps to. A new solver is found by itself and needs an entry in `catalogue.py`, no test here."""

import importlib
import inspect
import pkgutil
from itertools import pairwise

import pytest
import torch
from catalogue import OPERATORS, SHAPE, SOLVERS, build_operator, concrete, small_unet
from torch import nn
from trials import DEVICE, INDICES, OPERATOR, PRIOR, TinyNetwork, build, for_every_solver, measured

from dis_lightning import operators, solvers
from dis_lightning.levels import Levels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import AveragePool, LinearOperator, NonlinearBlur
from dis_lightning.priors import EDM, ConsistencyModel
from dis_lightning.solvers import NoiseSpaceLangevin, Solver
from dis_lightning.types import State


def unet(dtype: torch.dtype) -> ConsistencyModel:
    return ConsistencyModel(small_unet(dtype))


def test_every_solver_has_an_entry() -> None:
    missing = sorted({solver.__name__ for solver in concrete(solvers, Solver)} - set(SOLVERS))
    assert not missing, f"Give {missing} an entry in SOLVERS of tests/conformance/catalogue.py: arguments and costs."


def test_every_solver_in_the_folder_is_public() -> None:
    files = [
        importlib.import_module(f"dis_lightning.solvers.{file.name}") for file in pkgutil.iter_modules(solvers.__path__)
    ]
    found = [value for file in files for value in vars(file).values() if inspect.isclass(value)]
    hidden = {kind.__name__ for kind in found if issubclass(kind, Solver)} - set(solvers.__all__)
    assert not hidden, f"Import {sorted(hidden)} in dis_lightning/solvers/__init__.py and name them in `__all__`."


@for_every_solver
def test_samples_have_two_axes_before_those_of_an_image_and_are_finite(name: str) -> None:
    samples = build(name, num_samples=4).solve(*measured(INDICES))
    assert (samples.shape, samples.dtype) == ((3, 4, *SHAPE), torch.float32)
    assert samples.isfinite().all()
    # Particles that were copied are the same sample.
    assert len(samples.flatten(2)[:, :, 0].unique()) >= (3 if SOLVERS[name].particles else 12)


@for_every_solver
@pytest.mark.parametrize("operator", sorted(OPERATORS.keys() & set(operators.__all__)))
def test_it_works_with_every_operator_that_it_takes(name: str, operator: str) -> None:
    built = build_operator(operator)
    if SOLVERS[name].linear and not isinstance(built, LinearOperator):
        with pytest.raises(TypeError, match="LinearOperator"):
            build(name, operator=built)
        return
    if SOLVERS[name].spectral and isinstance(built, LinearOperator) and built.noise_std and not built.decomposes:
        with pytest.raises(ValueError, match="singular value decomposition"):
            build(name, operator=built)
        return
    samples = build(name, operator=built, num_samples=1).solve(*measured(INDICES, built))
    assert samples.isfinite().all()


@for_every_solver
def test_it_works_with_a_measurement_that_carries_more_than_an_image(name: str) -> None:
    operator = NonlinearBlur(**OPERATORS["NonlinearBlur"]() | {"kernel_seed": None})  # each image's kernel beside it
    if not (SOLVERS[name].linear or SOLVERS[name].spectral):
        assert build(name, operator=operator, num_samples=1).solve(*measured(INDICES, operator)).isfinite().all()


@for_every_solver
def test_an_image_does_not_feel_the_others_in_its_batch_nor_its_place(name: str) -> None:
    solver = build(name)
    together = solver.solve(*measured(INDICES))
    alone = torch.cat([solver.solve(*measured([index])) for index in INDICES])
    turned = solver.solve(*measured(INDICES[::-1])).flip(0)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)
    torch.testing.assert_close(together, turned, rtol=0, atol=1e-4)


@for_every_solver
def test_the_first_samples_are_the_same_whatever_their_number(name: str) -> None:
    few, many = (build(name, num_samples=count).solve(*measured(INDICES)) for count in (2, 5))
    torch.testing.assert_close(few, many[:, :2], rtol=0, atol=1e-4)


@for_every_solver
def test_the_measurement_changes_the_samples_if_the_solver_looks_at_it(name: str) -> None:
    y, noise = measured(INDICES)
    solver = build(name)
    seen = not torch.equal(solver.solve(y, noise), solver.solve(y + 1, noise))
    assert seen == SOLVERS[name].looks


@for_every_solver
def test_what_was_drawn_before_does_not_matter(name: str) -> None:
    y, noise = measured(INDICES)
    used = NoiseSource(0, INDICES, DEVICE)
    used.normal((3, 1000))
    assert torch.equal(build(name).solve(y, noise), build(name).solve(y, used))


@for_every_solver
def test_the_global_generator_is_left_alone(name: str) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = build(name, denoiser=TinyNetwork()).solve(*measured(INDICES))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert torch.equal(build(name, denoiser=TinyNetwork()).solve(*measured(INDICES)), first)


@for_every_solver
def test_no_gradient_stays_behind(name: str) -> None:
    network = TinyNetwork()
    solver = build(name, denoiser=network)
    with torch.enable_grad():
        samples = solver.solve(*measured(INDICES))
    assert not samples.requires_grad
    assert not solver.training
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in network.parameters())


@for_every_solver
def test_a_network_in_bfloat16_changes_rounding_alone_and_leaves_all_else_in_float32(name: str) -> None:
    case = SOLVERS[name]
    kind = EDM if case.strict else ConsistencyModel
    # Which particles are copied may hang on the last bit of a weight: under so much noise they weigh the same.
    operator = AveragePool(2, noise_std=1e3) if case.particles else OPERATOR
    exact, rounded = (
        build(name, operator=operator, denoiser=prior, **{"consistency": prior} if case.consistency else {}).solve(
            *measured(INDICES, operator)
        )
        for prior in (kind(small_unet(torch.float32)), kind(small_unet(torch.bfloat16)))
    )
    assert rounded.dtype == torch.float32
    assert rounded.isfinite().all()
    error = ((rounded - exact).norm() / exact.norm()).item()
    # Measured 0.0015 to 0.0090; a number in bfloat16 is rounded by up to 0.004 of itself.
    assert 1e-5 < error < 0.03


@for_every_solver
@pytest.mark.parametrize("enabled", [True, False])
def test_the_callers_gradient_mode_holds_between_steps_and_after(name: str, enabled: bool) -> None:
    y, noise = measured(INDICES)
    solver = build(name, num_samples=1)
    rows = solver.rows_per_image
    y, noise = y.repeat_interleave(rows, dim=0), noise.samples(rows)
    with torch.set_grad_enabled(enabled):
        steps = solver.iterate(y, noise)
        for state in steps:
            assert torch.is_grad_enabled() == enabled
            assert not state.x_t.requires_grad
        next(solver.iterate(y, noise))  # and where somebody stops looking after a step
        assert torch.is_grad_enabled() == enabled


@for_every_solver
def test_observers_see_every_step_and_the_last_is_the_result(name: str) -> None:
    """Where a row gives several samples, the last image is the last of them; the moving variable stays one per row."""
    solver = build(name)
    seen: list[State] = []
    solver.observers.append(seen.append)
    samples = solver.solve(*measured(INDICES))
    assert [state.step for state in seen] == list(range(1, seen[0].steps + 1))
    rows = len(INDICES) * solver.rows_per_image
    assert all(state.x_t.shape == state.x_0.shape == (rows, *SHAPE) for state in seen)
    if solver.rows_per_image >= solver.num_samples:  # of particles the first are the samples
        moving = seen[-1].x_t.unflatten(0, (len(INDICES), -1))
        assert torch.equal(moving[:, : solver.num_samples], samples)
    else:
        assert torch.equal(seen[-1].x_0, samples[:, -1])
    assert all(earlier.sigma >= later.sigma for earlier, later in pairwise(seen))
    started = list(dict.fromkeys(state.sigma for state in seen))
    assert started == list(solver.levels[:1] if isinstance(solver, NoiseSpaceLangevin) else solver.levels[:-1])


@for_every_solver
def test_a_part_that_is_missing_or_of_another_kind_is_named(name: str) -> None:
    case = SOLVERS[name]
    parts = ["operator", "denoiser"] + ["consistency"] * case.consistency
    parts += [part for part, value in case.arguments.items() if isinstance(value, Levels)]
    for part in parts:
        for wrong, came in ((None, "none"), (nn.Identity(), "Identity")):
            with pytest.raises(TypeError, match=rf"{name} needs a `{part}` of type \w+, but got {came}"):
                build(name, **{part: wrong})


@for_every_solver
def test_a_prior_of_the_other_kind_is_refused_with_what_to_write_instead(name: str) -> None:
    """But a consistency model may guide as a posterior mean does: the papers' DPS-CM and its like."""
    case, wrong = SOLVERS[name], EDM(unet(torch.float32).network)
    if case.kind == "consistency map":
        with pytest.raises(
            ValueError, match=rf"{name} needs a consistency map as `denoiser`, but EDM .*/rooms_consistency"
        ):
            build(name, denoiser=wrong)
        with pytest.raises(ValueError, match=r"GaussianPrior gives a posterior mean, .*its consistency_map\(\)"):
            getattr(solvers, name)(**case.arguments, operator=OPERATOR, denoiser=PRIOR)
    elif case.strict:
        with pytest.raises(ValueError, match=rf"{name} needs a posterior mean as `denoiser`, but ConsistencyModel"):
            build(name, denoiser=unet(torch.float32))
    else:
        build(name, denoiser=unet(torch.float32))
    if case.consistency:
        with pytest.raises(ValueError, match=f"{name} needs a consistency map as `consistency`.*priors/rooms_pair"):
            build(name, consistency=wrong)
    build(name, denoiser=TinyNetwork())  # one that does not say what it is


@for_every_solver
def test_a_measurement_of_another_shape_is_refused_with_both(name: str) -> None:
    y, noise = measured(INDICES)
    for wrong in (y[:, :1], y[..., :2], y[..., None], torch.cat([y, y[:, :1]], dim=1)):
        if SOLVERS[name].looks:
            with pytest.raises(ValueError, match=r"AveragePool measures \(\d+, 3, 4, 4\) .* but y has \(\d+, .*\)"):
                build(name).solve(wrong, noise)


@for_every_solver
def test_a_number_that_is_none_or_not_whole_is_named(name: str) -> None:
    plain = inspect.signature(getattr(solvers, name)).parameters
    numbers = [argument for argument in plain if plain[argument].annotation in (int, float)] + ["num_samples", "seed"]
    for argument in numbers:
        with pytest.raises(TypeError, match=rf"{name} needs a number as `{argument}`, but got none \(null\)"):
            build(name, **{argument: None})
        if argument in ("num_samples", "seed") or plain[argument].annotation is int:
            with pytest.raises(
                ValueError, match=f"{name} needs {argument} >= .*a whole number, but got {argument}=1.5"
            ):
                build(name, **{argument: 1.5})


@for_every_solver
@pytest.mark.parametrize("argument", [{"num_samples": 0}, {"seed": -1}])
def test_numbers_out_of_range_are_refused(name: str, argument: dict[str, int]) -> None:
    ((argument_name, value),) = argument.items()
    with pytest.raises(ValueError, match=f"{name} needs .*{argument_name}={value}"):
        build(name, **argument)


@for_every_solver
def test_measurements_and_streams_of_different_numbers_are_refused(name: str) -> None:
    y, _ = measured(INDICES)
    with pytest.raises(ValueError, match="got 3 and 2"):
        build(name).solve(y, NoiseSource(0, INDICES[:2], DEVICE))
