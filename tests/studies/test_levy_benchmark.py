"""Walks with heavy tails, in small: the scores, the Gibbs sampler that stands for the truth, and the command."""

import math
from itertools import islice

import pytest
import torch

from studies import levy_benchmark
from studies.levy import GibbsDenoiser
from studies.levy_benchmark import Task, main, score, solvers, tasks


@pytest.fixture(scope="module")
def laplace() -> Task:
    found = tasks(60)[0]
    assert found.name == "Laplace, denoising"
    return found


def test_the_noise_has_a_tenth_of_the_median_power(laplace: Task) -> None:
    power = laplace.truth.square().mean(1).median()
    assert 10 * math.log10(power / laplace.operator.noise_std**2) == pytest.approx(10)
    off = laplace.y - laplace.truth
    error = 5 * math.sqrt(2 / off.numel())
    assert float(off.square().mean()) / laplace.operator.noise_std**2 == pytest.approx(1, abs=error)


def test_a_gap_is_that_of_squared_errors(laplace: Task) -> None:
    ideal = laplace.truth + 1
    for times, gap in ((1, 0.0), (2, 10 * math.log10(4)), (0.5, -10 * math.log10(4))):
        samples = (laplace.truth + times).unsqueeze(1).expand(-1, 5, -1)
        assert score(laplace, samples, ideal)[0] == pytest.approx(gap)


def test_the_gibbs_sampler_is_calibrated_and_its_mean_is_best(laplace: Task) -> None:
    draws = torch.stack(list(islice(laplace.chain(), 0, 400, 4)), dim=1)
    gap, covered = score(laplace, draws, draws.mean(1))
    assert gap == 0
    assert abs(covered - 0.9) < 5 * math.sqrt(0.9 * 0.1 / 60)
    # The mean of 19 draws has a nineteenth of their variance more, but for how alike draws of a chain are.
    assert 0 < score(laplace, draws[:, ::5][:, :19], draws.mean(1))[0] < 1
    assert score(laplace, laplace.y.unsqueeze(1).expand(-1, 5, -1), draws.mean(1))[0] > 1


@pytest.mark.parametrize("name", ["DPS, weight of Bayes", "MMPS, 3 iterations"])
def test_a_guided_solver_comes_near_to_the_gibbs_mean(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levy_benchmark, "LEVELS", 20)
    (task, *_) = tasks(4)
    exact = torch.stack(list(islice(task.chain(), 300))).mean(0)
    denoiser = GibbsDenoiser(task.law, levy_benchmark.SIZE, sweeps=8, burn_in=4)
    samples = task.draw(solvers(task, denoiser)[name]())
    assert score(task, samples, exact)[0] < 2


def test_the_command_prints_every_task(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in {"BURN_IN": 2, "DRAWS": 8, "SAMPLES": 4, "LEVELS": 2}.items():
        monkeypatch.setattr(levy_benchmark, name, value)
    main(["--images", "2", "--sweeps", "3"])
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("Laplace", "Student 1", "denoising", "deconvolution"))
    for row in ("Gibbs sampler", "DPS, weight of Bayes", "PiGDM", "MMPS, 3 iterations", "DiffPIR"):
        (line,) = [line for line in printed.splitlines() if line.strip().startswith(row)]
        assert len(line.replace(row, "").split()) == 8
