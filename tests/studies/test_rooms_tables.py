"""The tables on rooms: their numbers are those of their rows."""

from pathlib import Path

import pytest
import torch
import yaml
from rooms_study import GAUSSIAN, solver, write_study
from torchmetrics.functional.image import peak_signal_noise_ratio

from studies import rooms_classical, rooms_semantic
from studies.rooms_rows import Study, found
from studies.rooms_table import commands, markdown_table, number, rows, step_sizes


def test_the_classical_table_is_printed_and_written_and_has_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_study(tmp_path)
    commands(file, rooms_classical.text, ["table", f"--folder={tmp_path / 'out'}"])
    written = file.with_suffix(".md").read_text()
    run = Study.read(file).run(tmp_path / "out" / "pool" / "MPGD", "pool", "MPGD")
    whole = run.folder.reconstruction([0, 1])
    values = [
        peak_signal_noise_ratio(sample / 255, truth / 255, data_range=1.0)
        for sample, truth in zip(whole.draws.samples[:, 0], whole.truth, strict=True)
    ]
    error = torch.stack(values).std() / 2**0.5
    # Of one sample there is no spread, and so nothing that scores it.
    fidelity = f"- | {torch.stack(values).mean():.2f} ± {error:.2f} | - | - | {number(found(run, 'ssim'), '.3f')}"
    assert f"| MPGD | scale 2.0 | {fidelity} | 2 | 0 | {number(found(run, 'seconds'), error=False)} |" in written
    assert "**pool**" in written
    assert "Step sizes are not tuned." in written
    assert "MPGD" in capsys.readouterr().out
    assert f"{found(run, 'psnr')['mean']:.3g}" in (tmp_path / "out" / "pool.html").read_text()


def test_a_table_counts_the_samples_that_diverged(tmp_path: Path) -> None:
    study = Study.read(write_study(tmp_path, solvers={"DPS": solver("DPS", scale=3e38)}))
    assert "| DPS (2 diverged) | - | - |" in rooms_classical.text(study, rows(study, tmp_path))


def test_tuning_changes_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_study(tmp_path)
    commands(file, rooms_classical.text, ["tune", f"--folder={tmp_path / 'tuning'}"])
    factor = Study.read(file).choices["pool"]["MPGD"].factor
    assert f"pool | MPGD | {factor:g} of" in capsys.readouterr().out
    commands(file, rooms_classical.text, ["table", f"--folder={tmp_path / 'out'}"])
    written = file.with_suffix(".md").read_text()
    assert f"| MPGD | scale {2 * factor:.3g}" in written
    assert "best of 7 for each solver and problem on 3 other rooms" in written


def test_a_row_is_printed_as_the_command_line_takes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_study(tmp_path)
    commands(file, rooms_classical.text, ["settings", "--problem=pool", "--solver=MPGD"])
    assert yaml.safe_load(capsys.readouterr().out) == Study.read(file).configuration("pool", "MPGD")
    with pytest.raises(SystemExit, match="but got 'pool' and 'MPDG'"):
        commands(file, rooms_classical.text, ["settings", "--problem=pool", "--solver=MPDG"])


@pytest.mark.filterwarnings("ignore:.* images is biased")
def test_the_semantic_table_has_every_column_and_the_papers_comparisons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On all problems of the study, with all its metrics; the guide can read through the noise it is asked about."""
    monkeypatch.chdir(tmp_path)
    shipped = yaml.safe_load(rooms_semantic.STUDY.read_text())
    solvers = {name: shipped["solvers"][name] for name in ("the rooms themselves", "CM")}
    file = write_study(
        tmp_path,
        data={"class_path": "RoomsData", "init_args": {"split": "test", "num_images": 6, "batch_size": 6}},
        reference={**shipped["reference"], "num_images": 60},
        solvers=solvers | {"again": solvers["CM"]},
        reported={name: {"CM": {"noisy": 0.4}, "again": {"noisy": 0.8}} for name in shipped["problems"]},
        comparisons=[["again", "CM"]],
        **{name: shipped[name] for name in ("problems", "metrics", "agreement")},
    )
    study = Study.read(file)
    runs = rows(study, tmp_path / "out")
    lines = rooms_semantic.text(study, runs, file).splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
    table = [row for row in cells if len(row) == 6]
    for problem, stem in shipped["agreement"].items():
        heads, _, truth, samples, again = table[:5]
        del table[:5]
        assert heads == ["solver", "step size", "A", "A, noise", "B", "Fréchet distance"]
        assert truth[1:3] == ["-", "1.00 ± 0.00"]
        assert all(float(samples[k].split()[0]) < float(truth[k].split()[0]) for k in (2, 3, 4)), problem
        assert float(samples[3].split()[0]) + 0.1 < float(truth[3].split()[0]), "noise that hides everything"
        assert again[1:] == samples[1:]
        assert samples[3] == number(found(runs[problem]["CM"], f"{stem}_noisy"))
        assert f"{found(runs[problem]['CM'], 'fid_rooms')['mean']:.2f}" == samples[5]
    assert "Of 4 comparisons, agrees: 0. differs: 0. open: 4." in "\n".join(lines)


def test_means_come_with_their_standard_error() -> None:
    assert number({"mean": 2.0, "standard_error": 1.0}) == "2.00 ± 1.00"
    assert number({"mean": 2.5, "standard_error": None}, ".1f") == "2.5"
    assert number({"mean": 20.0, "standard_error": 0.5}, "g", error=False) == "20"
    assert number({"mean": None, "standard_error": None}) == "-"


def test_numbers_stand_to_the_right_of_names() -> None:
    assert markdown_table(("a", "b"), [("x", "1")]) == "| a | b |\n| --- | ---: |\n| x | 1 |\n"


def test_a_step_size_is_named_by_its_argument(tmp_path: Path) -> None:
    kernel = {"class_path": "MALA", "init_args": {"step_size": 0.3}}
    tuned = ("kernel.init_args.step_size",)
    chain = solver("NoiseSpaceLangevin", tuned, kernel=kernel, warm_start=1, burn_in=1)
    chain["denoiser"] = GAUSSIAN | {"class_path": "dis_lightning.rooms.rooms_gaussian_consistency"}
    run = Study.read(write_study(tmp_path, solvers={"chain": chain})).run(tmp_path / "run", "pool", "chain")
    assert step_sizes(run, tuned) == "step_size 0.3"
    assert step_sizes(run, ()) == "-"
