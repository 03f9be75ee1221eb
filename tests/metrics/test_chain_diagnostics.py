"""Diagnostics of chains in a run: known answers from constructed samples, and the same answers after a resume."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_run import ROOT
from torch import Tensor

from dis_lightning.kernels import MALA
from dis_lightning.levels import KarrasLevels, Levels
from dis_lightning.main import main
from dis_lightning.metrics import Calibration, ChainDiagnostics, EnergyScore, KernelSteinDiscrepancy
from dis_lightning.operators import MatrixOperator
from dis_lightning.priors import GaussianPrior
from dis_lightning.solvers import NoiseSpaceLangevin, Solver, Unguided
from dis_lightning.types import Cost, Draws, Reconstruction

PRIOR = GaussianPrior(torch.zeros(2), torch.eye(2, dtype=torch.float64))
OPERATOR = MatrixOperator(torch.eye(2), noise_std=0.5)


def langevin(samples: int, chains: int) -> NoiseSpaceLangevin:
    parts = {"kernel": MALA(0.3), "num_samples": samples, "chains": chains, "warm_start": 0}
    return NoiseSpaceLangevin(OPERATOR, PRIOR.consistency_map(), Levels([80.0, 0.002]), **parts)


def measure(greys: Tensor, solver: Solver, diverged: Tensor | None = None) -> dict[str, list[float]]:
    """What is reported of pictures of one grey each, given as `(B, S)`."""
    images, samples = greys.shape
    pictures = greys.round().to(torch.uint8)[:, :, None, None, None].expand(-1, -1, 3, 2, 2)
    lost = torch.zeros(images, samples, dtype=torch.bool) if diverged is None else diverged
    draws = Draws(pictures, lost, [Cost(0.0, 0.0, 0.0, 0.0)] * images)
    source = torch.zeros(images, 3, 2, 2)
    batch = Reconstruction(torch.arange(images), ["room"] * images, source, source, draws)
    return {name: value.tolist() for name, value in ChainDiagnostics().measure(batch, solver).items()}


def autoregressive(correlation: float, length: int) -> Tensor:
    """A stationary chain of greys with autocorrelation `correlation^lag`, mean 128 and deviation 25, `(S,)`."""
    n = torch.randn(length, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = [n[0]]
    for step in n[1:]:
        values.append(correlation * values[-1] + math.sqrt(1 - correlation**2) * step)
    return 128 + 25 * torch.stack(values)


def test_what_is_known_of_independent_samples_is_not_asked_of_a_chain() -> None:
    metrics = {"coverage": Calibration(), "energy_score": EnergyScore(), "ksd": KernelSteinDiscrepancy(prior=PRIOR)}
    for name, metric in metrics.items():
        for solver in (langevin(20, 2), langevin(20, 20)):
            metric.prepare(solver, torch.device("cpu"))
            definition = metric.definition(name)
            chained = solver.rows_per_image < 20
            assert definition.get("caution", "").startswith("Successive samples of a chain resemble") == chained
            assert ("level" in definition) == (name == "coverage" and not chained)


def test_the_definition_says_what_independent_samples_would_have() -> None:
    metric = ChainDiagnostics()
    metric.prepare(langevin(100, 4), torch.device("cpu"))
    # The worst of 32 directions: far from 100 and from 1.
    assert 50 < float(metric.definition("effective_sample_size")["independent_samples_have"]) < 70
    assert 1.04 < float(metric.definition("split_r_hat")["independent_samples_have"]) < 1.08
    metric.prepare(langevin(16, 4), torch.device("cpu"))  # too few
    assert "independent_samples_have" not in metric.definition("split_r_hat")


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_the_effective_size_of_an_autoregressive_chain_is_known(correlation: float) -> None:
    values = measure(autoregressive(correlation, 8000)[None], langevin(8000, 1))
    expected = 8000 * (1 - correlation) / (1 + correlation)
    assert values["effective_sample_size"][0] == pytest.approx(expected, rel=0.15)
    assert values["split_r_hat"][0] == pytest.approx(1, abs=0.01)


def test_samples_are_read_chain_by_chain() -> None:
    """Two chains around 90 and 170, as a solver gives them and with their samples interleaved; against the textbook."""
    greys = torch.stack([autoregressive(0.0, 40)[:20] - 38, autoregressive(0.0, 40)[20:] + 42]).round()
    values = measure(torch.stack([greys.flatten(), greys.T.flatten()]), langevin(40, 2))

    def textbook(chains: np.ndarray) -> float:
        halves = chains.reshape(4, 10)
        return float(np.sqrt(0.9 + halves.mean(axis=1).var(ddof=1) / halves.var(axis=1, ddof=1).mean()))

    expected = [textbook(greys.numpy()), textbook(greys.T.flatten().numpy())]
    assert values["split_r_hat"] == pytest.approx(expected, rel=1e-9)
    assert expected[0] > 1.5 > 1.1 > expected[1]


def test_moves_are_counted_within_each_chain() -> None:
    # Between 5 and 9 another chain begins. Of its three moves the first chain makes one, the second two.
    values = measure(torch.tensor([[4.0, 5.0, 5.0, 5.0, 9.0, 8.0, 8.0, 7.0], [1.0] * 4 + [2.0] * 4]), langevin(8, 2))
    assert values["moved"] == pytest.approx([3 / 6, 0])


def test_what_diverged_or_stood_still_has_no_numbers() -> None:
    lost = torch.zeros(3, 10, dtype=torch.bool)
    lost[1, 5] = True
    chain = autoregressive(0.0, 10)
    values = measure(torch.stack([chain, chain, torch.full((10,), 128.0)]), langevin(10, 1), lost)
    assert {name: [math.isnan(value) for value in column] for name, column in values.items()} == {
        "effective_sample_size": [False, True, True],
        "split_r_hat": [False, True, True],
        "moved": [False, True, False],
    }
    assert values["moved"][2] == 0


def test_independent_samples_and_short_chains_have_no_diagnostics() -> None:
    chain = autoregressive(0.0, 12)[None]
    assert measure(chain, Unguided(OPERATOR, PRIOR, KarrasLevels(2), num_samples=12)) == {}
    assert measure(chain, langevin(12, 4)) == {}
    assert set(measure(chain, langevin(12, 3))) == {"effective_sample_size", "split_r_hat", "moved"}


def test_a_resumed_run_reports_what_an_unbroken_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    parts = ["data/rooms", "priors/rooms_gaussian_consistency", "operators/average_pool_x4", "solvers/langevin"]
    small = ["--data.size=8", "--data.num_images=2", "--data.batch_size=1"]
    small += ["--denoiser.size=8", "--denoiser.num_images=20"]
    solver = ["--model.kernel=MALA", "--model.kernel.step_size=1e-3", "--model.chains=2", "--model.num_samples=20"]
    arguments = ["predict", *(f"--config=configs/{part}.yaml" for part in parts), *small, *solver]
    arguments += ["--model.warm_start=2", "--trainer.accelerator=cpu"]
    arguments += [f"--writer.folder={tmp_path}"]

    def chains() -> dict[str, Any]:
        main(arguments)
        section: dict[str, Any] = json.loads((tmp_path / "metrics.json").read_text())["chains"]
        return section

    unbroken = chains()
    (tmp_path / "records" / "00001.json").unlink()
    (tmp_path / "metrics.json").unlink()
    assert chains() == unbroken
    assert unbroken["effective_sample_size"]["images"] == 2
    assert 0 < unbroken["moved"]["mean"] <= 1


@pytest.mark.parametrize("thinning", [1, 7])
def test_the_acceptance_rate_is_that_of_all_moves_whatever_the_thinning(thinning: int) -> None:
    prior = GaussianPrior(torch.zeros(3, 2, 2), torch.eye(12, dtype=torch.float64))
    operator = MatrixOperator(torch.eye(12), noise_std=0.5, shape=(3, 2, 2))
    parts = {"kernel": MALA(0.15), "num_samples": 42 // thinning, "thinning": thinning, "warm_start": 3}
    solver = NoiseSpaceLangevin(operator, prior.consistency_map(), Levels([80.0, 0.002]), **parts)
    moves: list[Tensor] = []
    solver.observers.append(lambda state: moves.append(state.x_0))
    image = torch.zeros(2, 3, 2, 2)
    found = solver.predict_step({"image": image, "index": torch.tensor([0, 1]), "name": ["a", "b"]})
    changed = (torch.stack(moves[2:]).diff(dim=0) != 0).flatten(2).any(dim=2).double().mean(dim=0)
    assert ((changed > 0.2) & (changed < 0.95)).all()
    assert torch.equal(found.draws.acceptance, changed)
    assert torch.equal(ChainDiagnostics().measure(found, solver)["acceptance"], changed)
    assert len(solver.observers) == 1
