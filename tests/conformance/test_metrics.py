"""What every metric keeps to. A new metric is found by itself and needs an entry in `METRICS`, no test here.

Every metric looks at the same six images with ten samples each, of which some diverged: in colour and in grey, batch
by batch, with and without the clean images, in memory and read back from a run folder. Its networks are tiny.
"""

import atexit
import importlib
import inspect
import json
import math
import pkgutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import open_clip
import pytest
import torch
from batches import CPU, noise_images
from torch import Tensor
from torchvision.models import alexnet

from dis_lightning import metrics
from dis_lightning.described import import_path
from dis_lightning.images import quantise
from dis_lightning.kernels import MALA
from dis_lightning.levels import KarrasLevels, Levels
from dis_lightning.metrics import (
    FID,
    KID,
    LPIPS,
    PSNR,
    SSIM,
    AlignedPSNR,
    Calibration,
    ChainDiagnostics,
    CLIPFeatures,
    CLIPScore,
    CostPerImage,
    Direction,
    DiversityScore,
    EnergyScore,
    FeatureNetwork,
    FeatureSimilarity,
    ImageFolder,
    ImageMetric,
    KernelSteinDiscrepancy,
    LabelAccuracy,
    MeanIoU,
    MeasurementDistance,
    MeasurementMSE,
    Metric,
    PairwiseLPIPS,
    PixelStd,
    SetMeanIoU,
    SetMetric,
    default_metrics,
)
from dis_lightning.metrics.base import SECTIONS, require_different
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import AveragePool, LabelOperator, Operator, TextOperator
from dis_lightning.priors import FiniteAtomPrior
from dis_lightning.runs import RunFolder, evaluate
from dis_lightning.runs.kept import Kept
from dis_lightning.runs.summary import sum_up
from dis_lightning.solvers import NoiseSpaceLangevin, Solver, Unguided
from dis_lightning.types import Cost, Draws, Measurement, Reconstruction

pytestmark = pytest.mark.filterwarnings("ignore:.* images is ")

IMAGES, SAMPLES, SIDE = 6, 10, 32
"""10 samples are the least of which a chain has an effective size, 32 pixels the least that LPIPS does."""

UP, DOWN, NEITHER = Direction.HIGHER, Direction.LOWER, Direction.NEITHER


class Means(FeatureNetwork):
    """The mean and the scatter of each channel of a picture."""

    name: ClassVar[str] = "means"

    def load(self, device: torch.device | str = "cpu") -> None:
        self.device = device

    def features(self, images: Tensor) -> Tensor:
        pixels = images.double().flatten(2) / 255
        return torch.cat([pixels.mean(dim=2), pixels.std(dim=2)], dim=1)

    def define(self) -> dict[str, Any]:
        return {"network": "means"}


class Bright(LabelOperator):
    """Which pixels are bright, of pictures of any number of channels."""

    def __init__(self) -> None:
        super().__init__(["dark", "bright"])

    def forward(self, x_0: Tensor) -> Tensor:
        grey = x_0.mean(dim=1)
        return torch.stack([-grey, grey], dim=1)


class Words(TextOperator):
    """Whether a picture is dark or bright, in words."""

    def forward(self, x_0: Tensor) -> Tensor:
        return x_0.mean(dim=(1, 2, 3))

    def measure(self, x_0: Tensor, noise: NoiseSource) -> list[str]:
        return ["a bright room" if grey > 0 else "a dark room" for grey in self(x_0).tolist()]

    def distance(self, x_0: Tensor, y: Measurement) -> Tensor:
        return self(x_0)

    def energy(self, x_0: Tensor, y: Measurement) -> Tensor:
        return self(x_0)


@cache
def folder() -> Path:
    """Where the tiny networks' files are."""
    made = tempfile.TemporaryDirectory()
    atexit.register(made.cleanup)
    return Path(made.name)


@cache
def trunk() -> str:
    """A file of AlexNet's layers, random ones."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = alexnet(weights=None).features.state_dict()
    torch.save({f"features.{key}": value for key, value in state.items()}, folder() / "alex.pth")
    return str(folder() / "alex.pth")


@cache
def clip() -> CLIPFeatures:
    vision = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8}
    text = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    content = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}
    (folder() / "conformance-clip.json").write_text(json.dumps(content))
    open_clip.add_model_config(folder() / "conformance-clip.json")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = open_clip.create_model("conformance-clip")
    torch.save(network.state_dict(), folder() / "clip.pt")
    middle = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    return CLIPFeatures("conformance-clip", str(folder() / "clip.pt"), preprocessing=middle)


@dataclass(frozen=True)
class MetricCase:
    """How to build a metric, what its values are called, and what it looks at."""

    build: Callable[[], Metric]
    values: dict[str, tuple[str, Direction, str]]
    """Title, better direction and unit, by the beginning of a name."""
    operator: Callable[[], Operator] = lambda: AveragePool(4, noise_std=0.1)
    """The run's operator."""
    chains: bool = False
    """Whether the samples of an image are a chain."""
    shares: tuple[str, ...] = ()
    """Values that are a share of the batch, as their definition says."""


METRICS: dict[str, MetricCase] = {
    "AlignedPSNR": MetricCase(AlignedPSNR, {"psnr_aligned": ("PSNR aligned", UP, "dB")}),
    "CLIPScore": MetricCase(lambda: CLIPScore(clip()), {"clip_score": ("CLIP score", UP, "")}, Words),
    "Calibration": MetricCase(
        Calibration,
        {
            "coverage": ("coverage", NEITHER, ""),
            "calibration_error": ("calibration error", DOWN, ""),
            "calibration": ("calibration", NEITHER, ""),
        },
    ),
    "ChainDiagnostics": MetricCase(
        ChainDiagnostics,
        {
            "effective_sample_size": ("effective sample size", UP, ""),
            "split_r_hat": ("split R-hat", DOWN, ""),
            "moved": ("moved", NEITHER, ""),
            "acceptance": ("acceptance", NEITHER, ""),
            "effective_particles": ("effective particles", UP, ""),
        },
        chains=True,
    ),
    "CostPerImage": MetricCase(
        CostPerImage,
        {
            "evaluations": ("network evaluations", DOWN, ""),
            "gradients": ("network gradients", DOWN, ""),
            "seconds": ("time", DOWN, "s"),
            "memory": ("peak memory", DOWN, "GiB"),
        },
        shares=("memory_per_image", "memory_per_sample"),
    ),
    "DiversityScore": MetricCase(
        lambda: DiversityScore(Means(), clusters=2), {"diversity_score": ("diversity score", UP, "")}
    ),
    "EnergyScore": MetricCase(EnergyScore, {"energy_score": ("energy score", DOWN, "")}),
    "FID": MetricCase(lambda: FID(Means()), {"fid": ("FID", DOWN, "")}),
    "FeatureSimilarity": MetricCase(
        lambda: FeatureSimilarity(Means()), {"clip_similarity": ("CLIP similarity", DOWN, "")}
    ),
    "KID": MetricCase(lambda: KID(Means()), {"kid": ("KID", DOWN, "")}),
    "KernelSteinDiscrepancy": MetricCase(KernelSteinDiscrepancy, {"ksd": ("KSD²", DOWN, "")}),
    "LPIPS": MetricCase(lambda: LPIPS(weights=trunk()), {"lpips": ("LPIPS", DOWN, "")}),
    "LabelAccuracy": MetricCase(LabelAccuracy, {"y_accuracy": ("y-accuracy", UP, "")}, Bright),
    "MeanIoU": MetricCase(MeanIoU, {"y_miou": ("y-mIoU", UP, "")}, Bright),
    "MeasurementDistance": MetricCase(MeasurementDistance, {"distance": ("distance to y", DOWN, "")}),
    "MeasurementMSE": MetricCase(MeasurementMSE, {"y_mse": ("y-MSE", DOWN, "grey²")}),
    "PSNR": MetricCase(PSNR, {"psnr": ("PSNR", UP, "dB")}),
    "PairwiseLPIPS": MetricCase(
        lambda: PairwiseLPIPS(weights=trunk()), {"pairwise_lpips": ("pairwise LPIPS", NEITHER, "")}
    ),
    "PixelStd": MetricCase(PixelStd, {"pixel_std": ("std", NEITHER, "grey levels")}),
    "SSIM": MetricCase(SSIM, {"ssim": ("SSIM", UP, "")}),
    "SetMeanIoU": MetricCase(SetMeanIoU, {"y_miou": ("y-mIoU", UP, "")}, Bright),
}


def public() -> dict[str, type[Metric]]:
    """The public metrics that can be built."""
    found = {name: getattr(metrics, name) for name in metrics.__all__}
    kinds = {name: kind for name, kind in found.items() if inspect.isclass(kind) and issubclass(kind, Metric)}
    return {name: kind for name, kind in kinds.items() if not inspect.isabstract(kind)}


for_every_metric = pytest.mark.parametrize("name", sorted(public().keys() & METRICS.keys()))


def run_of(name: str, channels: int) -> Solver:
    case, prior = METRICS[name], FiniteAtomPrior(torch.zeros(1, channels, SIDE, SIDE))
    if case.chains:
        parts = {"kernel": MALA(0.1), "num_samples": SAMPLES, "warm_start": 0}
        return NoiseSpaceLangevin(case.operator(), prior.consistency_map(), Levels([80.0, 0.002]), **parts)
    return Unguided(case.operator(), prior, KarrasLevels(2), num_samples=SAMPLES)


def looked_at(solver: Solver, lost: list[tuple[int, int]], garbage: int = 0) -> Reconstruction:
    """Six images, the samples in `lost` diverged: whatever stands in their place must not matter."""
    channels, *_ = solver.denoiser.shape
    size = (channels, SIDE, SIDE)
    source = noise_images(IMAGES, *size, seed=1)
    samples = (source[:, None].int() + noise_images(IMAGES, SAMPLES, *size).int() // 4 - 32).clamp(0, 255)
    diverged = torch.zeros(IMAGES, SAMPLES, dtype=torch.bool)
    for image, sample in lost:
        diverged[image, sample] = True
        samples[image, sample] = noise_images(*size, seed=10 + garbage)
    indices = torch.arange(IMAGES)
    y = solver.operator.measure(source.float() / 127.5 - 1, NoiseSource(0, indices))
    costs = [Cost(8.0, 4.0, 0.5 + image, 1.0) for image in range(IMAGES)]
    draws = Draws(samples.to(torch.uint8), diverged, costs, torch.linspace(0.2, 0.8, IMAGES, dtype=torch.float64))
    return Reconstruction(indices, [f"{image}.png" for image in range(IMAGES)], source, y, draws)


LOST = [(1, 2), *((4, sample) for sample in range(SAMPLES))]


def part(whole: Reconstruction, rows: list[int]) -> Reconstruction:
    """Some of the images, as a batch of their own."""
    draws, y = whole.draws, whole.measurement
    assert draws.acceptance is not None
    return Reconstruction(
        whole.indices[rows],
        [whole.names[row] for row in rows],
        None if whole.source is None else whole.source[rows],
        y[rows] if isinstance(y, Tensor) else [y[row] for row in rows],
        Draws(draws.samples[rows], draws.diverged[rows], [draws.costs[row] for row in rows], draws.acceptance[rows]),
    )


def ready(name: str, channels: int = 3) -> tuple[Metric, Solver]:
    metric, solver = METRICS[name].build(), run_of(name, channels)
    metric.require(solver, IMAGES)
    metric.prepare(solver, CPU)
    return metric, solver


def values(metric: Metric, solver: Solver, *batches: Reconstruction) -> dict[str, Any]:
    """All that a metric gives: numbers, or lists of them, by name."""
    metric.rows = {}
    for batch in batches:
        metric.score(batch, solver)
    rows = dict(sorted(metric.rows.items()))
    if isinstance(metric, SetMetric):
        sections = metric.reduce(rows) if rows else {}
        entries = sections.pop(metric.section, {})
        return {name: entry["mean"] for name, entry in entries.items()} | {
            f"{section} {key}": numbers for section, content in sections.items() for key, numbers in content.items()
        }
    names = dict.fromkeys(name for row in rows.values() for name in row)
    return {name: [row[name] for row in rows.values()] for name in names}


def close(expected: Any) -> Any:
    return pytest.approx(expected, rel=1e-4, abs=1e-6, nan_ok=True)


def test_every_metric_has_an_entry() -> None:
    missing = sorted(public().keys() - METRICS.keys())
    assert not missing, f"Give {missing} an entry in METRICS of tests/conformance/test_metrics.py."


def test_every_metric_in_the_folder_is_public() -> None:
    files = [file.name for file in pkgutil.iter_modules(metrics.__path__) if not file.ispkg]
    found = [value for file in files for value in vars(importlib.import_module(f"{metrics.__name__}.{file}")).values()]
    kinds = {kind for kind in found if inspect.isclass(kind) and issubclass(kind, Metric)}
    hidden = {kind.__name__ for kind in kinds if not inspect.isabstract(kind)} - public().keys()
    assert not hidden, f"Import {sorted(hidden)} in dis_lightning/metrics/__init__.py and name them in `__all__`."


@for_every_metric
def test_its_values_are_called_measured_and_compared_as_the_table_says(name: str) -> None:
    found = {key: (value.title, value.better, value.unit) for key, value in public()[name].values.items()}
    assert found == METRICS[name].values
    assert public()[name].section in SECTIONS


@for_every_metric
@pytest.mark.parametrize("channels", [3, 1])
def test_every_value_has_its_full_definition_also_of_grey_pictures(name: str, channels: int) -> None:
    metric, solver = ready(name, channels)
    found = values(metric, solver, looked_at(solver, LOST))
    assert found
    for value in found:
        known = metric.definition(value.partition(" ")[0])
        assert json.loads(json.dumps(known, allow_nan=False)) == known
        assert len(known["what"]) > 10
        assert known["by"].startswith(f"{import_path(type(metric))}, dis_lightning ")
        if " " not in value:  # a curve is drawn, and is no column
            assert known["title"]
            assert Direction(known["better"]) in {kind for _, kind, _ in METRICS[name].values.values()}


@for_every_metric
def test_values_are_finite_where_enough_samples_are(name: str) -> None:
    metric, solver = ready(name)
    for value in values(metric, solver, looked_at(solver, [])).values():
        assert all(map(math.isfinite, value if isinstance(value, list) else [value]))


@for_every_metric
def test_there_is_a_row_for_every_image_that_can_be_brought_together(name: str) -> None:
    metric, solver = ready(name)
    kept = metric.look(looked_at(solver, []), solver)
    assert kept
    for tensor in kept.values():
        assert len(tensor) == IMAGES
        assert (tensor.ndim == 1) == isinstance(metric, ImageMetric)


@for_every_metric
@pytest.mark.parametrize("channels", [3, 1])
def test_neither_the_batches_nor_their_order_matter(name: str, channels: int) -> None:
    metric, solver = ready(name, channels)
    whole = looked_at(solver, LOST)
    expected = values(metric, solver, whole)
    shares = METRICS[name].shares
    for batches in ([[0, 1], [2, 3, 4, 5]], [[5, 3, 1], [4, 2, 0]], [[row] for row in range(IMAGES)]):
        found = values(metric, solver, *(part(whole, rows) for rows in batches))
        assert found.keys() == expected.keys()
        assert {key: value for key, value in found.items() if key not in shares} == {
            key: close(value) for key, value in expected.items() if key not in shares
        }


@for_every_metric
def test_what_stands_in_the_place_of_a_sample_that_diverged_does_not_matter(name: str) -> None:
    metric, solver = ready(name)
    first, second = (values(metric, solver, looked_at(solver, LOST, garbage)) for garbage in (0, 1))
    assert first == {key: close(value) for key, value in second.items()}


@for_every_metric
def test_a_run_of_which_everything_diverged_has_no_number_that_no_json_holds(name: str, tmp_path: Path) -> None:
    metric, solver = ready(name)
    lost = [(image, sample) for image in range(IMAGES) for sample in range(SAMPLES)]
    run = written(looked_at(solver, lost), tmp_path, solver.operator)
    metric.score(run.reconstruction(run.indices()), solver)
    summary = sum_up(run, [metric], [metric.rows], run.indices())
    json.dumps(summary, allow_nan=False)
    known = {value: entry for value, entry in summary.get(metric.section, {}).items() if entry["mean"] is None}
    for value, entry in known.items():
        assert summary["definitions"][value]["title"]
        assert (isinstance(metric, SetMetric)) == bool(entry.get("missing"))


@for_every_metric
def test_without_the_clean_images_there_is_nothing_or_all_as_before(name: str) -> None:
    metric, solver = ready(name)
    whole = looked_at(solver, LOST)
    found = values(metric, solver, whole._replace(source=None))
    assert found == ({} if metric.needs_truth else {key: close(v) for key, v in values(metric, solver, whole).items()})


def test_a_reference_of_its_own_stands_in_for_the_clean_images(tmp_path: Path) -> None:
    solver = run_of("FID", 3)
    whole = looked_at(solver, [])
    kept = written(whole, tmp_path, solver.operator)
    own, others = FID(Means()), FID(Means(), ImageFolder(kept.path / "sources"))
    for metric in (own, others):
        metric.require(solver, IMAGES)
        metric.prepare(solver, CPU)
    assert values(others, solver, whole._replace(source=None)) == close(values(own, solver, whole))


@for_every_metric
def test_the_global_generator_is_left_alone(name: str) -> None:
    metric, solver = ready(name)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    values(metric, solver, looked_at(solver, LOST))
    assert torch.equal(torch.get_rng_state(), before)


def written(whole: Reconstruction, path: Path, operator: Operator) -> RunFolder:
    """The folder of a run of two batches."""
    run = RunFolder(path)
    for rows in ([0, 1, 2, 3], [4, 5]):
        some = part(whole, rows)
        assert some.source is not None
        pictures, sources = quantise(operator.picture(some.measurement)), some.source
        kept = [Kept(some.names[row], sources[row], some.measurement[row], pictures[row]) for row in range(len(rows))]
        run.write(rows, kept, some.draws, "hand")
    return run


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], RunFolder]:
    """Run folders, one for each kind of measurement and number of channels."""

    @cache
    def make(key: str, channels: int) -> RunFolder:
        solver = run_of(next(name for name in METRICS if kind_of(name) == key), channels)
        return written(looked_at(solver, LOST), tmp_path_factory.mktemp("run"), solver.operator)

    return lambda name, channels: make(kind_of(name), channels)


def kind_of(name: str) -> str:
    return type(METRICS[name].operator()).__name__


@for_every_metric
@pytest.mark.parametrize("channels", [3, 1])
def test_a_run_that_is_scored_again_from_its_folder_scores_the_same(
    name: str, channels: int, folders: Callable[[str, int], RunFolder]
) -> None:
    run = folders(name, channels)
    found = []
    for again in (False, True):
        for file in (run.metrics, run.results):
            file.unlink(missing_ok=True)
        metric, solver = ready(name, channels)
        if again:
            evaluate(run.path, [metric], solver)
        else:
            whole = looked_at(solver, LOST)
            for rows in ([0, 1, 2, 3], [4, 5]):
                metric.score(part(whole, rows), solver)
            sum_up(run, [metric], [metric.rows], run.indices())
        found.append((run.metrics.read_text(), run.results.read_text()))
    assert found[0] == found[1]
    assert name in found[0][0]


def test_no_two_metrics_of_every_run_write_the_same_values() -> None:
    names = [name for metric in default_metrics() for name in metric.values]
    assert len(set(names)) == len(names)
    built = {type(metric).__name__: metric for metric in default_metrics()}
    require_different([*built.values(), *(case.build() for name, case in METRICS.items() if name not in built)])


def test_a_metric_is_told_from_another_of_its_kind_by_what_its_values_are_called_after() -> None:
    class Others(Means):
        name: ClassVar[str] = "others"

    require_different([FeatureSimilarity(Means()), FeatureSimilarity(Others()), FID(Means()), FID(Others())])
