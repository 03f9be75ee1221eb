"""What makes sampling fast wherever it runs, shown without a clock."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conformance.catalogue import SHAPE, SOLVERS, build_operator, build_solver
from rich.progress import Progress
from torch import nn
from torch._dynamo.testing import CompileCounter
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from dis_lightning.callbacks import SamplingProgress, Writer
from dis_lightning.levels import KarrasLevels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import AveragePool
from dis_lightning.priors import EDM, ConsistencyModel, UNet
from dis_lightning.priors.checkpoints.cards import file_cards
from dis_lightning.solvers import DPS, Solver

ROOMS = Path(__file__).parents[1] / "configs" / "rooms" / "edm.yaml"
STEPS = 5


def rooms_network() -> EDM:
    torch.manual_seed(0)
    model: dict[str, Any] = yaml.safe_load(ROOMS.read_text())["training"]["init_args"]["model"]
    network = UNet(**model["init_args"]["network"]["init_args"])
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.reset_parameters()  # some start at zero, and would hide the rest of the network
    return EDM(network)


def build(denoiser: EDM) -> DPS:
    return DPS(AveragePool(factor=4, noise_std=0.1), denoiser, KarrasLevels(STEPS), scale=0.1)


def measured(solver: Solver, images: int) -> tuple[torch.Tensor, NoiseSource]:
    noise = NoiseSource(0, range(images))
    return solver.operator.measure(torch.zeros(images, *solver.denoiser.shape), noise), noise


def flops(function: Any, *arguments: Any) -> int:
    with FlopCounterMode(display=False) as counter:
        function(*arguments)
    return counter.get_total_flops()


class HostReads(TorchDispatchMode):
    """Counts what makes the host wait for a device: its numbers read, or shapes that depend on them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket in (torch.ops.aten._local_scalar_dense, torch.ops.aten.equal) or (
            torch.Tag.dynamic_output_shape in func.tags
        ):
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


def test_an_evaluation_of_the_bedroom_network_is_2_24_tflop():
    with torch.device("meta"):
        network = UNet(**file_cards()["edm_bedroom256_ema"].arguments)
        count = flops(network, torch.empty(1, 3, 256, 256), torch.empty(1))
    assert count / 1e12 == pytest.approx(2.24, abs=0.005)


def test_the_gradient_of_a_guided_step_costs_one_evaluation(monkeypatch: pytest.MonkeyPatch):
    solver = build(rooms_network())
    assert not any(parameter.requires_grad for parameter in solver.parameters())
    y, noise = measured(solver, 2)
    x_t = 80 * noise.normal((2, 3, 32, 32))
    evaluation, backward = flops(solver.denoiser, x_t, 80.0), FlopCounterMode(display=False)
    differentiate = torch.autograd.grad

    def counted(*arguments: Any, **options: Any) -> Any:
        with backward:
            return differentiate(*arguments, **options)

    monkeypatch.setattr(torch.autograd, "grad", counted)
    solver.guide(x_t, 80.0, y, noise)
    # Attention computes its weights again on the way back, and differentiates two products.
    assert evaluation <= backward.get_total_flops() <= 1.15 * evaluation


# The compiler looks at `.grad` of the network's input, which in a guided step is computed from the noisy image.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_a_run_compiles_the_network_once_and_samples_the_same():
    torch._dynamo.reset()
    solver, counter = build(rooms_network()), CompileCounter()
    wanted = [solver.solve(*measured(solver, 2)), solver.solve(*measured(solver, 2))]
    solver.denoiser.compile(backend=counter, fullgraph=True)
    for samples in wanted:
        assert torch.equal(solver.solve(*measured(solver, 2)), samples)
    assert counter.frame_count == 1


@pytest.mark.parametrize("name", SOLVERS)
def test_the_host_never_waits_for_the_device_inside_a_loop(name: str):
    network = UNet(SHAPE[-1], 32, num_res_blocks=1, attention_resolutions=[8], channel_mult=[1], num_head_channels=32)
    # One network for both parts, and for either kind where that is taken.
    kind = EDM if SOLVERS[name].strict else ConsistencyModel
    solver = build_solver(name, operator=build_operator("AveragePool"), denoiser=kind(network))
    y, noise = measured(solver, 2)
    progress = SamplingProgress()
    progress._bars = Progress(disable=True)
    progress._steps = progress._bars.add_task("steps", total=None)
    solver.observers = [progress._on_step, Writer("unused")._on_step]
    with HostReads() as reads:
        solver.solve(y, noise)
    assert reads.found == []
    assert progress._bars.tasks[0].finished


@pytest.mark.parametrize("read", [torch.Tensor.item, bool, float, torch.nonzero, lambda x: x[x > 0]])
def test_a_wait_would_be_seen(read: Any):
    x = torch.ones(1)
    with HostReads() as reads:
        read(x)
    assert reads.found
