"""What the conformance suites need to know of each solver, operator, prior, kernel and data set: one entry per class.

A new class needs an entry here and gets all tests. The suites find the classes by themselves.
"""

import atexit
import functools
import inspect
import math
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import deepinv.models
import deepinv.physics
import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DModel
from published_files import mobilenet, small_layout, small_wizard
from tiny_networks import blip_captioner, blip_matcher, classifier_file, clip_folder
from torch import Tensor, nn

from dis_lightning import operators, rooms, solvers
from dis_lightning.kernels import HMC, MALA, Adam, EulerMaruyama, ExponentialIntegrator, Kernel
from dis_lightning.levels import GrowingSignalLevels, KarrasLevels, MultistepLevels
from dis_lightning.operators import Operator, TorchvisionClassifier
from dis_lightning.priors import (
    EDM,
    VP,
    ConsistencyModel,
    DeepInvDenoiser,
    Denoiser,
    DiffusersDenoiser,
    ExactPrior,
    FiniteAtomPrior,
    FlowMap,
    GaussianMixturePrior,
    GaussianPrior,
    UNet,
)
from dis_lightning.priors.base import Kind
from dis_lightning.solvers import Solver

__all__ = [
    "DATA",
    "DEVICE",
    "IMAGES",
    "KERNELS",
    "OPERATORS",
    "PRIORS",
    "SHAPE",
    "SOLVERS",
    "KernelCase",
    "SolverCase",
    "build_operator",
    "build_solver",
    "concrete",
    "small_unet",
    "smooth_covariance",
]

SHAPE = (3, 8, 8)
"""Images of both suites."""

DEVICE = torch.device(os.environ.get("DIS_LIGHTNING_TEST_DEVICE", "cpu"))
"""Where solvers, operators, priors and kernels compute: `pytest tests/conformance --device cuda`."""


@dataclass(frozen=True)
class SolverCase:
    """How to build a solver beside its operator and denoiser, and what it is documented to do."""

    arguments: dict[str, Any] = field(default_factory=dict)
    evaluations: int = 0
    """Network evaluations per image with two posterior samples."""
    gradients: int = 0
    """Network gradients, likewise."""
    looks: bool = True
    """Whether the measurement changes the samples."""
    consistency: bool = False
    """Whether there is an argument `consistency` for a second network."""
    kind: Kind = "posterior mean"
    """What its prior has to be."""
    strict: bool = False
    """Whether it refuses a consistency map where a posterior mean is due."""
    linear: bool = False
    """Whether its operator must be linear."""
    particles: bool = False
    """Whether its samples are particles that were resampled, of which several may be the same."""
    spectral: bool = False
    """Whether its operator must know its singular value decomposition."""


STEPS = 5
ANNEALED = {"levels": KarrasLevels(STEPS, sigma_max=20.0)}
MAP: Kind = "consistency map"
TWO_LEVELS = {"levels": MultistepLevels([0, 20, 39])}

SOLVERS: dict[str, SolverCase] = {
    "CM4IR": SolverCase({"levels": GrowingSignalLevels(250, 0.2, steps=3)}, evaluations=2 * 3, kind=MAP, linear=True),
    "CMEdit": SolverCase(TWO_LEVELS, evaluations=2 * 2, kind=MAP, linear=True),
    "ConsistencyDPS": SolverCase(
        ANNEALED | {"scale": 0.1}, evaluations=2 * 2 * STEPS, gradients=2 * STEPS, consistency=True
    ),
    "ConsistencyInversion": SolverCase(
        TWO_LEVELS | {"learning_rates": [0.1, 0.1], "steps": [2, 3]}, evaluations=2 * 7, gradients=2 * 7, kind=MAP
    ),
    "ConsistencySampling": SolverCase(TWO_LEVELS, evaluations=2 * 2, looks=False, kind=MAP),
    "DAPS": SolverCase(
        ANNEALED | {"flow_steps": 3, "kernel": EulerMaruyama(0.01), "moves": 2}, evaluations=2 * 3 * STEPS, strict=True
    ),
    "DDNM": SolverCase(ANNEALED, evaluations=2 * STEPS, linear=True, spectral=True, strict=True),
    "DDRM": SolverCase(ANNEALED, evaluations=2 * STEPS, linear=True, spectral=True, strict=True),
    "DPS": SolverCase(ANNEALED | {"scale": 0.1}, evaluations=2 * STEPS, gradients=2 * STEPS),
    "DiffPIR": SolverCase(ANNEALED | {"descent_steps": 2}, evaluations=2 * STEPS, strict=True),
    "FreeDoM": SolverCase(ANNEALED | {"scale": 0.1}, evaluations=2 * 2 * STEPS, gradients=2 * 2 * STEPS),
    "LGD": SolverCase(ANNEALED | {"scale": 0.1, "monte_carlo_samples": 3}, evaluations=2 * STEPS, gradients=2 * STEPS),
    "MMPS": SolverCase(ANNEALED, evaluations=2 * STEPS, gradients=2 * STEPS, linear=True, strict=True),
    "MPGD": SolverCase(ANNEALED | {"scale": 0.5}, evaluations=2 * STEPS),
    "PiGDM": SolverCase(ANNEALED, evaluations=2 * STEPS, gradients=2 * STEPS, linear=True, strict=True),
    "TDS": SolverCase(
        {"levels": KarrasLevels(STEPS, sigma_max=20.0), "particles": 6},
        evaluations=6 * STEPS,
        gradients=6 * STEPS,
        strict=True,
        particles=True,
    ),
    "NoiseSpaceSMC": SolverCase(
        {"levels": MultistepLevels([0, 39]), "particles": 6, "stages": 2, "leapfrog_steps": 2},
        evaluations=6 * 5,
        gradients=6 * 5,
        kind=MAP,
        particles=True,
    ),
    "TMPD": SolverCase(ANNEALED, evaluations=2 * STEPS, gradients=2 * 2 * STEPS, linear=True, strict=True),
    "NoiseSpaceLangevin": SolverCase(
        TWO_LEVELS | {"kernel": EulerMaruyama(1e-3), "warm_start": 2, "burn_in": 1, "thinning": 2},
        evaluations=2 * (1 + 2 + 1 + 2 * 2),
        gradients=2 * (1 + 2 + 1 + 2 * 2),
        kind=MAP,
    ),
    "PnPCM": SolverCase(
        {"levels": GrowingSignalLevels(250, 0.2, steps=3), "descent_steps": 2}, evaluations=2 * 3, kind=MAP
    ),
    "REDDiff": SolverCase(ANNEALED, evaluations=2 * STEPS, strict=True),
    "TFG": SolverCase(
        ANNEALED | {"variance_scale": 0.1, "mean_scale": 0.1, "iterations": 2, "visits": 2},
        evaluations=2 * 2 * STEPS,
        gradients=2 * 2 * STEPS,
    ),
    "Unguided": SolverCase(ANNEALED, evaluations=2 * STEPS, looks=False),
}

NOISE = {"noise_std": 0.1}

# Arguments, or a function that gives them where a network has to be made first.
OPERATORS: dict[str, dict[str, Any] | Callable[[], dict[str, Any]]] = {
    "AveragePool": NOISE | {"factor": 2},
    "BicubicDownsample": NOISE | {"factor": 2},
    "BoxInpainting": NOISE | {"position": (0.25, 0.4)},
    "CLIPText": lambda: {"text": "a red bed", "name": f"local-dir:{clip_folder()}", "pretrained": None},
    "Caption": lambda: {"matcher": str(blip_matcher()), "captioner": str(blip_captioner())},
    "Classification": lambda: {"classifier": TorchvisionClassifier("squeezenet1_1", classifier_file()), "size": 32},
    "Colorization": NOISE,
    "DeepInvLinearPhysics": NOISE | {"physics": deepinv.physics.Inpainting(SHAPE, mask=0.5)},
    "DeepInvPhysics": NOISE | {"physics": deepinv.physics.PhaseRetrieval(deepinv.physics.LinearPhysics())},
    "GaussianBlur": NOISE | {"kernel_size": 5, "std": 1.0},
    "HDR": NOISE,
    "JPEG": NOISE | {"quality": 30},
    "MaskInpainting": NOISE | {"file": str(Path(__file__).with_name("mask.png"))},
    "MatrixOperator": NOISE
    | {
        "matrix": torch.randn(20, 192, generator=torch.Generator().manual_seed(0), dtype=torch.float64),
        "shape": SHAPE,
    },
    "MotionBlur": NOISE | {"kernel_size": 5},
    "NonlinearBlur": lambda: NOISE | {"network": small_wizard(), "kernel_seed": 0},
    "PhaseRetrieval": NOISE,
    "RandomInpainting": NOISE | {"visible": 0.3},
    "RoomLayout": lambda: {"network": small_layout()},
    "Segmentation": lambda: {"network": mobilenet()},
}

IMAGES = 5
"""Images that each data set of the catalogue has at least."""


def class_folders(folder: Path) -> Path:
    """Rooms in three folders, named by WordNet ids."""
    rooms.write_folder(folder / "rooms", IMAGES, size=SHAPE[-1])
    for index, file in enumerate(sorted((folder / "rooms" / "images").iterdir())):
        home = folder / "classes" / ("n01440764", "n02123045", "n15075141")[index % 3]
        home.mkdir(parents=True, exist_ok=True)
        file.rename(home / file.name)
    return folder / "classes"


def plain_folder(folder: Path) -> Path:
    """Rooms in a folder."""
    rooms.write_folder(folder / "rooms", IMAGES, size=SHAPE[-1])
    return folder / "rooms" / "images"


def arrays(folder: Path) -> Path:
    """Rooms as arrays, each a measurement."""
    (folder / "arrays").mkdir()
    for index in range(IMAGES):
        picture = np.moveaxis(rooms.render_room("test", index, SHAPE[-1]).image, -1, 0)
        np.save(folder / "arrays" / f"{index}.npy", picture / np.float32(127.5) - 1)
    return folder / "arrays"


def database(folder: Path) -> Path:
    """Rooms in an LMDB."""
    rooms.write_lmdb(folder / "lmdb", IMAGES, size=SHAPE[-1])
    return folder / "lmdb"


# What has to be written into an empty folder first, and the arguments then; sides are those of `SHAPE`.
DATA: dict[str, Callable[[Path], dict[str, Any]]] = {
    "FolderData": lambda folder: {"root": plain_folder(folder)},
    "ImageNetData": lambda folder: {"root": class_folders(folder)},
    "LSUNData": lambda folder: {"root": database(folder)},
    "MeasurementArrayData": lambda folder: {"root": arrays(folder)},
    "MeasurementData": lambda folder: {"root": plain_folder(folder)},
    "RoomsData": lambda folder: {"size": SHAPE[-1]},
}


@functools.cache
def small_unet(dtype: torch.dtype = torch.float32, num_classes: int | None = None) -> UNet:
    """The same small network in any precision, without the zeros that networks begin their training with."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = UNet(SHAPE[-1], 32, 1, [8], [1], num_head_channels=32, num_classes=num_classes)
        for parameter in network.parameters():
            if not parameter.any():
                nn.init.normal_(parameter, std=0.02)
    for layer in (*network.input_blocks.modules(), *network.middle_block.modules(), *network.output_blocks.modules()):
        if isinstance(layer, nn.Conv2d):
            layer.to(dtype)
    return network.requires_grad_(False).eval()


def smooth_covariance() -> Tensor:
    """Of images whose pixels resemble their neighbours."""
    channel, row, column = torch.meshgrid(*(torch.arange(float(size)) for size in SHAPE), indexing="ij")
    points = torch.stack([channel, row / 4, column / 4], dim=-1).reshape(-1, 3)
    return 0.25 * torch.exp(-torch.cdist(points, points))


def some_images(count: int) -> Tensor:
    return torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(7)) * 2 - 1


@functools.cache
def small_drunet() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return deepinv.models.DRUNet(pretrained=None, in_channels=3, out_channels=3, nc=[8, 8, 8, 8], nb=1)


def loaded(prior: Denoiser) -> Denoiser:
    prior.load()
    return prior


@functools.cache
def diffusers_folder() -> str:
    """A repository of diffusers with a small random network."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        small = {"block_out_channels": (32,), "down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",)}
        UNet2DModel(sample_size=SHAPE[1], layers_per_block=1, **small).save_pretrained(Path(folder.name, "unet"))
    DDPMScheduler().save_pretrained(Path(folder.name, "scheduler"))
    return folder.name


PRIORS: dict[str, Callable[[], Denoiser]] = {
    "ConsistencyModel": lambda: ConsistencyModel(small_unet()),
    "DeepInvDenoiser": lambda: DeepInvDenoiser(small_drunet(), SHAPE),
    "DiffusersDenoiser": lambda: loaded(DiffusersDenoiser(diffusers_folder())),
    "EDM": lambda: EDM(small_unet()),
    "FiniteAtomPrior": lambda: FiniteAtomPrior(some_images(5)),
    "FlowMap": lambda: FlowMap(GaussianPrior(some_images(1)[0], smooth_covariance()), steps=4),
    "GaussianConsistencyMap": lambda: GaussianPrior(some_images(1)[0], smooth_covariance()).consistency_map(),
    "GaussianMixturePrior": lambda: GaussianMixturePrior(torch.tensor([0.3, 0.7]), some_images(2), smooth_covariance()),
    "GaussianPrior": lambda: GaussianPrior(some_images(1)[0], smooth_covariance()),
    "VP": lambda: VP(small_unet()),
}


@dataclass(frozen=True)
class KernelCase:
    """How to build a kernel, and what it does to `U(z) = E(z) + |z|^2 / 2`."""

    build: Callable[[], Kernel]
    law: Callable[[float], float] | None = None
    """The stationary variance where U has a curvature; without one the kernel descends E and draws nothing."""
    exact: bool = False
    """Whether it leaves the law of every U as it is, and not that of a Gaussian alone."""


TAU = 0.2


def integrated(curvature: float) -> float:
    # z' = a z + noise of variance 1 - e^(-2 tau), for a Gaussian E of curvature h = curvature - 1
    a = math.exp(-TAU) - (1 - math.exp(-TAU)) * (curvature - 1)
    return (1 - math.exp(-2 * TAU)) / (1 - a**2)


KERNELS: dict[str, KernelCase] = {
    "Adam": KernelCase(lambda: Adam(0.05)),
    "EulerMaruyama": KernelCase(lambda: EulerMaruyama(TAU), lambda h: 1 / (h * (1 - TAU * h / 2))),
    "ExponentialIntegrator": KernelCase(lambda: ExponentialIntegrator(TAU), integrated),
    "HMC": KernelCase(lambda: HMC(0.4, leapfrog_steps=3), lambda h: 1 / h, exact=True),
    "MALA": KernelCase(lambda: MALA(0.3), lambda h: 1 / h, exact=True),
}


def concrete(package: ModuleType, kind: type) -> list[type]:
    """The public classes of a kind that can be built."""
    public = (getattr(package, name) for name in package.__all__)
    classes = (found for found in public if inspect.isclass(found))
    return [found for found in classes if issubclass(found, kind) and not inspect.isabstract(found)]


def build_solver(name: str, **parts: Any) -> Solver:
    """A solver by its entry, from an operator, a denoiser and more; these have the last word.

    A prior in closed form stands for either kind.
    """
    case, denoiser = SOLVERS[name], parts["denoiser"]
    mapped = denoiser.consistency_map() if isinstance(denoiser, ExactPrior) else denoiser
    networks = {"consistency": mapped} if case.consistency else {}
    parts |= {"denoiser": mapped if case.kind == MAP else denoiser}
    return getattr(solvers, name)(**networks | case.arguments | parts)


def build_operator(name: str, **changes: Any) -> Operator:
    """An operator by its entry; an argument in `changes` has the last word."""
    entry = OPERATORS[name]
    return getattr(operators, name)(**(entry() if callable(entry) else entry) | changes)
