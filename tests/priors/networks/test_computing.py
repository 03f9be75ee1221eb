"""How a prior computes, as an argument of its constructor."""

import copy
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from conformance.catalogue import SOLVERS, build_operator, build_solver, small_unet

from dis_lightning.described import description
from dis_lightning.meters import CostMeter
from dis_lightning.noise import NoiseSource
from dis_lightning.priors import EDM, ConsistencyModel, UNet, save_network
from dis_lightning.priors.networks.blocks import GroupNorm
from dis_lightning.runs.configuration import check_configuration
from dis_lightning.runs.folder import RunFolder


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[UNet, dict[str, Any]]]:
    """The networks that were compiled, and how, in the place of the compiler."""
    found: list[tuple[UNet, dict[str, Any]]] = []
    monkeypatch.setattr(UNet, "compile", lambda network, **more: found.append((network, more)))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")  # for the change to be undone
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    return found


@pytest.mark.parametrize(
    ("compile", "writes", "replays"), [(None, 0, 0), ("default", 1, 0), ("cuda_graphs", 0, 1), ("both", 1, 1)]
)
def test_each_value_of_compile(compile: Any, writes: int, replays: int, compiled: list[Any]) -> None:
    for prior in (EDM, ConsistencyModel):
        denoiser = prior(small_unet(), compile=compile)
        assert len(compiled) == writes
        assert (denoiser._replayed is not None) == bool(replays)
        compiled.clear()


def test_a_network_that_is_found_is_changed_when_it_is_read(tmp_path: Path, compiled: list[Any]) -> None:
    file = tmp_path / "network.safetensors"
    save_network(small_unet(), file)
    denoiser = EDM(file, compile="both", fused=True)
    assert compiled == []
    denoiser.load()
    denoiser.load()
    ((network, more),) = compiled
    assert network is denoiser.network.network
    assert more == {"fullgraph": True, "dynamic": False}
    assert all(layer.fused for layer in network.modules() if isinstance(layer, GroupNorm))


def test_compiled_code_is_kept_beside_the_weights_unless_another_place_is_named(
    compiled: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    EDM(small_unet(), compile="default")
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(Path(torch.hub.get_dir()) / "inductor")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "elsewhere")
    EDM(small_unet(), compile="default")
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "elsewhere"


@pytest.mark.parametrize("ways", [{"compile": "cuda_graphs"}, {"compile": "default"}, {"fused": True}])
def test_a_folder_tells_ways_to_compute_apart(ways: dict[str, Any], tmp_path: Path, compiled: list[Any]) -> None:
    folder = RunFolder(tmp_path)

    def made_by(**more: Any) -> dict[str, Any]:
        return {"denoiser": description(EDM(UNet(8, 32, 1, [], [1], num_head_channels=32), **more))}

    check_configuration(folder, made_by(), write=True)
    check_configuration(folder, made_by(), write=True)
    with pytest.raises(ValueError, match=f"denoiser.init_args.{next(iter(ways))}: .* there, .* now"):
        check_configuration(folder, made_by(**ways), write=True)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_a_compiled_network_takes_batches_of_many_sizes() -> None:
    torch._dynamo.reset()
    network = UNet(4, 32, 1, [], [1], num_head_channels=32).requires_grad_(False).eval()
    denoiser, plain = EDM(network), EDM(copy.deepcopy(network))
    with torch._dynamo.config.patch(recompile_limit=8):  # as it is at the start of a process
        denoiser.compile(backend="eager", fullgraph=True, dynamic=False)
        for size in range(1, 7):
            for differentiable in (False, True):
                x = torch.randn(size, 3, 4, 4, requires_grad=differentiable)
                assert torch.equal(denoiser(x, 1.0), plain(x, 1.0))


@pytest.fixture(scope="module")
def traced() -> ConsistencyModel:
    """A prior whose network is traced, forward and back, and not translated: which would take a minute on a CPU."""
    torch._dynamo.reset()
    denoiser = ConsistencyModel(copy.deepcopy(small_unet()))
    denoiser.compile(backend="aot_eager", fullgraph=True, dynamic=False)
    return denoiser


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("name", SOLVERS)
def test_every_solver_runs_compiled_and_counts_the_same(name: str, traced: ConsistencyModel) -> None:
    results = []
    kind = EDM if SOLVERS[name].strict else ConsistencyModel
    for denoiser in (kind(traced.network), kind(small_unet())):
        # One network for both parts, and for either kind.
        more = {"consistency": denoiser} if SOLVERS[name].consistency else {}
        solver = build_solver(name, operator=build_operator("AveragePool"), denoiser=denoiser, num_samples=2, **more)
        noise = NoiseSource(0, [4, 0])
        y = solver.operator.measure(torch.zeros(2, *denoiser.shape), noise)
        with CostMeter([denoiser], noise.device) as meter:
            samples = solver.solve(y, noise)
        results.append((samples, meter.evaluations, meter.gradients))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-4, atol=1e-4)
    assert results[0][1:] == results[1][1:] == (2 * SOLVERS[name].evaluations, 2 * SOLVERS[name].gradients)


@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="a compiled network needs a compiler")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_fused_and_compiled_together_is_the_plain_network_and_starts_again_from_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a minute: the smallest network, translated forward and back."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))

    def network() -> UNet:
        torch.manual_seed(0)
        made = UNet(4, 32, 1, [], [1], num_head_channels=32)
        for parameter in made.parameters():
            if not parameter.any():  # zeros would hide what is behind them
                torch.nn.init.normal_(parameter, std=0.02)
        return made.requires_grad_(False).eval()

    def results(**ways: Any) -> list[torch.Tensor]:
        prior, found = EDM(network(), **ways), []
        for sigma in (5.0, 0.3):  # which is a number to the network, and no other graph
            x_t = (sigma * x).requires_grad_()
            x_0 = prior(x_t, sigma)
            found += [x_0.detach(), *torch.autograd.grad(x_0.square().sum(), x_t)]
        return found

    plain = results()
    for hits in (0, 2):  # forward and back
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        for found, wanted in zip(results(compile="default", fused=True), plain, strict=True):
            assert (found - wanted).norm() < 1e-5 * wanted.norm()
        kept = torch._dynamo.utils.counters["inductor"]
        assert (kept["fxgraph_cache_hit"], kept["fxgraph_cache_miss"]) == (hits, 2 - hits)
    assert any(tmp_path.rglob("*.so"))
