"""PixelStd, diversity and calibration of the samples of an image, on constructed samples."""

import math
from itertools import combinations
from statistics import fmean, stdev
from typing import Any, ClassVar

import pytest
import torch
from batches import CPU, batch, noise_images, solver
from torch import Tensor
from torchvision.models import alexnet

from dis_lightning.commands.scoring import UnreadPrior
from dis_lightning.errors import InvalidValueError
from dis_lightning.images import dequantise, quantise
from dis_lightning.levels import KarrasLevels
from dis_lightning.metrics import (
    LPIPS,
    Calibration,
    DiversityScore,
    FeatureNetwork,
    FeatureSimilarity,
    PairwiseLPIPS,
    PixelStd,
)
from dis_lightning.metrics.functional import coverage_levels
from dis_lightning.metrics.networks import PerceptualDistance
from dis_lightning.operators import AveragePool
from dis_lightning.solvers import Unguided


class Corner(FeatureNetwork):
    """The pixels of a corner."""

    name: ClassVar[str] = "corner"

    def load(self, device: torch.device | str = "cpu") -> None:
        self.ready = True

    def features(self, images: Tensor) -> Tensor:
        return images[:, :2, 0, 0].double()

    def define(self) -> dict[str, Any]:
        return {"network": "corner"}


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("trunk") / "alex.pth"
    state = alexnet(weights=None).features.state_dict()
    torch.save({f"features.{key}": value for key, value in state.items()}, file)
    return str(file)


def corners(*points: tuple[int, int]) -> Tensor:
    images = torch.zeros(1, len(points), 3, 8, 8, dtype=torch.uint8)
    images[0, :, :2, 0, 0] = torch.tensor(points, dtype=torch.uint8)
    return images


def test_the_spread_is_the_root_of_the_mean_variance_in_grey_levels() -> None:
    samples = noise_images(2, 5, 3, 8, 8)
    lost = torch.tensor([[False] * 5, [False, True, True, True, True]])
    found = PixelStd().measure(batch(samples, diverged=lost), solver(AveragePool(4), 5))["pixel_std"]
    assert float(found[0]) == pytest.approx(float(samples[0].double().var(dim=0).mean().sqrt()))
    assert float(found[0]) == pytest.approx(40, rel=0.05)
    assert found[1].isnan()
    assert PixelStd().measure(batch(samples[:, :1]), solver(AveragePool(4), 1)) == {}


def test_diversity_score_and_similarity_of_known_features() -> None:
    run = solver(AveragePool(4), 5)
    # Two clusters: (10, 0), (30, 0) around (20, 0), and (0, 100), (0, 110), (0, 120) around (0, 110).
    points = [(10, 0), (0, 110), (30, 0), (0, 120), (0, 100)]
    score = DiversityScore(Corner(), clusters=2)
    score.prepare(run, CPU)
    found = score.measure(batch(corners(*points)), run)["diversity_score"]
    assert float(found[0]) == pytest.approx(math.hypot(20, 110) / ((10 + 20 / 3) / 2), rel=1e-9)

    similar = FeatureSimilarity(Corner()).measure(batch(corners(*points)), run)["corner_similarity"]
    assert float(similar[0]) == pytest.approx((1 + 3) / 10)


def test_more_clusters_than_samples_are_refused_before_the_run() -> None:
    with pytest.raises(ValueError, match="num_samples is 6; draw more"):
        DiversityScore(Corner()).prepare(solver(AveragePool(4), 6), CPU)


@pytest.mark.parametrize("metric", [LPIPS, PairwiseLPIPS])
def test_images_too_small_for_lpips_are_refused_before_the_run(metric: type[LPIPS | PairwiseLPIPS]) -> None:
    with pytest.raises(ValueError, match="31 pixels or more a side, but got 8 x 8; take it out"):
        metric().prepare(solver(AveragePool(4), 2), CPU)


def test_lpips_over_samples_and_pairs(trunk: str) -> None:
    samples, source = noise_images(2, 3, 3, 32, 32), dequantise(noise_images(2, 3, 32, 32, seed=1))
    lost = torch.tensor([[False, False, True], [False, False, False]])
    run = Unguided(AveragePool(4), UnreadPrior([3, 32, 32]), KarrasLevels(2), num_samples=3)
    found = batch(samples, quantise(source), diverged=lost)
    one, pairs, distance = LPIPS(weights=trunk), PairwiseLPIPS(weights=trunk), PerceptualDistance(weights=trunk)
    for metric in (one, pairs):
        metric.prepare(run, CPU)
    distance.load()

    values, between = one.measure(found, run), pairs.measure(found, run)
    said = {
        "lpips_alex": "mean over the",
        "lpips_alex_best_of_3": "best of 3",
        "lpips_alex_of_mean": "of the mean of the",
    }
    assert said.keys() == values.keys()
    assert all(f"LPIPS against the clean image, {words} samples" in one.define(n)["what"] for n, words in said.items())
    for row, kept in enumerate(([0, 1], [0, 1, 2])):
        drawn = dequantise(samples[row, kept])
        each = distance(drawn, source[row].expand_as(drawn))
        assert float(values["lpips_alex"][row]) == pytest.approx(float(each.mean()), rel=1e-5)
        assert float(values["lpips_alex_best_of_3"][row]) == pytest.approx(float(each.min()), rel=1e-5)
        mean = drawn.mean(dim=0, keepdim=True)
        assert float(values["lpips_alex_of_mean"][row]) == pytest.approx(
            float(distance(mean, source[row][None])), rel=1e-4
        )
        apart = [float(distance(drawn[a][None], drawn[b][None])) for a, b in combinations(range(len(kept)), 2)]
        assert float(between["pairwise_lpips_alex"][row]) == pytest.approx(sum(apart) / len(apart), rel=1e-5)


def test_samples_from_the_truths_own_distribution_are_calibrated() -> None:
    metric, run = Calibration(), solver(AveragePool(4), 5)
    metric.prepare(run, CPU)
    draws = noise_images(40, 6, 3, 8, 8)
    lost = torch.zeros(40, 5, dtype=torch.bool)
    lost[7, 2] = True
    metric.score(batch(draws[:, :5], draws[:, 5], diverged=lost), run)
    found = metric.reduce(metric.rows)
    levels = coverage_levels(5)
    assert found["calibration"]["levels"] == levels.tolist()
    error = (levels * (1 - levels) / (39 * 192)).sqrt()
    assert ((torch.tensor(found["calibration"]["coverage"]) - levels).abs() < 4 * error).all()
    assert found["set"]["coverage"]["images"] == 39
    assert found["set"]["coverage"]["mean"] == pytest.approx(4 / 6, abs=4 * float(error[0]))
    assert found["set"]["calibration_error"]["mean"] < 4 * float(error.max())


def test_the_error_of_calibration_counts_what_is_too_much_and_what_is_too_little() -> None:
    """Of four images, shares of pixels in the inner interval of the samples, the same shares in the outer one."""
    shares = [0.25, 0.5, 0.25, 0.75]
    metric, run = Calibration(), solver(AveragePool(4), 4)
    metric.prepare(run, CPU)
    samples = torch.tensor([10, 20, 30, 40], dtype=torch.uint8)[None, :, None, None, None].expand(4, 4, 3, 8, 8)
    source = torch.full((4, 3, 8, 8), 200, dtype=torch.uint8)
    for image, share in enumerate(shares):
        source[image, :, : int(8 * share)] = 25
    metric.score(batch(samples, source), run)
    found = metric.reduce(metric.rows)
    mean = fmean(shares)  # between both levels, 3/5 and 1/5: one is missed from below, one from above
    assert found["calibration"] == {"levels": pytest.approx([0.6, 0.2]), "coverage": [mean, mean]}
    assert found["set"]["calibration_error"]["mean"] == pytest.approx(((0.6 - mean) + (mean - 0.2)) / 2)
    assert found["set"]["coverage"]["standard_error"] == pytest.approx(stdev(shares) / 4**0.5)


def test_the_error_of_calibration_is_as_uncertain_as_what_is_covered_too_much() -> None:
    metric = Calibration()
    metric.prepare(solver(AveragePool(4), 4), CPU)
    shares = 0.7 + 0.2 * torch.rand(30, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = metric.reduce({index: {"coverage": row} for index, row in enumerate(shares)})["set"]["calibration_error"]
    over = (shares - coverage_levels(4)).mean(dim=1)
    assert found["mean"] == pytest.approx(float(over.mean()))
    assert found["standard_error"] == pytest.approx(float(over.std() / 30**0.5))


def test_the_level_of_a_coverage_is_in_its_definition_and_in_no_other() -> None:
    metric = Calibration()
    metric.prepare(solver(AveragePool(4), 4), CPU)
    assert metric.definition("coverage")["level"] == pytest.approx(3 / 5)
    assert "level" not in metric.definition("calibration_error") | metric.definition("calibration")


def test_a_coverage_of_no_image_is_missing_with_the_reason() -> None:
    metric, run = Calibration(), solver(AveragePool(4), 2)
    metric.prepare(run, CPU)
    lost = torch.tensor([[True, False], [False, True]])
    metric.score(batch(noise_images(2, 2, 3, 8, 8), diverged=lost), run)
    with pytest.raises(InvalidValueError, match="of every image a sample diverged"):
        metric.reduce(metric.rows)
    assert metric.definition(metric.key)["title"] == "coverage"


def test_samples_that_are_all_alike_cover_nothing() -> None:
    metric, run = Calibration(), solver(AveragePool(4), 4)
    metric.prepare(run, CPU)
    metric.score(batch(torch.full((2, 4, 3, 8, 8), 10, dtype=torch.uint8)), run)  # the source is mid-grey
    found = metric.reduce(metric.rows)
    assert found["set"]["coverage"]["mean"] == 0
    assert found["set"]["calibration_error"]["mean"] == pytest.approx(float(coverage_levels(4).mean()))
