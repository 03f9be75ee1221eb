"""Every YAML that the project ships is run, at a small size."""

from pathlib import Path

import pytest
from small_run import ROOT

from dis_lightning.main import main
from dis_lightning.rooms import write_folder, write_lmdb

SIZE = 16  # the least at which a room is large enough for the blur's radius
QUICK = ["--trainer.accelerator=cpu", "--data.num_images=2", "--data.batch_size=1", "--data.num_workers=0"]
ROOMS = ["--config=configs/data/rooms.yaml", f"--data.size={SIZE}"]
PRIOR = ["--config=configs/priors/rooms_gaussian.yaml", f"--denoiser.size={SIZE}", "--denoiser.num_images=20"]
FITTED = ["--denoiser=dis_lightning.rooms.rooms_gaussian", *PRIOR[1:]]
OPERATOR = ["--config=configs/operators/average_pool_x4.yaml"]
SOLVER = ["--config=configs/solvers/dps.yaml", "--model.levels.steps=3"]


def files(folder: str) -> list[str]:
    return sorted(file.relative_to(ROOT).as_posix() for file in (ROOT / "configs" / folder).glob("*.yaml"))


@pytest.fixture(autouse=True)
def in_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def runs(folder: Path, *args: str) -> None:
    main(["predict", *args, *QUICK, f"--writer.folder={folder}"])
    assert len(list(folder.glob("records/*.json"))) == 2
    assert (folder / "grid.png").exists()


@pytest.mark.parametrize("file", files("operators"))
def test_every_operator_file_runs(file: str, tmp_path: Path) -> None:
    runs(tmp_path, *ROOMS, *PRIOR, f"--config={file}", *SOLVER)


@pytest.mark.parametrize("file", files("solvers"))
def test_every_solver_file_runs(file: str, tmp_path: Path) -> None:
    quick = {
        "consistency_dps": ["--model.levels.steps=3", *(arg.replace("denoiser", "consistency") for arg in FITTED)],
        "consistency_inversion": ["--model.steps=[2,2]"],
        "consistency_sampling": [],
        "langevin": ["--model.warm_start=2", "--model.num_samples=2"],
    }
    runs(
        tmp_path, *ROOMS, *PRIOR, *OPERATOR, f"--config={file}", *quick.get(Path(file).stem, ["--model.levels.steps=3"])
    )


@pytest.mark.parametrize("file", files("data"))
def test_every_data_file_runs(file: str, tmp_path: Path) -> None:
    write_folder(tmp_path / "tree", 2, size=40)
    write_lmdb(tmp_path / "lmdb", 2, size=40)
    where = {
        "rooms": [f"--data.size={SIZE}"],
        "folder": [f"--data.root={tmp_path / 'tree' / 'images'}", f"--data.transform.size={SIZE}"],
        "imagenet64": [f"--data.root={tmp_path / 'classes'}", f"--data.transform.size={SIZE}"],
        "lsun_bedroom": [f"--data.root={tmp_path / 'lmdb'}", f"--data.transform.size={SIZE}"],
    }
    (tmp_path / "classes").mkdir()
    (tmp_path / "classes" / "n01440764").symlink_to(tmp_path / "tree" / "images")
    runs(tmp_path / "run", f"--config={file}", *where[Path(file).stem], *PRIOR, *OPERATOR, *SOLVER)


@pytest.mark.parametrize("file", files("priors"))
def test_every_prior_file_runs(file: str, tmp_path: Path) -> None:
    small = PRIOR[1:] if "gaussian" in file else []
    size = SIZE if "gaussian" in file else 32
    data = ["--config=configs/data/rooms.yaml", f"--data.size={size}"]
    runs(tmp_path, *data, f"--config={file}", *small, *OPERATOR, *SOLVER)


@pytest.mark.parametrize("file", files("trainer"))
def test_every_trainer_file_is_understood(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    # The processes themselves run in test_runs.py; here they would start pytest again.
    with pytest.raises(SystemExit):
        main(["predict", *ROOMS, *PRIOR, *OPERATOR, *SOLVER, f"--config={file}", "--print_config"])
    assert "strategy: ddp" in capsys.readouterr().out


def test_the_quickstart_runs(tmp_path: Path) -> None:
    runs(tmp_path, "--config=configs/quickstart.yaml", f"--data.size={SIZE}", *PRIOR[1:], "--model.levels.steps=3")
