"""The published mixtures, in small: what must come out of any size."""

import pytest
import torch

from studies import mixture_benchmark
from studies.mixture_benchmark import ROWS, compare, main, sigma_max
from studies.problems import mixture_problem
from studies.scores import sliced_distances


def test_the_noise_starts_at_six_times_the_largest_mean() -> None:
    for dimension in (8, 80):
        norms = mixture_problem(dimension, 1).prior.means.norm(dim=1)  # type: ignore[operator]
        assert sigma_max(dimension) == pytest.approx(6 * float(norms.max()))


def test_exact_samplers_are_nearest_and_the_prior_is_far() -> None:
    found = {name: sum(sw for sw, _ in scores) / 2 for name, scores in compare(8, 2, 2, 200, 60).items()}
    assert list(found) == list(ROWS)
    floor = found["exact samples"]
    assert floor < 0.4
    assert found["exact conditional denoiser"] < 2 * floor
    assert found["TDS, a particle per sample"] < 3 * floor
    for name in ("DPS, scale 1", "DDRM", "PiGDM", "MMPS, 3 iterations"):
        assert found["TDS, a particle per sample"] < found[name] < 1.05 * found["prior, unguided"]


def test_distances_along_directions_are_those_of_shifted_samples() -> None:
    samples = torch.randn(50, 6, generator=torch.Generator().manual_seed(1))
    shift = torch.arange(6.0)
    along = sliced_distances(samples, samples + shift, 300)
    assert along.max() <= shift.norm()
    assert along.shape == (300,)
    # Along a direction u it is |u . shift|; the mean square over directions is |shift|^2 / 6.
    assert float(along.square().mean()) == pytest.approx(float(shift.square().sum()) / 6, rel=0.25)


def test_the_command_prints_every_row(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    scores = {name: [(1.0, 4.0), (2.0, 6.0), (6.0, 8.0)] for name in ROWS}
    monkeypatch.setattr(mixture_benchmark, "compare", lambda dimension, num_measured, seeds: scores)
    main(["--dimensions", "8", "--seeds", "3"])
    printed = capsys.readouterr().out
    assert "8 dimensions" in printed
    for name in ROWS:
        (line,) = [line for line in printed.splitlines() if line.strip().startswith(name)]
        assert line.count("3.00 ± 2.99") == 3  # 1.96 * sqrt(7 / 3)
        assert line.count("2.00") == 3
        assert line.count("6.00") == 3
