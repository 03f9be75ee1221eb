"""Alignment against trying every shift, and its metric on known answers."""

import itertools
import json
import math
from pathlib import Path

import pytest
import torch
from small_run import ROOT, SMALL
from torch import Tensor

from dis_lightning.images import dequantise
from dis_lightning.levels import KarrasLevels
from dis_lightning.main import main
from dis_lightning.metrics import AlignedPSNR
from dis_lightning.metrics.functional import aligned
from dis_lightning.operators import PhaseRetrieval
from dis_lightning.priors import GaussianPrior
from dis_lightning.solvers import Unguided
from dis_lightning.types import Cost, Draws, Reconstruction


def images(count: int, seed: int = 0, height: int = 6, width: int = 5) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def closest(image: Tensor, target: Tensor, *, signs: bool) -> Tensor:
    """The best of all, one by one."""
    height, width = image.shape[-2:]
    moved = [
        sign * turned.roll(shift, dims=(-2, -1))
        for sign in ((1, -1) if signs else (1,))
        for turned in (image, image.rot90(2, dims=(-2, -1)))
        for shift in itertools.product(range(height), range(width))
    ]
    return min(moved, key=lambda candidate: float((candidate - target).norm()))


@pytest.mark.parametrize("signs", [False, True])
@pytest.mark.parametrize(("height", "width"), [(6, 5), (5, 8)])
def test_it_finds_the_best_of_all_shifts_and_turns(signs: bool, height: int, width: int) -> None:
    first, second = images(6, 0, height, width), images(6, 1, height, width)
    expected = torch.stack([closest(image, target, signs=signs) for image, target in zip(first, second, strict=True)])
    assert torch.equal(aligned(first, second, signs=signs), expected)


@pytest.mark.parametrize("shift", [(0, 0), (2, 3), (-1, 4)])
def test_a_moved_image_comes_back_exactly(shift: tuple[int, int]) -> None:
    target = images(3)
    moved = target.roll(shift, dims=(-2, -1))
    assert torch.equal(aligned(moved, target), target)
    assert torch.equal(aligned(moved.flip(-2, -1), target), target)
    assert torch.equal(aligned(-moved, target, signs=True), target)
    assert not torch.equal(aligned(-moved, target), target)


def test_a_mirror_image_does_not_come_back() -> None:
    assert not torch.equal(aligned(images(1).flip(-1), images(1)), images(1))


def test_what_is_aligned_already_stays() -> None:
    flat = torch.zeros(2, 3, 4, 4)
    assert torch.equal(aligned(flat, images(2, height=4, width=4)), flat)


@pytest.fixture
def solver() -> Unguided:
    return Unguided(PhaseRetrieval(), GaussianPrior(torch.zeros(3, 6, 5), torch.eye(90)), KarrasLevels(2))


def reconstruction(samples: Tensor, source: Tensor, diverged: list[list[bool]]) -> Reconstruction:
    draws = Draws(samples, torch.tensor(diverged), [Cost(1.0, 0.0, 0.1, 0.1)] * len(source))
    return Reconstruction(torch.arange(len(source)), ["a"] * len(source), source, source, draws)


def test_the_metric_is_the_mean_psnr_of_the_aligned_samples(solver: Unguided) -> None:
    source = torch.randint(0, 200, (2, 3, 6, 5), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    brighter, brightest = source + 10, source + 40
    samples = torch.stack([brighter.roll((1, 2), dims=(-2, -1)), brightest.flip(-2, -1)], dim=1)
    values = AlignedPSNR().measure(reconstruction(samples, source, [[False, False], [False, True]]), solver)
    each = [20 * math.log10(255 / 10), 20 * math.log10(255 / 40)]
    assert values["psnr_aligned"].tolist() == pytest.approx([sum(each) / 2, each[0]], abs=1e-4)


def test_the_metric_is_infinite_for_a_moved_copy_and_never_below_psnr(solver: Unguided) -> None:
    source, other = (
        torch.randint(0, 256, (1, 3, 6, 5), generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)
    )
    source, other = source.byte(), other.byte()
    copy = reconstruction(source.roll(2, dims=-1)[:, None], source, [[False]])
    assert AlignedPSNR().measure(copy, solver)["psnr_aligned"].isinf().all()
    negative = reconstruction(255 - source[:, None], source, [[False]])
    assert AlignedPSNR(signs=True).measure(negative, solver)["psnr_aligned"].isinf().all()

    errors = dequantise(other) - dequantise(source)
    plain = 10 * torch.log10(4 / errors.square().mean())
    found = AlignedPSNR().measure(reconstruction(other[:, None], source, [[False]]), solver)["psnr_aligned"]
    assert found > plain


def test_its_file_adds_it_to_a_run_of_phase_retrieval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    small = [argument.replace("average_pool_x4", "phase_retrieval_daps") for argument in SMALL]
    main(["predict", *small, "--config=configs/callbacks/aligned.yaml", f"--writer.folder={tmp_path}"])
    summary = json.loads((tmp_path / "metrics.json").read_text())
    assert summary["metrics"]["psnr_aligned"]["mean"] > summary["metrics"]["psnr"]["mean"]
    assert "turns by 180 degrees" in summary["definitions"]["psnr_aligned"]["what"]
