"""Recordings, without a GPU: each replay computes anew and writes over what it wrote before, as a CUDA graph does."""

import copy
import gc
import pickle
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from conformance.catalogue import SOLVERS, build_operator, build_solver, small_unet
from torch import Tensor

from dis_lightning.meters import CostMeter
from dis_lightning.noise import NoiseSource
from dis_lightning.priors import EDM, ConsistencyModel
from dis_lightning.priors.networks.blocks import fuse
from dis_lightning.priors.networks.graphs import Replayed


class Repeated:
    def __init__(self, device: torch.device) -> None:
        assert device == torch.device("cpu")

    def record(self, work: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], None]]:
        output = work()

        def replay() -> None:
            output.copy_(work())

        return output, replay

    def aside(self) -> AbstractContextManager[None]:
        return nullcontext()


def replayed(network: Any = None, prior: type = EDM, **more: Any) -> Any:
    denoiser = prior(network or small_unet(**more), compile="cuda_graphs")
    denoiser._replayed.recorder = Repeated
    return denoiser


def recordings(denoiser: Any) -> int:
    return sum(map(len, denoiser._replayed.recordings.values()))


def two_alive(denoiser: Any, x: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    first = denoiser(x, 2.0)
    second = denoiser(first + x, 0.5)
    (slope,) = torch.autograd.grad((first * second).sum(), x)
    return [first.detach(), second.detach(), slope]


def test_evaluations_that_are_alive_together_do_not_write_over_each_other() -> None:
    denoiser, plain = replayed(), EDM(small_unet())
    for seed in range(3):
        x = torch.randn(2, *plain.shape, generator=torch.Generator().manual_seed(seed))
        for a, b in zip(two_alive(denoiser, x), two_alive(plain, x), strict=True):
            assert torch.equal(a, b)
        with torch.no_grad():
            kept = denoiser(x, 2.0)
            assert torch.equal(denoiser(2 * x, 1.0), plain(2 * x, 1.0))
            assert torch.equal(kept, plain(x, 2.0))
    assert recordings(denoiser) == 3  # two for what was alive together, one without gradient


def test_a_gradient_may_be_asked_for_twice() -> None:
    denoiser, plain = replayed(), EDM(small_unet())
    x = torch.randn(2, *plain.shape, requires_grad=True)
    found, wanted = denoiser(x, 1.0), plain(x, 1.0)
    for power in (1, 2):
        slopes = [torch.autograd.grad((each**power).sum(), x, retain_graph=True)[0] for each in (found, wanted)]
        assert torch.equal(*slopes)


def test_a_recording_holds_one_evaluation_at_a_time() -> None:
    denoiser = replayed(copy.deepcopy(small_unet()))
    outputs: list[weakref.ref[Tensor]] = []
    alive: list[int] = []
    network = denoiser._replayed.network
    network.register_forward_pre_hook(lambda *_: alive.append(sum(each() is not None for each in outputs)))
    network.register_forward_hook(lambda _, __, output: outputs.append(weakref.ref(output)))
    denoiser(torch.randn(2, *denoiser.shape, requires_grad=True), 1.0)
    assert len(alive) > 1
    assert not any(alive)


def test_labels_and_levels_are_inputs_of_one_recording() -> None:
    denoiser, plain = replayed(num_classes=3), EDM(small_unet(num_classes=3))
    x = torch.randn(2, *plain.shape)
    for labels in (torch.tensor([0, 2]), torch.tensor([1, 1])):
        for sigma in (3.0, torch.tensor([0.1, 5.0])):
            assert torch.equal(denoiser.given(labels)(x, sigma), plain.given(labels)(x, sigma))
    assert recordings(denoiser) == 1


def test_each_batch_size_has_a_recording() -> None:
    denoiser, plain = replayed(), EDM(small_unet())
    for size in (1, 3, 1, 3):
        x = torch.randn(size, *plain.shape)
        assert torch.equal(denoiser(x, 1.0), plain(x, 1.0))
    assert recordings(denoiser) == 2


@pytest.mark.parametrize("move", [lambda network: network.double().float(), fuse], ids=["all", "some"])
def test_weights_that_move_are_recorded_anew_and_the_old_recordings_let_go(move: Callable[[Any], Any]) -> None:
    denoiser = replayed(copy.deepcopy(small_unet()))
    x = torch.randn(1, *denoiser.shape)
    before = denoiser(x, 1.0)
    assert torch.equal(denoiser(x, 1.0), before)
    ((first,),) = denoiser._replayed.recordings.values()
    first = weakref.ref(first)
    move(denoiser.network)
    torch.testing.assert_close(denoiser(x, 1.0), before)
    assert recordings(denoiser) == 1
    gc.collect()
    assert first() is None


def test_weights_that_learn_get_their_gradients() -> None:
    network = copy.deepcopy(small_unet()).requires_grad_()
    found = Replayed(network, Repeated)(torch.randn(1, 3, 8, 8), torch.ones(1))
    found.sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())


def test_copies_record_for_themselves() -> None:
    denoiser = replayed()
    x = torch.randn(1, *denoiser.shape)
    denoiser(x, 1.0)
    denoiser._replayed.recorder = None
    for twin in (copy.deepcopy(denoiser), pickle.loads(pickle.dumps(denoiser))):
        assert recordings(twin) == 0
        assert twin._replayed.network is twin.network


@pytest.mark.parametrize("name", SOLVERS)
def test_every_solver_samples_the_same_and_counts_the_same(name: str) -> None:
    operator = build_operator("AveragePool")

    def run(prior: Callable[[], Any]) -> tuple[Tensor, int, int]:
        networks = {"denoiser": prior()} | ({"consistency": prior()} if SOLVERS[name].consistency else {})
        solver = build_solver(name, operator=operator, num_samples=2, **networks)
        noise = NoiseSource(0, [4, 0])
        y = operator.measure(torch.zeros(2, *solver.denoiser.shape), noise)
        with CostMeter(list(networks.values()), noise.device) as meter:
            samples = solver.solve(y, noise)
        return samples, meter.evaluations, meter.gradients

    kind = EDM if SOLVERS[name].strict else ConsistencyModel
    samples, *costs = run(lambda: replayed(prior=kind))
    wanted, *plain_costs = run(lambda: kind(small_unet()))
    assert torch.equal(samples, wanted)
    assert costs == plain_costs == [2 * SOLVERS[name].evaluations, 2 * SOLVERS[name].gradients]
