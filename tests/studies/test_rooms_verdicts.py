"""What is said of a paper follows from the numbers."""

import pytest
import torch

from studies.rooms_verdicts import Comparison, Difference, Read, difference, in_words, verdict, verdicts

IMAGES, DEPTH = 40, 3
GENERATOR = torch.Generator().manual_seed(0)
REFERENCE = torch.randn(400, DEPTH, generator=GENERATOR)
VALUES, FEATURES = torch.rand(IMAGES, generator=GENERATOR), torch.randn(IMAGES, DEPTH, generator=GENERATOR)


def row(gain: float = 0.0, shift: float = 0.0) -> Read:
    return Read(VALUES + gain, VALUES + gain, VALUES + gain, FEATURES + shift)


def test_a_gain_on_every_image_is_certain() -> None:
    value, error = difference(row(gain=0.25), row(), "judge", REFERENCE)
    assert value == pytest.approx(0.25)
    assert error == pytest.approx(0, abs=1e-6)


def test_the_error_of_a_mean_is_its_standard_error() -> None:
    """Against a row of nothing but zeros, the difference is the mean itself."""
    value, error = difference(row(), row()._replace(judge=torch.zeros(IMAGES)), "judge", REFERENCE)
    assert value == pytest.approx(float(VALUES.mean()))
    # 50 draws know a standard deviation to 10 %.
    assert error == pytest.approx(float(VALUES.std() / IMAGES**0.5), rel=0.4)


def test_a_shift_of_the_features_costs_its_square_at_least() -> None:
    near = row()._replace(features=FEATURES - FEATURES.mean(dim=0) + REFERENCE.mean(dim=0))
    value, error = difference(near._replace(features=near.features + 2.0), near, "distance", REFERENCE)
    assert value == pytest.approx(DEPTH * 4.0, rel=1e-3)
    assert 0 < error < value


@pytest.mark.parametrize(
    ("paper", "value", "error", "outcome"),
    [(0.1, 0.3, 0.1, "agrees"), (-2.0, -0.3, 0.1, "agrees"), (0.1, -0.3, 0.1, "differs"), (0.1, 0.3, 0.2, "open")],
)
def test_a_verdict_asks_for_the_sign_and_for_two_errors(paper: float, value: float, error: float, outcome: str) -> None:
    assert verdict(paper, Difference(value, error)) == outcome


def test_nothing_is_concluded_where_the_paper_sees_no_difference() -> None:
    assert verdict(0.0, Difference(1.0, 0.01)) == "open"


def test_the_sum_counts_the_comparisons_that_the_paper_reports() -> None:
    found = {"maps": {"ours": row(gain=0.2, shift=3.0), "theirs": row(), "blind": row()}}
    reported = {
        "maps": {"ours": {"judge": 0.5, "distance": 1.0}, "theirs": {"judge": 0.4, "distance": 9.0}, "blind": {}}
    }
    text = verdicts([Comparison("ours", "theirs"), Comparison("ours", "blind")], reported, found, REFERENCE)
    assert "| ours - theirs | maps | B | +0.10 | +0.20 ± 0.00 | agrees |" in text
    assert "| ours - theirs | maps | Fréchet distance | -8.00 |" in text
    assert "Of 2 comparisons, agrees: 1. differs: 1. open: 0." in text
    assert "ours - blind" not in text
    assert "- ours against theirs, read by B: better: maps; worse: none; open: none." in text


def test_what_the_judge_says_is_sorted_by_problem() -> None:
    noise = torch.randn(IMAGES, generator=GENERATOR)
    first = row()._replace(judge=VALUES + noise - noise.mean())
    found = {
        "won": {"a": row(gain=0.1), "b": row()},
        "lost": {"a": row(gain=-0.1), "b": row()},
        "even": {"a": first, "b": row()},
    }
    expected = "- a against b, read by B: better: won; worse: lost; open: even."
    assert in_words(Comparison("a", "b"), found, REFERENCE) == expected
