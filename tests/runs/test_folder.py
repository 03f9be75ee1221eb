"""What a run folder withstands: two commands at once, crashes, damage, other configurations, places that refuse."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from small_run import SMALL

from dis_lightning.errors import InvalidValueError, UnusablePathError
from dis_lightning.files import write_atomically
from dis_lightning.main import main
from dis_lightning.runs import RunFolder
from dis_lightning.runs.configuration import as_written, check_configuration, fingerprint
from dis_lightning.runs.ledger import sealed
from dis_lightning.runs.lock import FolderLock, held

pytestmark = pytest.mark.usefixtures("in_project")

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "run"
    main(["predict", *absolute(SMALL), f"--writer.folder={folder}"])
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def absolute(arguments: list[str]) -> list[str]:
    root = Path(__file__).parents[2]
    return [str(root / argument) if argument.startswith("configs/") else argument for argument in arguments]


def predict(run: Path, *more: str) -> None:
    main(["predict", *SMALL, f"--writer.folder={run}", *more])


def refused(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main([*args])
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message
    return message


def files(run: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(run)): file.read_bytes() for file in sorted(run.glob("*/*.*")) if file.suffix != ".json"
    }


OWNER = """
import sys, time
from pathlib import Path
from dis_lightning.runs.lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))  # which is given back with its last name
lock.acquire()
print("held", flush=True)
time.sleep(600)
"""


def own(folder: Path) -> subprocess.Popen[str]:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "held\n"
    return owner


def test_a_second_command_is_refused_by_name_of_the_first_and_a_crash_does_not_block(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    owner = own(tmp_path / "run")
    try:
        message = refused(capsys, "predict", *SMALL, f"--writer.folder={tmp_path / 'run'}")
        assert f"process {owner.pid} on {socket.gethostname()} since 20" in message
        assert "choose another folder" in message
        assert not (tmp_path / "run" / "config.yaml").exists()
    finally:
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        owner.stdout.close()
    assert (tmp_path / "run" / ".lock").exists()
    predict(tmp_path / "run")
    assert (tmp_path / "run" / "metrics.json").exists()
    assert not (tmp_path / "run" / ".lock").exists()


def test_what_waits_gets_its_turn_when_the_owner_is_gone(tmp_path: Path) -> None:
    first = FolderLock(tmp_path)
    first.acquire()
    waiting = "from pathlib import Path\nfrom dis_lightning.runs.lock import held\n"
    waiting += f"with held(Path({str(tmp_path)!r})):\n    print('mine')"
    other = subprocess.Popen([sys.executable, "-c", waiting], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert other.stderr is not None
    assert f"waiting for process {os.getpid()}" in other.stderr.readline()
    first.release()
    assert other.communicate(timeout=60)[0] == "mine\n"


def test_two_runs_of_one_folder_leave_the_samples_of_the_one_that_the_configuration_names(
    start: Start, tmp_path: Path
) -> None:
    scales = ("40", "3")
    both = [start(tmp_path / "race", f"--model.scale={scale}", "--model.levels.steps=40") for scale in scales]
    told = [process.communicate(timeout=300)[0] for process in both]
    assert sorted(process.returncode for process in both) == [0, 2]
    won = scales[[process.returncode for process in both].index(0)]
    lost = told[1 - scales.index(won)]
    assert "is at work in" in lost or "holds a run with another configuration" in lost
    kept = yaml.safe_load((tmp_path / "race" / "config.yaml").read_text())
    assert kept["model"]["init_args"]["scale"] == float(won)
    predict(tmp_path / "alone", f"--model.scale={won}", "--model.levels.steps=40")
    assert files(tmp_path / "race") == files(tmp_path / "alone")


def test_a_configuration_counts_before_the_first_image(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    first, second = ({"model": {"init_args": {"scale": scale}}} for scale in (1.0, 2.0))
    check_configuration(folder, first, write=True)
    with pytest.raises(InvalidValueError, match=r"model.init_args.scale: 1.0 there, 2.0 now"):
        check_configuration(folder, second, write=True)
    assert yaml.safe_load(folder.configuration.read_text()) == first


def test_a_lost_configuration_is_written_anew_only_by_the_one_that_made_the_images(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").unlink()
    message = refused(
        capsys, "predict", *SMALL, f"--writer.folder={run}", "--model.scale=3", "--operator.noise_std=0.5"
    )
    assert "has lost its config.yaml: image 0 in it was not made by this configuration" in message
    predict(run)
    assert "Reused: 5 of 5" in capsys.readouterr().out
    written = yaml.safe_load((run / "config.yaml").read_text())
    assert {**written, "writer": None} == {**kept, "writer": None}


def test_images_that_were_copied_from_another_run_are_not_taken_for_its_own(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict(tmp_path / "other", "--model.scale=3")
    for part in ("samples/00002_00.png", "samples/00002_01.png", "records/00002.json"):
        shutil.copy(tmp_path / "other" / part, run / part)
    message = refused(capsys, "predict", *SMALL, f"--writer.folder={run}")
    assert "holds images of another run: image 2 in it was not made by this configuration" in message
    assert f"remove the records in {run / 'records'} that are of another run" in " ".join(message.split())
    (run / "records" / "00002.json").unlink()
    predict(run)
    assert "Reused: 3 of 5" in capsys.readouterr().out


def test_images_are_those_of_a_configuration_that_was_moved_together_with_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = {"data": {"init_args": {"root": "./pictures"}}}
    (tmp_path / "here" / "pictures").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    record = {"index": 0, "made_by": fingerprint(configuration), "written_as": as_written(configuration)}
    write_atomically(tmp_path / "here" / "run" / "records" / "00000.json", sealed(record))
    shutil.move(tmp_path / "here", tmp_path / "there")
    monkeypatch.chdir(tmp_path / "there")
    folder = RunFolder(tmp_path / "there" / "run")
    check_configuration(folder, configuration, write=False)
    with pytest.raises(InvalidValueError, match="image 0 in it was not made by this configuration"):
        check_configuration(folder, {"data": {"init_args": {"root": "./others"}}}, write=False)


def test_a_run_grows_and_goes_on_with_other_batches_and_threads_but_does_not_shrink(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(run)
    predict(run, "--data.num_images=6", "--data.batch_size=1", "--threads=2")
    assert "Reused: 5 of 6" in capsys.readouterr().out
    after = files(run)
    assert {name: after[name] for name in before} == before
    assert json.loads((run / "metrics.json").read_text())["images"] == 6
    assert "data.init_args.num_images: 6 there, 3 now" in refused(
        capsys, "predict", *SMALL, f"--writer.folder={run}", "--data.num_images=3"
    )


def test_one_place_by_two_names_is_one_configuration(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    direct, linked, other = (
        {"data": {"init_args": {"root": str(tmp_path / name)}}} for name in ("data", "link", "nowhere")
    )
    assert fingerprint(direct) == fingerprint(linked) != fingerprint(other)
    folder = RunFolder(tmp_path / "run")
    check_configuration(folder, direct, write=True)
    check_configuration(folder, linked, write=True)
    with pytest.raises(InvalidValueError, match="root"):
        check_configuration(folder, other, write=True)


@pytest.mark.parametrize("name", ["metrics.json", "results.csv"])
@pytest.mark.parametrize("damage", [lambda content: content[: len(content) // 2], lambda content: b"\xff" + content])
def test_summaries_are_made_anew_from_what_is_there(
    name: str, damage: Callable[[bytes], bytes], run: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / name).write_bytes(damage((run / name).read_bytes()))
    assert "metrics.json or results.csv is not there, or damaged" in refused(capsys, "report", str(run))
    predict(run)
    varying = ("cost", "results_sha256", "digest")
    whole, mended = (json.loads((folder / "metrics.json").read_text()) for folder in (finished, run))
    assert {**whole, **dict.fromkeys(varying)} == {**mended, **dict.fromkeys(varying)}
    assert len((run / "results.csv").read_text().splitlines()) == 6
    (run / name).write_bytes(damage((run / name).read_bytes()))
    main(["evaluate", str(run), "--device=cpu"])
    assert json.loads((run / "metrics.json").read_text())["images"] == 5


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.replace(b'"evaluations": 1', b'"evaluations": 7'),
        lambda record: record[:40],
        lambda record: b"\xff" + record,
    ],
)
def test_a_record_that_was_changed_is_no_record(
    change: Callable[[bytes], bytes], run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, before = run / "records" / "00002.json", files(run)
    assert change(file.read_bytes()) != file.read_bytes()
    file.write_bytes(change(file.read_bytes()))
    for command in ("report", "evaluate"):
        assert "00002.json is gone or damaged; give the command that made" in refused(capsys, command, str(run))
    predict(run)
    assert files(run) == before
    main(["report", str(run)])


def test_a_flipped_bit_of_a_picture_is_named_by_the_report(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = run / "samples" / "00001_00.png"
    content = bytearray(file.read_bytes())
    content[-20] ^= 1
    file.write_bytes(content)
    assert "00001_00.png is gone or damaged" in refused(capsys, "report", str(run))


def test_a_damaged_configuration_is_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for content in (b"\xff\xfe", b"model: [", b"5"):
        (run / "config.yaml").write_bytes(content)
        for command in ("report", "evaluate"):
            assert "config.yaml is damaged" in refused(capsys, command, str(run))
        assert "config.yaml is damaged" in refused(capsys, "predict", *SMALL, f"--writer.folder={run}")


CHANGES: dict[str, tuple[str, str]] = {
    "  init_args:\n    split: test": ("  init_args: 3\n  old:\n    split: test", "data.init_args has no keys"),
    "num_images: 5\n": ("num_images: banana\n", "data.num_images is 'banana'"),
    "  reported: null": ("  reported: 5", "writer.reported has no keys"),
    "threads: 1": ("threads: -1", "threads is -1"),
}


@pytest.mark.parametrize("before", CHANGES)
def test_a_configuration_that_no_run_writes_is_named(
    before: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    after, fault = CHANGES[before]
    file = run / "config.yaml"
    assert file.read_text().count(before) == 1
    file.write_text(file.read_text().replace(before, after))
    for command in ("report", "evaluate"):
        assert f"config.yaml is damaged ({fault})" in refused(capsys, command, str(run))


def test_a_solver_that_is_not_the_runs_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = run / "config.yaml"
    whole = file.read_text()
    file.write_text(whole.replace("num_samples: 2", "num_samples: 3"))
    assert "has 2 samples of each image, but its solver here has num_samples=3" in refused(capsys, "evaluate", str(run))
    file.write_text(re.sub(r" scale: .*", " scale: banana", whole))
    assert "model.scale needs a number, but got 'banana'" in refused(capsys, "evaluate", str(run))


def test_nothing_is_lost_when_two_evaluations_meet(run: Path) -> None:
    """The second reads what the first has written, for it waits for it."""
    command = [sys.executable, "-m", "dis_lightning", "evaluate", str(run), "--device=cpu"]
    names = ("y_mse", "fid_rooms")
    both = [
        subprocess.Popen([*command, f"--config=configs/callbacks/{name}.yaml"], stdout=subprocess.PIPE, text=True)
        for name in names
    ]
    for process in both:
        process.communicate(timeout=300)
        assert process.returncode == 0
    summary = json.loads((run / "metrics.json").read_text())
    assert "y_mse" in summary["consistency"]
    assert "fid_rooms" in summary["set"]
    assert "psnr" in summary["metrics"]


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_place_that_cannot_be_a_folder_is_named(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    message = refused(capsys, "predict", *SMALL, f"--writer.folder={tmp_path / place}")
    assert f"{tmp_path / place} cannot be used: a file stands where a folder is needed" in message
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(("number", "said"), [(28, "the disk is full"), (30, "it is read-only"), (13, "no right")])
def test_a_disk_that_refuses_is_named_and_leaves_what_was_there(
    number: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.json"
    write_atomically(file, b"old")

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(UnusablePathError, match=rf"a.json cannot be used: .*{said}.* the same command goes on"):
        write_atomically(file, b"new")
    assert [kept.name for kept in tmp_path.iterdir()] == ["a.json"]
    assert file.read_bytes() == b"old"


def test_the_home_folder_is_meant_by_its_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "writer.yaml").write_text("writer: {folder: ~/runs/a}\n")
    main(["predict", *SMALL, "--config", str(tmp_path / "writer.yaml")])
    assert (tmp_path / "runs" / "a" / "metrics.json").exists()
    for _ in range(2):
        main(["report", "~/runs/a", "--output=~/page.html"])
    assert (tmp_path / "page.html").exists()
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(SystemExit, match="2"):
        main(["report", "~/runs/a", "--output=~/README.html"])
    assert (tmp_path / "README.md").read_text() == "mine"
    main(["evaluate", "~/runs/a", "--device=cpu"])
    assert not Path("~").exists()


def test_samples_that_guidance_threw_far_out_are_spoken_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predict(tmp_path / "run", "--model.scale=1e6")
    summary = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert summary["clamped"]["mean"] > 0.5
    assert f"Clamped: {summary['clamped']['mean']:.0%} of the values" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:.* images is ")
def test_a_metric_that_cannot_be_computed_is_a_missing_value_and_takes_no_other_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = [f"--trainer.logger.save_dir={tmp_path}", "--config=configs/loggers/csv.yaml"][::-1]
    run = tmp_path / "run"
    predict(run, "--model.scale=1e38", "--config=configs/callbacks/fid_rooms.yaml", *logger)
    shown = capsys.readouterr().out
    summary = json.loads((run / "metrics.json").read_text())
    assert summary["diverged"]["count"] == 10
    for name in ("fid_rooms", "kid_rooms"):
        assert summary["set"][name]["mean"] is None
        assert "only 0 of 10 samples did not diverge" in summary["set"][name]["missing"]
        assert f"No {name}: only 0 of 10 samples did not diverge." in shown
    assert summary["metrics"]["psnr_pseudo_inverse"]["images"] == 5
    assert summary["cost"]["evaluations"]["mean"] > 0
    assert "Samples:" not in shown  # there are none
    logged = next(tmp_path.rglob("metrics.csv")).read_text()
    assert "cost/evaluations" in logged
    assert "fid_rooms" not in logged


def test_a_fault_of_a_metric_is_raised_after_all_others_are_written(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a fault of the program")

    monkeypatch.setattr("dis_lightning.metrics.calibration.Calibration.reduce", broken)
    (run / "metrics.json").unlink()
    with pytest.raises(RuntimeError, match="a fault of the program"):
        main(["evaluate", str(run), "--device=cpu"])
    assert "psnr" in json.loads((run / "metrics.json").read_text())["metrics"]


def test_a_lock_from_an_unknown_host_is_waited_for_and_then_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A host that shows no sign of life for the time of a lease counts as gone."""
    monkeypatch.setattr("dis_lightning.runs.lock.LEASE", 1.0)
    dead = FolderLock(tmp_path)
    dead.acquire()
    marker = (tmp_path / ".lock").read_text().replace(f"host={socket.gethostname()}", "host=elsewhere")
    dead.release()
    (tmp_path / ".lock").write_text(marker)
    (tmp_path / ".owner").write_text("process 7 on elsewhere since yesterday")
    begun = time.monotonic()
    with held(tmp_path):
        assert time.monotonic() - begun >= 1.0
    assert "waiting for process 7 on elsewhere since yesterday" in capsys.readouterr().err


def test_a_lock_that_names_nobody_is_taken_unless_it_is_new(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    lock = FolderLock(tmp_path)
    lock._clear()
    assert (tmp_path / ".lock").exists()  # whose owner may be about to write its name there
    os.utime(tmp_path / ".lock", (1e9, 1e9))
    (tmp_path / ".owner").write_bytes(b"\xff")
    lock.acquire()
    assert lock.mine
    lock.release()
