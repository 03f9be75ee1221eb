"""Distance to the measurement: known answers."""

import json
from pathlib import Path

import open_clip
import pytest
import torch
from batches import CPU, Thirds, batch, noise_images, solver
from tiny_networks import clip_folder, squashing_clip

from dis_lightning.images import dequantise, quantise
from dis_lightning.metrics import CLIPFeatures, CLIPScore, MeasurementDistance, MeasurementMSE
from dis_lightning.metrics.judges import asked
from dis_lightning.operators import AveragePool, BicubicDownsample, CLIPText, MatrixOperator, Operator
from dis_lightning.rooms import RoomsCaption, RoomsClass, RoomsLayout, RoomsSegmentation, rooms_reader_a, rooms_reader_b


def test_the_distance_is_the_operators_own_averaged_over_samples() -> None:
    operator, samples = AveragePool(4), noise_images(2, 3, 3, 8, 8)
    y = 0.1 * torch.arange(24.0).reshape(2, 3, 2, 2) - 1.5
    lost = torch.tensor([[False, True, False], [True, True, True]])
    found = MeasurementDistance().measure(batch(samples, measurement=y, diverged=lost), solver(operator, 3))
    each = [operator.distance(dequantise(samples[0, s])[None], y[:1]) for s in (0, 2)]
    assert float(found["distance"][0]) == pytest.approx(float(sum(each)) / 2, rel=1e-6)
    assert found["distance"][1].isnan()


def test_a_judge_measures_the_distance_by_its_own_eyes() -> None:
    samples, y = noise_images(2, 3, 3, 8, 8), torch.zeros(2, 3, 4, 4)
    run, judge = solver(AveragePool(2), 3), BicubicDownsample(2)
    metric = MeasurementDistance(judge, name="distance_judge")
    metric.prepare(run, CPU)
    found = metric.measure(batch(samples, measurement=y), run)
    assert list(found) == ["distance_judge"]
    expected = judge.distance(dequantise(samples.flatten(0, 1)), torch.zeros(6, 3, 4, 4)).reshape(2, 3).mean(dim=1)
    assert torch.allclose(found["distance_judge"].float(), expected, rtol=1e-6)
    assert metric.definition("distance_judge")["judge"].startswith("BicubicDownsample")


def test_a_definition_tells_operators_apart_by_their_numbers_and_names_their_networks() -> None:
    one, same, other = (MatrixOperator(k * torch.eye(4), 0.1) for k in (1.0, 1.0, 2.0))
    assert asked(one) == asked(same) != asked(other)
    reading = RoomsClass(rooms_reader_a())
    assert asked(reading)["networks"] == ["ReaderA"]
    assert asked(reading)["weights_tensors_sha256"] != asked(RoomsClass(rooms_reader_b()))["weights_tensors_sha256"]


@pytest.mark.parametrize(
    ("judge", "own", "told"),
    [
        (AveragePool(2), AveragePool(4), "it measures 3 x 4 x 4 numbers, and the run's AveragePool 3 x 2 x 2 numbers"),
        (Thirds(whole=True), Thirds(), r"\) of whole pictures, and the run's Thirds 3 classes .* at 8 x 8 positions"),
        (RoomsLayout(), RoomsSegmentation(), r"5 classes \(frontal, .*\) at 8 x 8 .* 8 classes \(wall, .*\) at 8 x 8"),
        (
            CLIPText("a bed", name=f"local-dir:{clip_folder()}", pretrained=None),
            AveragePool(4),
            "it measures words, and the run's AveragePool 3 x 2 x 2 numbers",
        ),
    ],
)
def test_a_judge_of_another_kind_is_refused_at_the_start(judge: Operator, own: Operator, told: str) -> None:
    with pytest.raises(ValueError, match=f"{type(judge).__name__} cannot judge this run: .*{told}"):
        MeasurementDistance(judge).prepare(solver(own, 1), CPU)


def test_words_may_judge_other_words() -> None:
    judge, own = (CLIPText(text, name=f"local-dir:{clip_folder()}", pretrained=None) for text in ("a bed", "a cat"))
    MeasurementDistance(judge).prepare(solver(own, 1), CPU)


def test_the_squared_difference_is_between_8_bit_pictures() -> None:
    operator = AveragePool(4)
    grey = torch.full((1, 2, 3, 8, 8), 100, dtype=torch.uint8)
    grey[:, 1] += 5
    y = dequantise(torch.full((1, 3, 2, 2), 102, dtype=torch.uint8)) + 0.3 / 127.5  # rounded away
    metric = MeasurementMSE()
    metric.prepare(solver(operator, 2), CPU)
    assert metric.measure(batch(grey, measurement=y), solver(operator, 2))["y_mse"].tolist() == [(4 + 9) / 2]

    samples, source = noise_images(2, 1, 3, 8, 8), dequantise(noise_images(2, 3, 8, 8, seed=1))
    found = metric.measure(batch(samples, measurement=operator(source)), solver(operator, 1))["y_mse"]
    pooled = samples[:, 0].double().reshape(2, 3, 2, 4, 2, 4).mean(dim=(3, 5)).round()
    expected = (pooled - quantise(operator(source)).double()).square().mean(dim=(1, 2, 3))
    assert torch.allclose(found, expected, atol=2)  # a mean that ends in one half may round either way


def test_classes_have_no_squared_difference() -> None:
    with pytest.raises(ValueError, match="Thirds does not measure any"):
        MeasurementMSE().prepare(solver(Thirds(), 1), CPU)


def test_the_clip_score_is_a_hundred_times_the_positive_part_of_the_cosine(tmp_path: Path) -> None:
    vision = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8}
    text = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    (tmp_path / "small-clip.json").write_text(json.dumps({"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}))
    open_clip.add_model_config(tmp_path)
    torch.manual_seed(0)
    torch.save(open_clip.create_model("small-clip").state_dict(), tmp_path / "small.pt")
    colours = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    clip = CLIPFeatures("small-clip", str(tmp_path / "small.pt"), colours)
    metric, fixed = CLIPScore(clip), CLIPScore(clip, text="a bed")
    samples, captions = noise_images(2, 3, 3, 32, 32), ["a bed", "a red lamp"]
    run = solver(AveragePool(4), 3)
    with pytest.raises(ValueError, match="needs words, but AveragePool does not measure any; give it a text"):
        metric.prepare(run, CPU)
    fixed.prepare(run, CPU)

    found = metric.measure(batch(samples, measurement=captions), run)["clip_score"]
    images = clip.rows(samples.flatten(0, 1)).reshape(2, 3, -1)
    cosines = torch.einsum("bsd,bd->bs", images, clip.words(captions))
    assert torch.allclose(found.float(), (100 * cosines).clamp(min=0).mean(dim=1), rtol=1e-5)
    again = fixed.measure(batch(samples), run)["clip_score"]
    assert float(again[0]) == pytest.approx(float(found[0]), rel=1e-6)
    metric.prepare(solver(RoomsCaption(), 3), CPU)


def test_words_that_the_judge_of_words_cannot_read_are_refused_before_anything_is_sampled(tmp_path: Path) -> None:
    clip, long = CLIPFeatures(f"local-dir:{squashing_clip()}", None), "bed " * 8
    name = {"name": f"local-dir:{clip_folder()}", "pretrained": None}
    (tmp_path / "texts.txt").write_text(f"a bed\n{long}\n")
    for operator in (CLIPText(long, **name), CLIPText(file=tmp_path / "texts.txt", **name)):
        with pytest.raises(ValueError, match=r"may have 8 tokens, but 'bed .*' has more; make it"):
            CLIPScore(clip).prepare(solver(operator, 1), CPU)
    with pytest.raises(ValueError, match="may have 8 tokens"):
        CLIPScore(clip, text=long).prepare(solver(AveragePool(4), 1), CPU)
    CLIPScore(clip).prepare(solver(CLIPText("a bed", **name), 1), CPU)
    assert clip.define()["resize"].endswith("interpolation bilinear, resize_mode squash")
