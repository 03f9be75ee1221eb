"""The layers of a frozen network that save and move less, without a GPU."""

import copy
import inspect
import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from conformance.catalogue import small_unet
from small_run import ROOT
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

from dis_lightning.priors import EDM
from dis_lightning.priors.networks import fused
from dis_lightning.priors.networks.blocks import Conv2d, fuse
from dis_lightning.priors.networks.fused import conv2d, double, fits, halve

# Rounding of the result: half a unit in the last place, and a little for what comes before.
LIMITS = {"torch.float32": 1e-5, "torch.bfloat16": 5e-3, "torch.float16": 5e-4}


@pytest.fixture(scope="module")
def interpreted() -> dict[str, Any]:
    if find_spec("triton") is None:
        pytest.skip("Triton is not installed here: it comes with PyTorch for GPUs.")
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(Path(__file__).with_name("fused_cases.py"))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_fused_normalisation_is_that_of_float64_but_for_rounding(interpreted: dict[str, Any]) -> None:
    assert len(interpreted["cases"]) == 28
    for name, (dtype, value, slope, fitting) in interpreted["cases"].items():
        assert value < LIMITS[dtype], name
        assert slope < LIMITS[dtype], name
        assert fitting, name


def test_functions_name_all_their_arguments() -> None:
    """PyTorch 2.11 compiles no function of `*more` where there is no gradient; later ones do, so no run here tells."""
    functions = [one for one in vars(fused).values() if inspect.isclass(one) and issubclass(one, Function)]
    assert len(functions) == 3
    for function in functions:
        kinds = {parameter.kind for parameter in inspect.signature(function.forward).parameters.values()}
        assert kinds == {inspect.Parameter.POSITIONAL_OR_KEYWORD}, function


def test_a_fork_is_that_of_float64_in_one_piece_and_in_two(interpreted: dict[str, Any]) -> None:
    assert len(interpreted["forks"]) == 12
    for name, errors in interpreted["forks"].items():
        assert max(errors) < 1e-5, name


def test_a_column_of_pixels_may_have_rows_any_distance_apart(interpreted: dict[str, Any]) -> None:
    assert interpreted["column"] < 1e-5


def test_a_branch_that_is_not_used_costs_nothing_on_the_way_back(interpreted: dict[str, Any]) -> None:
    found = interpreted["one_sided"]
    assert len(found) == 6
    assert max(found) < 1e-5
    assert found[2] == found[5] == 0


def test_a_sum_with_shifts_is_rounded_once(interpreted: dict[str, Any]) -> None:
    assert len(interpreted["sums"]) == 8
    for name, error in interpreted["sums"].items():
        assert error <= (2 if "bfloat16" in name else 1), name  # Triton's interpreter cuts bfloat16 off


def test_changes_of_size_are_those_of_float64_but_for_rounding(interpreted: dict[str, Any]) -> None:
    assert len(interpreted["sizes"]) == 6
    for name, (dtype, *errors) in interpreted["sizes"].items():
        assert max(errors) < LIMITS[dtype], name


def test_a_fused_network_is_the_plain_one_to_1e_5(interpreted: dict[str, Any]) -> None:
    assert len(interpreted["networks"]) == 2
    for name, errors in interpreted["networks"].items():
        assert max(errors) < 1e-5, name


class Nowhere:
    """Triton's driver of a GPU that is not here: what it would be given to run is compiled, and goes no further."""

    def get_current_target(self) -> Any:
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return device


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_every_kernel_compiles_for_a_gpu_and_moves_16_bytes_at_a_time(
    memory: torch.memory_format, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if find_spec("triton") is None:
        pytest.skip("Triton is not installed here: it comes with PyTorch for GPUs.")
    from triton.runtime import JITFunction, driver

    from dis_lightning.priors.networks import fused_kernels

    compiled: dict[str, str] = {}

    def launch(kernel: Any, grid: Any) -> Any:
        def run(*args: Any, **options: Any) -> None:
            compiled[kernel.__name__] = kernel.run(*args, grid=grid, warmup=True, **options).asm["ptx"]

        return run

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(driver, "_active", Nowhere())
    monkeypatch.setattr(JITFunction, "__getitem__", launch)
    x, y, large = (torch.empty(2, 512, side, side, dtype=torch.bfloat16, device="cpu") for side in (16, 16, 32))
    x, y, large = (each.contiguous(memory_format=memory) for each in (x, y, large))
    halves = [half.contiguous(memory_format=memory) for half in x.split(256, dim=1)]
    weight, shift, affine, rates = (torch.empty(shape) for shape in ((512,), (2, 512), (3, 2, 512), (2, 32)))
    fused_kernels.forward(x, y, weight, weight, shift, weight, torch.empty(2, 1024), affine, rates, 1e-5, silu=True)
    fused_kernels.backward(y, x, x, halves, affine, rates, silu=True)
    fused_kernels.add(x, x, weight, weight, y)
    fused_kernels.resize(x, large, 1)
    kernels = {name for name, kernel in vars(fused_kernels).items() if isinstance(kernel, JITFunction)}
    assert compiled.keys() == kernels - {"_added", "_affine", "_at", "_pulled", "_read", "_tile"}  # which others call
    if memory == torch.channels_last:
        for name in ("_apply", "_apply_slopes", "_add", "_resize"):
            assert "st.global.v4.b32" in compiled[name], name
        for name in ("_sum_features", "_sum_slopes"):  # whose next tiles come while one is added up
            assert re.search(r"cp\.async\.\w+\.shared\.global \[.*?\], \[.*?\], 0x10", compiled[name]), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_frozen_convolution_is_the_plain_one_and_keeps_its_weights_alone(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 8, 5, 6, dtype=dtype, requires_grad=True)
    weight, bias = torch.randn(12, 8, 3, 3, dtype=dtype), torch.randn(12, dtype=dtype)
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda each: kept.append(each) or each, lambda each: each):
        y = conv2d(x, weight, bias, (1, 1))
    assert [each.shape for each in kept] == [weight.shape]
    plain = F.conv2d(x, weight, bias, padding=1)
    assert torch.equal(y, plain)
    slope = torch.randn_like(y)
    assert torch.equal(*(torch.autograd.grad(each, x, slope)[0] for each in (y, plain)))


@pytest.mark.parametrize(
    ("ours", "theirs"), [(halve, lambda x: F.avg_pool2d(x, 2)), (double, lambda x: F.interpolate(x, scale_factor=2.0))]
)
def test_changes_of_size_without_a_gpu_are_the_plain_ones_and_keep_nothing(ours: Any, theirs: Any) -> None:
    x = torch.randn(2, 3, 4, 6, requires_grad=True)
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda each: kept.append(each) or each, lambda each: each):
        y = ours(x)
    assert kept == []
    plain = theirs(x)
    slope = torch.randn_like(y)
    assert torch.equal(y, plain)
    torch.testing.assert_close(*(torch.autograd.grad(each, x, slope)[0] for each in (y, plain)))


def test_without_a_gpu_a_fused_network_computes_as_before_and_keeps_less() -> None:
    plain, frozen = EDM(small_unet()), EDM(copy.deepcopy(small_unet()), fused=True)
    x = torch.randn(2, *plain.shape, requires_grad=True)
    found, kept = [], []
    for denoiser in (plain, frozen):
        sizes: dict[int, int] = {}

        def keep(each: Tensor, sizes: dict[int, int] = sizes) -> Tensor:
            sizes[each.untyped_storage().data_ptr()] = each.untyped_storage().nbytes()
            return each

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda each: each):
            x_0 = denoiser(x, 1.0)
        found.append((x_0, *torch.autograd.grad(x_0.square().sum(), x)))
        weights = {weight.untyped_storage().data_ptr() for weight in denoiser.network.parameters()}
        kept.append(sum(size for place, size in sizes.items() if place not in weights))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    assert kept[1] < 0.85 * kept[0]


def test_weights_that_learn_take_the_plain_layers() -> None:
    network = copy.deepcopy(small_unet()).requires_grad_()
    fuse(network)
    network(torch.randn(1, 3, 8, 8, requires_grad=True), torch.ones(1)).sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())


def test_the_fused_normalisation_is_for_a_gpu_and_for_frozen_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight = torch.randn(1, 2), torch.randn(2, requires_grad=True)
    assert not fits(x)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setattr(fused, "TRITON", False)
    assert not fits(x)
    monkeypatch.setattr(fused, "TRITON", True)
    assert fits(x, None)
    assert not fits(x, None, weight)
    with torch.no_grad():
        assert fits(x, weight)


def test_all_layers_are_fused_and_lie_in_channels_last() -> None:
    network = copy.deepcopy(small_unet())
    fuse(network)
    convolutions = [layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert all(isinstance(layer, Conv2d) and layer.fused for layer in convolutions)
    assert all(layer.weight.is_contiguous(memory_format=torch.channels_last) for layer in convolutions)
