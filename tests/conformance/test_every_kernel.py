"""What every kernel keeps to. A new kernel is found by itself and needs an entry in `catalogue.py`, no test here.

In one dimension the truth is known: a Gaussian for `E = h (z - c)^2 / 2`, whose curvature is `1 + h`, and an integral
for any other E.
"""

import importlib
import inspect
import math
import pkgutil

import pytest
import torch
from catalogue import DEVICE, KERNELS, concrete
from one_stream import OneStream
from torch import Tensor

from dis_lightning import kernels
from dis_lightning.kernels import Kernel, Point, Target, differentiate, walk
from dis_lightning.noise import NoiseSource

FOUND = [kernel.__name__ for kernel in concrete(kernels, Kernel) if kernel.__name__ in KERNELS]
SAMPLERS = [name for name in FOUND if KERNELS[name].law]

for_every_kernel = pytest.mark.parametrize("name", FOUND)
for_every_sampler = pytest.mark.parametrize("name", SAMPLERS)

STIFFNESS, CENTRE = 1.5, 0.8
ROWS, STEPS = 20_000, 12


@differentiate
def bowl(z: Tensor) -> tuple[Tensor, Tensor]:
    """A Gaussian of curvature 1 + h with the prior."""
    return STIFFNESS * (z - CENTRE).square().flatten(1).sum(dim=1) / 2, 3 * z


@differentiate
def waves(z: Tensor) -> tuple[Tensor, Tensor]:
    return (1.5 * torch.sin(2 * z)).flatten(1).sum(dim=1), z


def after(name: str, target: Target, noise: NoiseSource, start: Tensor, steps: int = STEPS) -> Point:
    return list(walk(KERNELS[name].build(), target(start), steps, target, noise))[-1]


def some(rows: int = 4) -> Tensor:
    return torch.randn(rows, 2, 3, generator=torch.Generator().manual_seed(0)).to(DEVICE)


def test_every_kernel_has_an_entry() -> None:
    missing = sorted({kernel.__name__ for kernel in concrete(kernels, Kernel)} - set(KERNELS))
    assert not missing, f"Give {missing} an entry in KERNELS of tests/conformance/catalogue.py: how, and its law."


def test_every_kernel_in_the_folder_is_public() -> None:
    files = [file.name for file in pkgutil.iter_modules(kernels.__path__)]
    found = [value for file in files for value in vars(importlib.import_module(f"{kernels.__name__}.{file}")).values()]
    hidden = {kind.__name__ for kind in found if inspect.isclass(kind) and issubclass(kind, Kernel)}
    hidden -= set(kernels.__all__)
    assert not hidden, f"Import {sorted(hidden)} in dis_lightning/kernels/__init__.py and name them in `__all__`."


@for_every_sampler
@pytest.mark.parametrize("begun", ["at its law", "elsewhere"])
def test_the_law_that_it_is_said_to_have_stays_and_is_reached(name: str, begun: str) -> None:
    curvature = 1 + STIFFNESS
    mean, variance = STIFFNESS * CENTRE / curvature, KERNELS[name].law(curvature)
    start = OneStream(1, DEVICE).normal((ROWS, 1))
    start = mean + math.sqrt(variance) * start if begun == "at its law" else 0.1 * start - 1
    z = after(name, bowl, OneStream(0, DEVICE), start, STEPS if begun == "at its law" else 60).z.double()
    assert abs(z.mean() - mean) < 5 * math.sqrt(variance / ROWS)
    assert abs(z.var() - variance) < 5 * variance * math.sqrt(2 / ROWS)


@pytest.mark.parametrize("name", [name for name in SAMPLERS if KERNELS[name].exact])
def test_an_exact_kernel_keeps_the_law_of_any_energy(name: str) -> None:
    grid = torch.linspace(-4, 4, 4001, dtype=torch.float64, device=DEVICE)[:, None]
    density = torch.exp(-waves(grid).energy - grid[:, 0].square() / 2)
    share = (density / density.sum()).cumsum(0)
    uniform = torch.rand(ROWS, generator=torch.Generator().manual_seed(2), dtype=torch.float64).to(DEVICE)
    start = grid[torch.searchsorted(share, uniform).clamp(max=4000)]
    z = after(name, waves, OneStream(0, DEVICE), start)
    for power in (1, 2, 4):
        truth = (grid[:, 0] ** power * density).sum() / density.sum()
        spread = (grid[:, 0] ** (2 * power) * density).sum() / density.sum() - truth**2
        assert abs((z.z**power).mean() - truth) < 5 * (spread / ROWS).sqrt()
    assert (z.z != start).any(dim=1).double().mean() > 0.5


@for_every_kernel
def test_a_kernel_without_a_law_descends_and_draws_nothing(name: str) -> None:
    start, found = some(), after(name, waves, NoiseSource(0, range(4), DEVICE), some())
    other = after(name, waves, NoiseSource(1, range(4), DEVICE), some())
    if KERNELS[name].law:
        assert not torch.equal(found.z, other.z)
    else:
        assert torch.equal(found.z, other.z)
        assert (found.energy < waves(start).energy).all()


@for_every_kernel
def test_it_depends_on_the_noise_alone_and_leaves_the_global_generator_alone(name: str) -> None:
    before = torch.get_rng_state()
    first, second = (after(name, waves, NoiseSource(3, range(4), DEVICE), some()) for _ in range(2))
    assert torch.equal(first.z, second.z)
    assert torch.equal(torch.get_rng_state(), before)


@for_every_kernel
def test_a_row_does_not_feel_the_others_and_a_broken_one_breaks_itself_alone(name: str) -> None:
    start = some()
    alone = after(name, waves, NoiseSource(0, [5], DEVICE), start[2:3])
    start[0] = math.nan
    together = after(name, waves, NoiseSource(0, [1, 2, 5, 3], DEVICE), start)
    torch.testing.assert_close(together.z[2:3], alone.z, rtol=1e-5, atol=1e-5)
    assert together.z[1:].isfinite().all()


@for_every_kernel
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_next_point_is_evaluated_in_the_type_of_the_noise_and_the_last_one_is_left_as_it_was(
    name: str, dtype: torch.dtype
) -> None:
    kernel, target = KERNELS[name].build(), bowl
    point = target(some().to(dtype))
    kept = [part.clone() for part in point]
    found, _ = kernel.step(point, kernel.init(point), target, NoiseSource(0, range(4), DEVICE))
    again = target(found.z)
    for part, wanted in zip(found, again, strict=True):
        assert part.dtype == dtype
        assert not part.requires_grad
        torch.testing.assert_close(part, wanted)
    assert all(torch.equal(part, before) for part, before in zip(point, kept, strict=True))


@for_every_kernel
def test_a_kernel_remembers_nothing_so_that_two_chains_can_share_it(name: str) -> None:
    kernel, parts = KERNELS[name].build(), [(bowl, some(), 0), (waves, some() / 2, 1)]
    chains = [walk(kernel, target(z), 5, target, NoiseSource(seed, range(4), DEVICE)) for target, z, seed in parts]
    shared = list(zip(*chains, strict=True))[-1]
    for (target, z, seed), point in zip(parts, shared, strict=True):
        alone = list(walk(KERNELS[name].build(), target(z), 5, target, NoiseSource(seed, range(4), DEVICE)))[-1]
        assert torch.equal(point.z, alone.z)


@for_every_kernel
def test_a_number_that_is_none_or_out_of_range_is_named(name: str) -> None:
    kind = getattr(kernels, name)
    plain = inspect.signature(kind).parameters
    numbers = [argument for argument in plain if plain[argument].annotation in (int, float)]
    needed = {argument: 1 for argument in numbers if plain[argument].default is inspect.Parameter.empty}
    for argument in numbers:
        with pytest.raises(TypeError, match=rf"{name} needs a number as `{argument}`, but got none \(null\)"):
            kind(**needed | {argument: None})
        if plain[argument].annotation is int:
            with pytest.raises(
                ValueError, match=f"{name} needs {argument} >= .*a whole number, but got {argument}=1.5"
            ):
                kind(**needed | {argument: 1.5})
        with pytest.raises(ValueError, match=f"{name} needs .*{argument}"):
            kind(**needed | {argument: -math.inf})
