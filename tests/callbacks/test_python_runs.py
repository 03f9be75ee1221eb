"""A run in Python is known by the arguments of all its parts, as one of the command line is by its configuration."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
import yaml
from torch import Tensor, nn

from dis_lightning.callbacks import Writer
from dis_lightning.data import ImageData
from dis_lightning.data.base import ImageSet
from dis_lightning.guidance import LogMeanExp, SumDistance
from dis_lightning.kernels import EulerMaruyama, ExponentialIntegrator
from dis_lightning.levels import KarrasLevels, Levels, MultistepLevels
from dis_lightning.metrics import PSNR, MeasurementDistance, Metric
from dis_lightning.operators import AveragePool, GaussianBlur, GaussianOperator
from dis_lightning.priors import EDM, Denoiser, GaussianPrior
from dis_lightning.rooms import RoomsData
from dis_lightning.solvers import (
    DPS,
    LGD,
    ConsistencyDPS,
    ConsistencyInversion,
    ConsistencySampling,
    NoiseSpaceLangevin,
    Solver,
)
from dis_lightning.transitions import ProbabilityFlow

SHAPE = (3, 8, 8)

Parts = dict[str, Any]


def operator(factor: int = 4, noise_std: float = 0.1) -> AveragePool:
    return AveragePool(factor, noise_std=noise_std)


def prior(variance: float = 0.25) -> GaussianPrior:
    return GaussianPrior(torch.zeros(SHAPE), variance * torch.eye(192))


def generator(variance: float = 0.25) -> Denoiser:
    return prior(variance).consistency_map()


def lgd(**changes: Any) -> LGD:
    parts: Parts = {"scale": 1.0, "reduction": LogMeanExp(), "monte_carlo_samples": 2, "levels": KarrasLevels(4)}
    return LGD(**{"operator": operator(), "denoiser": prior()} | parts | changes)


def langevin(**changes: Any) -> NoiseSpaceLangevin:
    parts: Parts = {"kernel": ExponentialIntegrator(1e-3), "warm_start": 2, "burn_in": 1, "levels": Levels([80, 0.002])}
    return NoiseSpaceLangevin(**{"operator": operator(), "denoiser": generator()} | parts | changes)


def inversion(**changes: Any) -> ConsistencyInversion:
    parts: Parts = {"levels": MultistepLevels([0, 20, 39]), "learning_rates": [0.1, 0.1], "steps": [2, 2]}
    return ConsistencyInversion(**{"operator": operator(), "denoiser": generator()} | parts | changes)


def two_networks(**changes: Any) -> ConsistencyDPS:
    parts: Parts = {"levels": KarrasLevels(4), "scale": 1.0, "consistency": generator()}
    return ConsistencyDPS(**{"operator": operator(), "denoiser": prior()} | parts | changes)


class OwnOperator(GaussianOperator):
    """An operator as a user writes it, with a function and an object of its own."""

    def __init__(self, curve: Callable[[Tensor], Tensor], gain: "Gain", weight: Tensor, **common: Any) -> None:
        super().__init__(**common)
        self.curve = curve
        self.gain = gain
        self.register_buffer("weight", weight)

    def forward(self, x_0: Tensor) -> Tensor:
        return self.gain.value * self.curve(x_0) * self.weight


class Gain:
    """What knows nothing of descriptions."""

    def __init__(self, value: float) -> None:
        self.value = value


class OwnNetwork(nn.Module):
    """A network that knows nothing of descriptions, nor holds a tensor."""

    shape = SHAPE
    num_classes = None

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: Tensor, *_: Any) -> Tensor:
        return self.slope * x


def own(curve: Any = torch.tanh, gain: float = 0.5, weight: float = 1.0, slope: float = 0.0, **common: Any) -> DPS:
    measured = OwnOperator(curve, Gain(gain), torch.tensor(weight), **{"noise_std": 0.1} | common)
    network = EDM(OwnNetwork(slope)) if slope else prior()
    return DPS(measured, network, KarrasLevels(4), scale=1.0)


def run(folder: Path, solver: Solver, data: ImageData | None = None, *metrics: Metric) -> None:
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = lightning.Trainer(
        accelerator="cpu", callbacks=[*metrics, Writer(folder)], enable_model_summary=False, **quiet
    )
    trainer.predict(solver, data or RoomsData(size=8, num_images=3, batch_size=2), return_predictions=False)


@pytest.mark.parametrize("make", [lgd, langevin, inversion, two_networks, own])
def test_the_same_script_a_second_time_goes_on(
    make: Callable[[], Solver], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    solvers = [make(), make()]  # both at once, so that no part of the second has the address of the first's
    run(tmp_path, solvers[0])
    kept = (tmp_path / "config.yaml").read_text()
    assert " at 0x" not in kept
    capsys.readouterr()
    run(tmp_path, solvers[1], RoomsData(size=8, num_images=3, batch_size=1), PSNR(), MeasurementDistance())
    assert "Reused: 3 of 3 images" in capsys.readouterr().out


def test_the_keys_are_those_of_the_command_line(tmp_path: Path) -> None:
    run(tmp_path, two_networks())
    kept = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert list(kept) == ["data", "operator", "denoiser", "consistency", "model", "tensors"]
    assert kept["operator"]["init_args"] == {"factor": 4, "noise_std": 0.1}
    assert kept["model"]["init_args"]["levels"]["init_args"]["steps"] == 4
    assert kept["model"]["init_args"]["seed"] == 0  # an argument of a parent class, left to its default
    assert kept["data"]["init_args"] == {
        "split": "test",
        "size": 8,
        "seed": 0,
        "num_images": 3,
        "batch_size": 2,
        "num_workers": 0,
        "shard": None,
    }


def swish(x: Tensor) -> Tensor:
    return x * x.sigmoid()


OTHERS: dict[str, tuple[Callable[..., Solver], Parts]] = {
    "operator.init_args.factor": (lgd, {"operator": operator(factor=2)}),
    "operator.init_args.noise_std": (lgd, {"operator": operator(noise_std=0.2)}),
    "operator.class_path": (lgd, {"operator": GaussianBlur(3, 1.0, noise_std=0.1)}),
    "operator.init_args.curve": (own, {"curve": swish}),
    "operator.init_args.gain.init_args.value": (own, {"gain": 0.6}),
    "operator.init_args.weight.sha256": (own, {"weight": 0.9}),
    "denoiser.init_args.covariance.sha256": (lgd, {"denoiser": prior(0.36)}),
    "denoiser.init_args.prior.init_args.covariance.sha256": (langevin, {"denoiser": generator(0.36)}),
    "consistency.init_args.prior.init_args.covariance.sha256": (two_networks, {"consistency": generator(0.36)}),
    "model.class_path": (lambda: ConsistencySampling(operator(), generator(), Levels([80, 0.002])), {}),
    "model.init_args.levels.init_args.steps": (lgd, {"levels": KarrasLevels(5)}),
    "model.init_args.levels.init_args.sigma_max": (lgd, {"levels": KarrasLevels(4, sigma_max=70.0)}),
    "model.init_args.levels.init_args.sigmas": (langevin, {"levels": Levels([79, 0.002])}),
    "model.init_args.reduction.class_path": (lgd, {"reduction": SumDistance()}),
    "model.init_args.transition.class_path": (lgd, {"transition": ProbabilityFlow()}),
    "model.init_args.kernel.init_args.step_size": (langevin, {"kernel": ExponentialIntegrator(2e-3)}),
    "model.init_args.kernel.class_path": (langevin, {"kernel": EulerMaruyama(1e-3)}),
    "model.init_args.learning_rates": (inversion, {"learning_rates": [0.1, 0.2]}),
    "model.init_args.seed": (lgd, {"seed": 1}),
    "model.init_args.num_samples": (lgd, {"num_samples": 2}),
}
"""The key of an argument, and a solver in which it is another one."""


@pytest.mark.parametrize("key", OTHERS)
def test_a_run_with_another_part_is_refused_by_its_key(key: str, tmp_path: Path) -> None:
    make, changes = OTHERS[key]
    run(tmp_path, langevin() if key == "model.class_path" else make())
    with pytest.raises(ValueError, match="another configuration") as refused:
        run(tmp_path, make(**changes))
    assert f"\n  {key}: " in str(refused.value)


def test_an_own_network_is_known_by_what_it_is_made_of(tmp_path: Path) -> None:
    run(tmp_path, own(slope=0.5))
    run(tmp_path, own(slope=0.5))
    with pytest.raises(ValueError, match=r"denoiser.init_args.network.sha256: \w+ there, \w+ now"):
        run(tmp_path, own(slope=0.6))


class SameRooms(RoomsData):
    """Other data that has the same images under the same names."""


class Rooms(RoomsData):
    """Data that change without an argument that says so."""

    world = 0

    def find(self) -> ImageSet:
        self.seed = self.world
        return super().find()


DATA: dict[str, Callable[[], ImageData]] = {
    "data.class_path": lambda: SameRooms(size=8, num_images=3),
    "data.init_args.seed": lambda: RoomsData(size=8, num_images=3, seed=1),
    "data.init_args.split": lambda: RoomsData("val", size=8, num_images=3),
    "data.init_args.num_images": lambda: RoomsData(size=8, num_images=2),
}


@pytest.mark.parametrize("key", DATA)
def test_other_data_are_refused_by_their_key(key: str, tmp_path: Path) -> None:
    run(tmp_path, lgd())
    with pytest.raises(ValueError, match="another configuration") as refused:
        run(tmp_path, lgd(), DATA[key]())
    assert f"\n  {key}: " in str(refused.value)


def test_images_that_are_others_without_a_word_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, lgd(), Rooms(size=8, num_images=3))
    monkeypatch.setattr(Rooms, "world", 1)
    with pytest.raises(ValueError, match="holds the reconstruction of another one, test/00000"):
        run(tmp_path, lgd(), Rooms(size=8, num_images=3))


def test_a_run_may_grow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, lgd())
    run(tmp_path, lgd(), RoomsData(size=8, num_images=5, batch_size=3, num_workers=0))
    assert "Reused: 3 of 5 images" in capsys.readouterr().out
