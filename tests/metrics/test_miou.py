"""Agreement with measured classes: known answers, judges, noise, the whole set."""

import pytest
import torch
from batches import CPU, Thirds, batch, noise_images, solver
from torchmetrics.functional.classification import multiclass_jaccard_index

from dis_lightning.images import dequantise
from dis_lightning.metrics import LabelAccuracy, MeanIoU, Metric, SetMeanIoU
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import AveragePool, Operator
from dis_lightning.types import Reconstruction


class Opposite(Thirds):
    """A judge who takes the darkest channel."""

    def forward(self, x_0: torch.Tensor) -> torch.Tensor:
        return -super().forward(x_0)


def ready(metric: Metric, operator: Thirds, samples: int = 2) -> Metric:
    metric.prepare(solver(operator, samples), CPU)
    return metric


def measured(operator: Thirds, samples: int = 2, first: int = 0) -> Reconstruction:
    source = dequantise(noise_images(3, 3, 8, 8, seed=first + 1))
    return batch(noise_images(3, samples, 3, 8, 8, seed=first), source, operator(source).argmax(dim=1), first=first)


def test_the_mean_iou_is_that_of_torchmetrics_image_by_image() -> None:
    operator = Thirds()
    whole = measured(operator)
    found = ready(MeanIoU(), operator).measure(whole, solver(operator, 2))["y_miou"]
    for image in range(3):
        seen = whole.draws.samples[image].long().argmax(dim=1)
        each = [multiclass_jaccard_index(s, whole.measurement[image], 3, average="macro") for s in seen]
        assert float(found[image]) == pytest.approx(float(sum(each)) / 2, rel=1e-6)


def test_the_iou_of_the_set_counts_all_maps_together_and_leaves_diverged_samples_out() -> None:
    operator = Thirds()
    metric = ready(SetMeanIoU(), operator)
    parts = [measured(operator), measured(operator, first=3)]
    lost = torch.tensor([[False, True], [False, False], [False, False]])
    parts[0] = parts[0]._replace(draws=parts[0].draws._replace(diverged=lost))
    for part in parts:
        metric.score(part, solver(operator, 2))
    seen = torch.cat([part.draws.samples[~part.draws.diverged] for part in parts]).long().argmax(dim=1)
    targets = [part.measurement[row] for part in parts for row, _ in torch.argwhere(~part.draws.diverged).tolist()]
    expected = multiclass_jaccard_index(seen, torch.stack(targets), 3, average="macro")
    assert metric.reduce(metric.rows)["set"]["y_miou_of_set"]["mean"] == pytest.approx(float(expected), rel=1e-6)
    whole = parts[0]._replace(draws=parts[0].draws._replace(diverged=lost | torch.tensor([[True], [False], [False]])))
    metric.score(whole, solver(operator, 2))
    assert metric.reduce(metric.rows)["set"]["y_miou_of_set"]["images"] == 5


@pytest.mark.parametrize("whole", [True, False])
def test_accuracy_is_the_share_of_right_classes(whole: bool) -> None:
    operator = Thirds(whole)
    found = measured(operator)
    values = ready(LabelAccuracy(), operator).measure(found, solver(operator, 2))["y_accuracy"]
    brightness = found.draws.samples.double().mean(dim=(3, 4)) if whole else found.draws.samples.double()
    right = brightness.argmax(dim=2) == found.measurement[:, None]
    assert values.tolist() == pytest.approx(right.flatten(1).double().mean(dim=1).tolist())


def test_another_network_may_judge() -> None:
    operator = Thirds()
    perfect = measured(operator)
    perfect = perfect._replace(measurement=perfect.draws.samples[:, 0].long().argmax(dim=1))
    perfect = perfect._replace(
        draws=perfect.draws._replace(samples=perfect.draws.samples[:, :1], diverged=torch.zeros(3, 1) > 0)
    )
    own, other = ready(LabelAccuracy(), operator), ready(LabelAccuracy(Opposite(), name="strict"), operator)
    assert own.measure(perfect, solver(operator, 1))["y_accuracy"].tolist() == [1, 1, 1]
    assert other.measure(perfect, solver(operator, 1))["strict"].max() < 0.2  # but for ties
    assert (own.define("")["judge"], other.define("")["judge"]) == ("Thirds(whole=False)", "Opposite(whole=False)")


def test_noise_before_the_judgement_is_keyed_by_image_and_sample() -> None:
    operator = Thirds()
    found = measured(operator)
    values = ready(LabelAccuracy(noise_std=0.2), operator).measure(found, solver(operator, 2))["y_accuracy"]
    noise = NoiseSource(0, [0, 1, 2], use="judge y_accuracy").samples(2).normal((6, 3, 8, 8))
    seen = (dequantise(found.draws.samples.flatten(0, 1)) + 0.2 * noise).argmax(dim=1)
    right = (seen == found.measurement.repeat_interleave(2, dim=0)).double().mean(dim=(1, 2))
    assert values.tolist() == pytest.approx(right.reshape(3, 2).mean(dim=1).tolist())


def test_no_two_uses_of_noise_in_a_run_share_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sampling and judges at the same seed: their noise must have nothing to do with each other's."""
    drawn: list[float] = []

    def spy(*args: object, generator: torch.Generator, **kwargs: object) -> torch.Tensor:
        numbers = randn(*args, generator=generator, **kwargs)
        drawn.append(float(numbers.flatten()[0]))
        return numbers

    randn = torch.randn
    monkeypatch.setattr(torch, "randn", spy)
    operator = Thirds()
    run = solver(operator, 2)
    batch = {"image": dequantise(noise_images(3, 3, 8, 8)), "index": torch.arange(3), "name": ["a", "b", "c"]}
    found = run.predict_step(batch)
    for metric in (MeanIoU(noise_std=0.2), LabelAccuracy(noise_std=0.2), MeanIoU(noise_std=0.2, name="other")):
        ready(metric, operator).score(found, run)
    # Sampling draws twice for each of 6 rows (the start and a step), each judge once.
    assert len(drawn) >= 6 + 3 * 6
    assert len(set(drawn)) == len(drawn)


def test_an_operator_that_measures_no_classes_cannot_judge() -> None:
    with pytest.raises(ValueError, match="AveragePool does not; give the metric another as judge"):
        MeanIoU().prepare(solver(AveragePool(4), 1), CPU)
    with pytest.raises(ValueError, match="noise_std >= 0"):
        MeanIoU(noise_std=-1.0)


class Named(Thirds):
    """The same numbers for other classes."""

    def __init__(self) -> None:
        super().__init__()
        self.classes = ("bed", "rug", "lamp")


@pytest.mark.parametrize("metric", [MeanIoU, LabelAccuracy, SetMeanIoU])
@pytest.mark.parametrize(
    ("own", "told"),
    [
        (Named(), r"3 classes \(bed, rug, lamp\) at 8 x 8 positions"),
        (Thirds(whole=True), r"3 classes \(red, green, blue\) of whole pictures"),
        (AveragePool(4), "3 x 2 x 2 numbers"),
    ],
)
def test_a_judge_of_other_classes_or_positions_than_the_runs_is_refused_at_the_start(
    metric: type[MeanIoU | LabelAccuracy | SetMeanIoU], own: Operator, told: str
) -> None:
    judged = r"Opposite .* it measures 3 classes \(red, green, blue\) at 8 x 8 positions, and the run's "
    with pytest.raises(ValueError, match=judged + f"{type(own).__name__} {told}. Give the metric a judge"):
        metric(Opposite()).prepare(solver(own, 1), CPU)
