"""Share of a caption's facts that the samples show: by hand, by another judge, under noise of its own."""

import pytest
import torch
from torch import Tensor

from dis_lightning.images import dequantise
from dis_lightning.levels import KarrasLevels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import AveragePool, Operator
from dis_lightning.priors import GaussianPrior
from dis_lightning.rooms import RoomsCaption, render_room
from dis_lightning.rooms.captions import Facts, caption
from dis_lightning.rooms.metrics import CaptionAccuracy
from dis_lightning.solvers import Unguided
from dis_lightning.types import Cost, Draws, Reconstruction

CPU = torch.device("cpu")
SEEN = Facts(walls=1, bed=2, window=4, picture=0, lamp=2, rug=3)


class Listener(RoomsCaption):
    """Says what it was told to, and keeps what it was shown."""

    def __init__(self, *told: Facts) -> None:
        super().__init__()
        self.told = [caption(facts) for facts in told]

    def measure(self, x_0: Tensor, noise: NoiseSource) -> list[str]:
        self.shown = x_0
        return (self.told * len(x_0))[: len(x_0)]


def solver(operator: Operator) -> Unguided:
    prior = GaussianPrior(torch.zeros(3, 16, 16), torch.eye(3 * 16**2))
    return Unguided(operator, prior, KarrasLevels(2), num_samples=2)


def reconstruction(*measured: Facts) -> Reconstruction:
    """Two samples of each room."""
    images = torch.stack([torch.from_numpy(render_room("test", index, 16).image) for index in range(len(measured))])
    samples = images.permute(0, 3, 1, 2).unsqueeze(1).repeat(1, 2, 1, 1, 1)
    draws = Draws(samples, torch.zeros(len(measured), 2) > 0, [Cost(0, 0, 0, 0)] * len(measured))
    texts = [caption(facts) for facts in measured]
    return Reconstruction(torch.arange(len(measured)), ["room"] * len(measured), samples[:, 0], texts, draws)


def test_each_of_six_facts_counts_the_same_and_samples_are_averaged() -> None:
    other = SEEN._replace(window=0, picture=1, rug=0)
    judge = Listener(SEEN, SEEN._replace(bed=0), other, SEEN)  # of two samples of two rooms
    metric = CaptionAccuracy(judge)
    metric.prepare(solver(Listener(SEEN)), CPU)
    values = metric.measure(reconstruction(SEEN, SEEN), solver(judge))
    assert values["y_accuracy"].tolist() == pytest.approx([(1 + 5 / 6) / 2, (3 / 6 + 1) / 2])


def test_a_sample_that_diverged_is_left_out() -> None:
    metric = CaptionAccuracy(Listener(SEEN, SEEN._replace(bed=0)))
    metric.prepare(solver(Listener(SEEN)), CPU)
    whole = reconstruction(SEEN)
    lost = whole._replace(draws=whole.draws._replace(diverged=torch.tensor([[False, True]])))
    assert metric.measure(lost, solver(Listener(SEEN)))["y_accuracy"].tolist() == [1]


def test_noise_is_the_judges_own_and_keyed_by_image_and_sample() -> None:
    judge, whole = Listener(SEEN), reconstruction(SEEN, SEEN)
    metric = CaptionAccuracy(judge, noise_std=0.2, name="noisy")
    metric.prepare(solver(Listener(SEEN)), CPU)
    assert set(metric.measure(whole, solver(judge))) == {"noisy"}
    noise = NoiseSource(0, [0, 1], use="judge noisy").samples(2).normal((4, 3, 16, 16))
    torch.testing.assert_close(judge.shown, dequantise(whole.draws.samples.flatten(0, 1)) + 0.2 * noise)


def test_without_a_judge_the_runs_own_operator_judges() -> None:
    own = RoomsCaption()
    metric = CaptionAccuracy()
    metric.prepare(solver(own), CPU)
    whole = reconstruction(SEEN)
    again = own.measure(dequantise(whole.draws.samples[:, 0]), NoiseSource(0, [0]))
    assert metric.measure(whole._replace(measurement=again), solver(own))["y_accuracy"].tolist() == [1]
    assert (metric.define("")["judge"], metric.define("")["noise_std"]) == (
        "RoomsCaption(captioner=None)",
        0,
    )


def test_a_run_that_measures_no_captions_of_rooms_is_refused() -> None:
    with pytest.raises(ValueError, match="AveragePool does not measure any; take it out"):
        CaptionAccuracy().prepare(solver(AveragePool(4)), CPU)
    with pytest.raises(ValueError, match="noise_std >= 0, but got -1"):
        CaptionAccuracy(noise_std=-1.0)
