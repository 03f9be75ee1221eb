"""PSNR, SSIM and cost against independent implementations and known answers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from lightning import Trainer
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from dis_lightning.callbacks import Writer
from dis_lightning.images import dequantise, quantise
from dis_lightning.levels import KarrasLevels
from dis_lightning.metrics import (
    PSNR,
    SSIM,
    CostPerImage,
    ImageMetric,
    MeasurementDistance,
    Metric,
    SetMetric,
    default_metrics,
)
from dis_lightning.metrics.base import require_different
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import AveragePool
from dis_lightning.priors import GaussianPrior
from dis_lightning.rooms import RoomsData, render_room
from dis_lightning.solvers import Solver, Unguided
from dis_lightning.types import Cost, Draws, Reconstruction
from dis_lightning.values import Direction, Value

SHAPE = (3, 32, 32)


@pytest.fixture
def solver() -> Unguided:
    prior = GaussianPrior(torch.zeros(3, 4, 4), torch.eye(48))
    return Unguided(AveragePool(4), prior, KarrasLevels(2), num_samples=2)


def reconstruction(lost: list[list[bool]]) -> Reconstruction:
    rooms = np.stack([render_room("test", index).image for index in range(2)])
    source = dequantise(torch.from_numpy(rooms)).permute(0, 3, 1, 2)
    noise = NoiseSource(0, [0, 1]).samples(2).normal((4, *SHAPE)).reshape(2, 2, *SHAPE)
    spread = torch.tensor([[0.1, 0.2], [0.3, 0.4]])[:, :, None, None, None]
    samples = quantise(source[:, None] + spread * noise)
    costs = [Cost(8.0, 4.0, 0.5, 1.0), Cost(8.0, 4.0, 0.5, 2.0)]
    draws = Draws(samples, torch.tensor(lost), costs)
    return Reconstruction(torch.tensor([4, 9]), ["a", "b"], quantise(source), AveragePool(4)(source), draws)


def fidelity(batch: Reconstruction, solver: Unguided) -> dict[str, torch.Tensor]:
    return PSNR().measure(batch, solver) | SSIM().measure(batch, solver)


def picture(image: torch.Tensor) -> np.ndarray:
    return (image.permute(1, 2, 0).numpy() / 255).astype(np.float64)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(peak_signal_noise_ratio(b, a, data_range=1.0))


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    # The settings of Wang et al. 2004; the borders, where the window does not fit, are left out.
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    return float(structural_similarity(a, b, channel_axis=2, **settings))


@pytest.mark.parametrize(("name", "metric", "tolerance"), [("psnr", psnr, 1e-4), ("ssim", ssim, 1e-5)])
def test_fidelity_agrees_with_scikit_image(name: str, metric, tolerance: float, solver: Unguided) -> None:
    batch = reconstruction([[False, False], [False, False]])
    values = fidelity(batch, solver)

    for row in range(2):
        truth = picture(batch.truth[row])
        samples = [picture(sample) for sample in batch.draws.samples[row]]
        each = [metric(sample, truth) for sample in samples]
        assert float(values[name][row]) == pytest.approx(np.mean(each), abs=tolerance)
        assert float(values[f"{name}_best_of_2"][row]) == pytest.approx(max(each), abs=tolerance)
        assert float(values[f"{name}_of_mean"][row]) == pytest.approx(metric(sum(samples) / 2, truth), abs=tolerance)
        blocks = truth.reshape(8, 4, 8, 4, 3).mean(axis=(1, 3)).repeat(4, axis=0).repeat(4, axis=1)
        expected = metric(np.round(blocks * 255) / 255, truth)
        # An average may lie half way between two grey levels, where rounding goes either way.
        assert float(values[f"{name}_pseudo_inverse"][row]) == pytest.approx(expected, abs=5e-4)


def test_a_diverged_sample_is_left_out(solver: Unguided) -> None:
    whole = fidelity(reconstruction([[False, False], [False, False]]), solver)
    values = fidelity(reconstruction([[False, True], [True, True]]), solver)
    batch = reconstruction([[False, True], [True, True]])

    only = psnr(picture(batch.draws.samples[0, 0]), picture(batch.truth[0]))
    assert float(values["psnr"][0]) == pytest.approx(only, abs=1e-4)
    assert values["psnr"][0] != whole["psnr"][0]
    assert float(values["psnr_best_of_2"][0]) == pytest.approx(only, abs=1e-4)
    assert values["psnr"][1].isnan()
    assert values["psnr_best_of_2"][1].isnan()
    assert values["ssim"][1].isnan()


def test_cost_is_reported_image_by_image(solver: Unguided) -> None:
    values = CostPerImage().measure(reconstruction([[False, False], [False, False]]), solver)
    assert {name: value.tolist() for name, value in values.items()} == {
        "evaluations": [8.0, 8.0],
        "gradients": [4.0, 4.0],
        "seconds": [0.5, 0.5],
        "memory": [1.0, 2.0],
        "memory_per_image": [0.5, 1.0],
        "evaluations_per_sample": [4.0, 4.0],
        "gradients_per_sample": [2.0, 2.0],
        "seconds_per_sample": [0.25, 0.25],
        "memory_per_sample": [0.25, 0.5],
    }


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("evaluations", ["forward passes", "of an image, all its samples"]),
        ("gradients_per_sample", ["backward passes", "of an image, all its samples; that, shared equally by all"]),
        ("seconds", ["wall time", "share of its batch's time"]),
        ("memory", ["all its images and samples together", "on a CPU the peak of the whole process since its start"]),
        ("memory_per_image", ["peak memory", "shared equally by the images of the batch"]),
        ("memory_per_sample", ["peak memory", "shared equally by all samples"]),
    ],
)
def test_a_cost_says_what_it_is_and_what_it_is_of(name: str, parts: list[str]) -> None:
    what = CostPerImage().define(name)["what"]
    assert all(part in what for part in parts), what
    assert ("that, shared" in what) == ("_per_" in name)


@pytest.mark.parametrize("metric", default_metrics(), ids=lambda metric: type(metric).__name__)
def test_every_value_of_a_run_has_its_definition(metric: Metric, solver: Unguided) -> None:
    metric.prepare(solver, torch.device("cpu"))
    batch = reconstruction([[False, False], [False, False]])
    metric.score(batch, solver)
    names = metric.rows.get(4, {}) if isinstance(metric, ImageMetric) else ["coverage", "calibration"]
    for name in names:
        definition = json.loads(json.dumps(metric.definition(name)))
        assert len(definition["what"]) > 10
        assert definition["by"].startswith(f"dis_lightning.metrics.{type(metric).__name__}, ")


def test_what_a_value_is_of_is_told_by_its_definition(solver: Unguided) -> None:
    names = fidelity(reconstruction([[False, False], [False, False]]), solver)
    told = {name: {"psnr": PSNR, "ssim": SSIM}[name[:4]]().define(name)["what"] for name in names}
    words = {
        "{}": "mean over the samples",
        "{}_best_of_2": "best of 2 samples",
        "{}_of_mean": "of the mean of the samples",
        "{}_pseudo_inverse": "of the pseudo-inverse of the measurement",
    }
    expected = {form.format(name): said for name in ("psnr", "ssim") for form, said in words.items()}
    assert told.keys() == expected.keys()
    assert all(f"{name[:4].upper()} against the clean image, {expected[name]}" in what for name, what in told.items())


def test_quantising_rounds_to_the_nearest_and_is_undone_on_its_values() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(quantise(dequantise(levels)), levels)
    assert quantise(torch.tensor([-2.0, 2.0, float("nan"), 0.004, -0.004])).tolist() == [0, 255, 128, 128, 127]
    for half in (torch.bfloat16, torch.float16):
        drawn = torch.linspace(-1, 1, 2000).to(half)
        assert torch.equal(quantise(drawn), quantise(drawn.float()))


def test_two_metrics_of_one_name_are_refused_before_anything_is_sampled(tmp_path: Path) -> None:
    solver = Unguided(AveragePool(4), GaussianPrior(torch.zeros(3, 8, 8), torch.eye(192)), KarrasLevels(2))
    twice = [MeasurementDistance(), MeasurementDistance(AveragePool(4))]
    with pytest.raises(ValueError, match=r"MeasurementDistance and MeasurementDistance would both write .* distance"):
        Trainer(accelerator="cpu", logger=False, callbacks=[*twice, Writer(tmp_path / "run")]).predict(
            solver, datamodule=RoomsData(num_images=1, size=8)
        )
    assert not (tmp_path / "run").exists()
    require_different([MeasurementDistance(), MeasurementDistance(AveragePool(4), name="other"), PSNR()])


class Own(ImageMetric):
    """A metric as somebody may write it."""

    values: ClassVar = {"own": Value("own", Direction.LOWER)}

    def __init__(self, found: Callable[[Reconstruction], Any]) -> None:
        super().__init__()
        self.found = found

    def measure(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, torch.Tensor]:
        return {"own": self.found(reconstruction)}


def test_a_metric_of_ones_own_writes_over_nothing(solver: Unguided) -> None:
    batch = reconstruction([[False, False]] * 2)
    before = batch.draws.samples.clone()
    metric = Own(lambda given: given.draws.samples.zero_().flatten(1).double().sum(dim=1))
    metric.score(batch, solver)
    assert torch.equal(batch.draws.samples, before)
    assert metric.rows == {4: {"own": 0.0}, 9: {"own": 0.0}}


def test_a_value_that_another_metric_gives_is_refused(tmp_path: Path, solver: Unguided) -> None:
    own = Own(lambda given: torch.zeros(len(given.indices)))
    psnr = PSNR()
    for metric in (own, psnr):
        metric.score(reconstruction([[False, False]] * 2), solver)
    require_different([own, psnr])
    own.rows = {index: {"psnr": 0.0} for index in own.rows}
    with pytest.raises(ValueError, match="The callbacks PSNR and Own both give values named 'psnr'"):
        require_different([psnr, own])


def test_a_run_is_refused_at_its_first_batch_where_two_metrics_give_one_value(tmp_path: Path) -> None:
    class Second(Own):
        pass

    solver = Unguided(AveragePool(4), GaussianPrior(torch.zeros(3, 8, 8), torch.eye(192)), KarrasLevels(2))
    metrics = [kind(lambda given: torch.zeros(len(given.indices))) for kind in (Own, Second)]
    with pytest.raises(ValueError, match="Own and Second both give values named 'own'"):
        Trainer(accelerator="cpu", logger=False, callbacks=[*metrics, Writer(tmp_path)]).predict(
            solver, datamodule=RoomsData(num_images=1, size=8)
        )


@pytest.mark.parametrize(
    ("values", "came"), [(torch.zeros(3), r"\(3,\)"), (torch.tensor(1.0), r"\(\)"), (0.5, "float")], ids=str
)
def test_a_metric_of_ones_own_without_a_row_for_each_image_is_named(values: Any, came: str, solver: Unguided) -> None:
    message = rf"Own must give a tensor with a row for each image, \(2, ...\), as 'own', but gave {came}"
    with pytest.raises(ValueError, match=message):
        Own(lambda _: values).score(reconstruction([[False, False]] * 2), solver)


def test_a_set_metric_of_ones_own_that_gives_a_number_for_each_image_is_named(solver: Unguided) -> None:
    class OfAll(SetMetric):
        def extract(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
            return {"own": torch.zeros(len(reconstruction.indices))}

        def reduce(self, rows: dict[int, dict[str, Tensor]]) -> dict[str, dict[str, Any]]:
            return {}

    with pytest.raises(ValueError, match=r"OfAll.extract must give a row of numbers .* \(2, 1\), as 'own', but gave"):
        OfAll().score(reconstruction([[False, False]] * 2), solver)


def test_a_metric_that_was_asked_for_says_that_there_is_no_truth() -> None:
    for metric in (asked := PSNR(), *default_metrics()):
        metric.truth = False
        if metric is not asked:
            metric.warn_without_truth()  # warnings are errors here
    with pytest.warns(UserWarning, match="PSNR compares with clean images, of which this run has none"):
        asked.warn_without_truth()
