"""Every solver has every tensor where it needs it: shown on a CPU that stands for two devices."""

from collections.abc import Iterator

import pytest
import torch
from conformance.catalogue import SHAPE, SOLVERS, build_solver, smooth_covariance
from lightning import Trainer
from torch import Tensor, nn
from two_devices import DEVICE, TwoDevices

from dis_lightning.levels import KarrasLevels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import AveragePool, GaussianOperator
from dis_lightning.priors import Denoiser, GaussianPrior
from dis_lightning.solvers import DPS


@pytest.fixture(autouse=True)
def pretence() -> Iterator[None]:
    with TwoDevices():
        yield


def test_what_a_gpu_refuses_is_refused() -> None:
    there, here = torch.zeros(3).to(DEVICE), torch.zeros(3)
    for wrong in (
        lambda: there + here,
        lambda: 1 - there - here,
        lambda: torch.stack([here, there]),
        lambda: nn.Linear(3, 2)(there),
        lambda: torch.func.grad(lambda x: (x * here).sum())(there),
    ):
        with pytest.raises(RuntimeError, match="takes tensors of two devices"):
            wrong()
    with pytest.raises(TypeError, match="no array"):
        there.numpy()


def test_what_a_gpu_takes_is_taken() -> None:
    there, here, layer = torch.zeros(3).to(DEVICE), torch.zeros(3), nn.Linear(3, 2).to(DEVICE)

    def loss(x: Tensor) -> Tensor:
        return (layer(x) + torch.ones(2, device=x.device)).sum()

    found = [there + 1, there[torch.tensor([0, 2])], here.to(there), torch.func.grad(loss)(there), there.copy_(here)]
    found += torch.autograd.grad(loss(there.requires_grad_()), there)
    assert [each.device.index for each in found] == [0] * 6
    assert there.detach().cpu().numpy().sum() == 0
    assert here.device.index is None


@pytest.mark.parametrize("name", SOLVERS)
def test_a_solver_keeps_to_its_device(name: str) -> None:
    prior = GaussianPrior(torch.zeros(SHAPE), smooth_covariance())
    solver = build_solver(name, operator=AveragePool(2, noise_std=0.1), denoiser=prior, num_samples=2).to(DEVICE)
    index = torch.tensor([4, 0], device=DEVICE)
    images = torch.zeros(2, *SHAPE, device=DEVICE)
    found = solver.predict_step({"image": images, "index": index, "name": ["a", "b"]})
    assert (found.device, found.draws.samples.device.index) == (DEVICE, None)
    assert solver.solve(found.measurement, NoiseSource(0, [4, 0], DEVICE)).device == DEVICE


class OwnPrior(Denoiser):
    shape = SHAPE

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)

    def forward(self, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        estimate: Tensor = self.layer(x_t)
        return estimate


class OwnOperator(GaussianOperator):
    def __init__(self) -> None:
        super().__init__(0.1)
        self.register_buffer("gain", torch.full((3, 1, 1), 2.0))

    def forward(self, x_0: Tensor) -> Tensor:
        return x_0 * self.gain


@pytest.mark.filterwarnings("ignore:OwnPrior.forward changes its input")  # weights are random
def test_a_run_tries_parts_of_ones_own_where_they_will_be() -> None:
    solver = DPS(OwnOperator(), OwnPrior(), KarrasLevels(2), scale=1.0)
    solver.trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    solver._device = DEVICE  # as Lightning says it before it moves anything
    solver.setup("predict")
    assert {each.device.index for each in (solver.operator.gain, *solver.denoiser.parameters())} == {0}
