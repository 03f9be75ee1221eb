"""The tables on rooms: their numbers are those of their rows."""

import json
import math
from pathlib import Path

import pytest
import torch
import yaml
from rooms_study import POOL, solver, write_study
from skimage.metrics import peak_signal_noise_ratio

from dis_lightning.images import quantise
from dis_lightning.operators import AveragePool
from studies import rooms_semantic
from studies.rooms_classical import fidelities, psnr, text
from studies.rooms_rows import Study, reconstruct
from studies.rooms_table import commands, markdown_table, number, step_sizes


def test_a_row_has_the_fidelity_of_its_samples_and_their_cost(tmp_path: Path) -> None:
    configuration = Study.read(write_study(tmp_path)).configuration("pool", "MPGD")
    found = fidelities(configuration)
    for index, (reconstruction, _) in enumerate(reconstruct(configuration)):  # batches of one
        truth, sample = quantise(reconstruction.source)[0].numpy(), reconstruction.draws.samples[0, 0].numpy()
        assert found.psnr[index] == pytest.approx(peak_signal_noise_ratio(truth, sample, data_range=255), rel=1e-5)
        blind = quantise(AveragePool(4).pseudo_inverse(reconstruction.measurement))[0].numpy()
        assert found.blind[0][index] == pytest.approx(peak_signal_noise_ratio(truth, blind, data_range=255), rel=1e-5)
    assert psnr(configuration) == pytest.approx(float(found.psnr.mean()))
    assert (found.cost.evaluations, found.cost.gradients, found.diverged) == (2, 0, 0)


def test_a_step_size_with_which_samples_diverge_has_no_score(tmp_path: Path) -> None:
    wild = {"DPS": solver("DPS", ("scale",), scale=3e38)}
    assert math.isnan(psnr(Study.read(write_study(tmp_path, solvers=wild)).configuration("pool", "DPS")))


def test_the_classical_table_is_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_study(tmp_path)
    commands(file, psnr, text, ["table"])
    written = file.with_suffix(".md").read_text()
    found = fidelities(Study.read(file).configuration("pool", "MPGD"))
    assert f"| MPGD | scale 2.0 | 1 | {number(found.psnr)} | {number(found.ssim, 3)} | 2 | 0 |" in written
    assert (
        f"| pseudo-inverse of y | - | - | {number(found.blind[0])} | {number(found.blind[1], 3)} | 0 | 0 | - |"
        in written
    )
    assert "**pool**" in written
    assert "Step sizes are not tuned." in written
    assert "MPGD" in capsys.readouterr().out


def test_tuning_changes_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_study(tmp_path)
    commands(file, lambda configuration: -configuration["model"]["init_args"]["scale"], text, ["tune"])
    assert "pool | MPGD | 0.03125 of" in capsys.readouterr().out
    commands(file, psnr, text, ["table"])
    written = file.with_suffix(".md").read_text()
    assert "| MPGD | scale 0.0625 |" in written
    assert "best of 7 for each solver and problem on 3 other rooms" in written


def test_a_row_is_printed_as_the_command_line_takes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_study(tmp_path)
    commands(file, psnr, text, ["settings", "--problem=pool", "--solver=MPGD"])
    assert yaml.safe_load(capsys.readouterr().out) == Study.read(file).configuration("pool", "MPGD")


@pytest.mark.filterwarnings("ignore:.* images is biased")
def test_every_row_becomes_a_run_and_every_problem_a_page(tmp_path: Path) -> None:
    features = {"class_path": "dis_lightning.rooms.features.RoomsFeatures"}
    metrics = {"pool": [{"class_path": "Distribution", "init_args": {"features": features}}]}
    file = write_study(tmp_path, metrics=metrics)
    commands(file, psnr, text, ["pages", f"--folder={tmp_path / 'out'}"])
    page = (tmp_path / "out" / "pool.html").read_text()
    for name in ("prior", "MPGD"):
        summary = json.loads((tmp_path / "out" / "pool" / name / "metrics.json").read_text())
        found = fidelities(Study.read(file).configuration("pool", name))
        assert summary["metrics"]["psnr"]["mean"] == pytest.approx(float(found.psnr.mean()), rel=1e-6)
        assert summary["set"]["fid_rooms"]["mean"] > 0
        assert f"{summary['metrics']['psnr']['mean']:.2f}" in page


def test_the_semantic_table_has_every_column_and_the_papers_comparisons(tmp_path: Path) -> None:
    one_step = {"class_path": "MultistepLevels", "init_args": {"indices": [0, 39]}}
    prior = {"denoiser": "dis_lightning.rooms.rooms_consistency"}
    solvers = {"CM": prior | {"model": {"class_path": "ConsistencySampling", "init_args": {"levels": one_step}}}}
    solvers["again"] = solvers["CM"]
    file = write_study(
        tmp_path,
        data={"class_path": "RoomsData", "init_args": {"split": "test", "num_images": 96, "batch_size": 48}},
        problems={"layout": {"class_path": "dis_lightning.rooms.operators.RoomsLayout"}},
        solvers=solvers,
        reported={"layout": {"CM": {"noisy": 0.37, "distance": 20.45}, "again": {"noisy": 0.82, "distance": 15.43}}},
        comparisons=[["again", "CM"]],
    )
    lines = rooms_semantic.text(Study.read(file), file, num_reference=200).splitlines()
    rows = {
        cells[1].strip(): [cell.strip() for cell in cells[2:-1]]
        for cells in (line.split("|") for line in lines)
        if len(cells) == 8
    }
    truth, samples = rows["the rooms themselves"], rows["CM"]
    assert truth[:2] == ["-", "1.00 ± 0.00"]
    assert all(float(samples[k].split()[0]) < float(truth[k].split()[0]) for k in (1, 2, 3))
    assert float(samples[4]) > float(truth[4])
    assert rows["again"] == samples
    assert "Of 2 comparisons, agrees: 0. differs: 0. open: 2." in "\n".join(lines)


def test_the_guide_is_asked_about_noise_that_it_can_still_read_through(tmp_path: Path) -> None:
    """Otherwise the column of noisy samples says nothing."""
    study = Study.read(rooms_semantic.STUDY)
    few = study._replace(data={"class_path": "RoomsData", "init_args": {"num_images": 4, "batch_size": 4}})
    blind = {"CM": study.solvers["CM"]}
    for problem in ("segmentation", "layout"):
        found = rooms_semantic.rows(few._replace(solvers=blind), problem)
        truth = found[rooms_semantic.TRUTH]
        assert found["CM"].noisy.mean() + 0.1 < truth.noisy.mean() < truth.guide.mean()


def test_means_come_with_their_standard_error() -> None:
    assert number(torch.tensor([1.0, 3.0, float("nan")])) == "2.00 ± 1.00"
    assert number(torch.tensor([2.5]), 1) == "2.5"
    assert number(torch.tensor([float("nan")])) == "-"


def test_numbers_stand_to_the_right_of_names() -> None:
    assert markdown_table(("a", "b"), [("x", "1")]) == "| a | b |\n| --- | ---: |\n| x | 1 |\n"


def test_a_step_size_is_named_by_its_argument(tmp_path: Path) -> None:
    kernel = {"class_path": "MALA", "init_args": {"step_size": 0.3}}
    chain = solver("NoiseSpaceLangevin", ("kernel.init_args.step_size",), kernel=kernel)
    study = Study.read(
        write_study(tmp_path, solvers={"chain": chain, "prior": solver("Unguided")}, problems={"p": POOL})
    )
    assert step_sizes(study, "p", "chain") == "step_size 0.3"
    assert step_sizes(study, "p", "prior") == "-"
