"""Every mistake of the user is one message: what came, what was needed, what to do."""

import errno
import sys
from pathlib import Path

import pytest
import torch
import yaml
from small_run import SMALL

from dis_lightning.arguments.messages import explain, fewer_rows, sufficient_memory, translate
from dis_lightning.errors import InvalidValueError, UserError
from dis_lightning.main import main


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])  # the current folder is put there
    return tmp_path


def message(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(["predict", *SMALL, *args])
    assert stopped.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("dis-lightning: ")
    assert "Traceback" not in told
    assert len(told.splitlines()) == 1
    return told


MISTAKES = [
    # keys
    ("--model.sclae=3", "model.sclae: DPS has no argument `sclae`. Did you mean `scale`? It takes levels, scale, "),
    ("--model.levels.step=3", "KarrasLevels has no argument `step`. Did you mean `steps`?"),
    ("--modl.scale=3", "There is no `modl.scale`. Did you mean `model.scale`?"),
    ("--trainer.acelerator=cpu", "There is no `trainer.acelerator`. Did you mean `trainer.accelerator`?"),
    ("--writer.foldr=x", "There is no `writer.foldr`. Did you mean `writer.folder`?"),
    ("--thread=2", "Did you mean `threads`?"),
    ("stray", "`stray` is not understood"),
    ("--model.scale", "has no value"),
    ("--config", "--config needs the name of a file"),
    # classes
    (
        "--operator=AveragePol",
        "there is no Operator 'AveragePol'. Did you mean `AveragePool`? --operator.help lists all",
    ),
    ("--model=dps", "Did you mean `DPS`?"),
    ("--model.levels=KarasLevels", "there is no Levels 'KarasLevels'. Did you mean `KarrasLevels`"),
    ("--model.transition=Renois", "Did you mean `Renoise` or `PartialRenoise`? --model.transition.help lists all"),
    ("--trainer.callbacks=MeanIoUs", "Did you mean `MeanIoU` or `SetMeanIoU`?"),
    ("--trainer.logger=CSVLoger", "Did you mean `CSVLogger`"),
    ("--denoiser=dis_lightning.rooms.rooms_edn", "dis_lightning.rooms has no `rooms_edn`. Did you mean `rooms_edm`"),
    ("--model=RoomsData", "there is no Solver 'RoomsData'"),
    ("--model=dis_lightning.data.FolderData", "model needs a Solver, and dis_lightning.data.FolderData is none"),
    ("--model=AnnealedSolver", "model needs the name of a class that can be built, but got AnnealedSolver"),
    (
        "--model=dis_lightning.solvers.Solver",
        "model: dis_lightning.solvers.Solver cannot be built, for it lacks `iterate`",
    ),
    ("--model=own.Solver", "there is no module 'own'. Your own files are found in the current folder"),
    # values
    ("--model.seed=a", "model.seed needs a whole number, but got 'a'"),
    ("--model.seed=1.5", "model.seed needs a whole number, but got '1.5'"),
    ("--model.scale=[1]", "model.scale needs a number, but got '[1]'"),
    ("--trainer.detect_anomaly=perhaps", "trainer.detect_anomaly needs true or false, but got 'perhaps'"),
    ("--writer.folder=${UNSET_FOLDER}/run", "The folder ${UNSET_FOLDER}/run (--writer.folder) names a home or"),
    ("--writer.folder=~nobody_of_that_name/run", "The folder ~nobody_of_that_name/run (--writer.folder) names a home"),
    ("--threads=0", "threads needs a whole number above 0, but got '0'"),
    ("--threads=two", "threads needs a whole number above 0, but got 'two'"),
    ("--threads=100000000", "A run needs threads <= 1024, but got threads=100000000"),
    ("--data.num_workers=100000", "RoomsData needs num_workers <= 1024"),
    ("--data.num_images=1000000000000", "RoomsData needs num_images <= 10000000"),
    ("--model.levels.steps=1000000000", "KarrasLevels needs steps <= 1000000"),
    ("--model.levels.rho=1e-30", "the roots of the levels are no numbers at rho=1e-30"),
    ("--model.seed=10000000000000000000000", "DPS needs seed <= 9223372036854775807"),
    ("--operator.noise_std=1e39", "AveragePool needs noise_std between ±3.4e+38, but got noise_std=1e+39"),
    ("--model.scale=1e60", "DPS needs scale between ±3.4e+38"),
    ("--writer.reported=3", "writer.reported needs keys and values, but got '3'"),
    ("--trainer.accelerator=gpuu", "gpuu"),
    ("--trainer.accelerator=tpu", "trainer: Requirement 'torch_xla"),
    ("--trainer.devices=x", "trainer: `devices`"),
    ("--trainer.strategy=none", "strategy='none'"),
    # null
    ("--model.seed=null", "model.seed needs a whole number, but got null"),
    ("--operator.noise_std=null", "operator.noise_std needs a number, but got null"),
    ("--data.size=null", "data.size needs a whole number, but got null"),
    ("--data.batch_size=null", "data.batch_size needs a whole number, but got null"),
    ("--model.levels.rho=null", "model.levels.rho needs a number, but got null"),
    ("--model.levels.steps=null", "model.levels.steps needs a whole number, but got null"),
    ("--writer.grid_images=null", "writer.grid_images needs a whole number, but got null"),
    ("--threads=null", "threads needs a whole number above 0, but got null"),
    ("--model.scale=null", "DPS needs a value for model.scale"),
    ("--model.levels=null", "DPS needs a value for model.levels"),
    ("--operator=null", "Give `operator` by --config configs/operators/NAME.yaml, NAME one of average_pool_x4"),
    ("--operator=box_inpainting", "A file of that name is given by --config operators/box_inpainting."),
    ("--denoiser=tests/conformance/mask.png", "--denoiser EDM --denoiser.network FILE"),
    ("--data=../elsewhere", "data needs the name of a class, but got something else (Unexpected import path format"),
    # what has no effect here
    ("--seed_everything=3", "seed_everything is not taken: noise is keyed by the solver's own seed (--model.seed)"),
    ("--trainer.max_epochs=3", "trainer.max_epochs is not taken: nothing is trained here"),
    ("--trainer.limit_predict_batches=1", "(--data.num_images)"),
    ("--trainer.fast_dev_run=true", "(--data.num_images)"),
    ("--trainer.inference_mode=true", "guidance takes gradients"),
    (
        "--trainer.strategy=ddp_spawn",
        "trainer.strategy ddp_spawn starts processes that cannot share a run folder; take",
    ),
]


@pytest.mark.parametrize(("argument", "expected"), MISTAKES)
def test_a_mistake_on_the_command_line(argument: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert expected in message(capsys, argument)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"model": {"init_args": {"sclae": 3}}}, "model.sclae: DPS has no argument `sclae`. Did you mean `scale`?"),
        ({"modl": {"init_args": {"scale": 3}}}, "There is no `modl.scale`. Did you mean `model.scale`?"),
        ({"trainer": {"acelerator": "cpu"}}, "There is no `trainer.acelerator`. Did you mean `trainer.accelerator`?"),
        ({"model": {"init_args": {"levels": {"init_args": {"step": 3}}}}}, "model.levels.step: KarrasLevels has no"),
        ({"data": {"class_path": "RoomsData", "size": 8}}, "the arguments of RoomsData stand below `init_args`"),
        ({"data": {"class_path": "RoomsData", "int_args": {"size": 8}}}, "Did you mean `init_args`?"),
        (
            {"data": {"clas_path": "X", "init_args": {"a": {"class_path": "Y"}}}},
            "`clas_path`. Did you mean `class_path`?",
        ),
        ({"data": [1]}, "data needs the name of a class that can be built, but got [1]"),
        ({"model": 3}, "model needs the name of a class that can be built, but got 3"),
        ({"model": {"init_args": {"seed": None}}}, "model.seed needs a whole number, but got null"),
        ({"writer": {"grid_images": None}}, "writer.grid_images needs a whole number, but got null"),
        ({"threads": None, "writer": {"grid_samples": 2}}, "threads needs a whole number above 0, but got null"),
        ({"seed_everything": 3}, "(--model.seed)"),
        ({"trainer": {"max_epochs": 3}}, "nothing is trained here"),
        ({"trainer": None, "threads": 1}, "trainer needs keys, but got none"),
        ({"writer": {"reported": {"source": "A", "psnr": "25 dB"}}}, "needs a number as `psnr`, but got '25 dB'"),
    ],
)
def test_a_mistake_in_a_file(
    content: object, expected: str, capsys: pytest.CaptureFixture[str], elsewhere: Path
) -> None:
    (elsewhere / "own.yaml").write_text(yaml.safe_dump(content))
    assert expected in message(capsys, "--config=own.yaml")


@pytest.mark.parametrize(
    ("callback", "expected"),
    [
        ({"class_path": "MeanIoU", "init_args": {"noise": 3}}, "callbacks.noise: MeanIoU has no argument `noise`"),
        ({"class_path": "MeanIoU", "init_args": {"noise_std": None}}, "noise_std needs a number, but got null"),
        ({"class_path": "MeanIoU", "init_args": {"noise_std": "x"}}, "noise_std needs a number, but got 'x'"),
        ({"class_path": "MeanIuO"}, "Did you mean `MeanIoU`"),
        (
            {"class_path": "MeanIoU", "init_args": {"judge": {"class_path": "RoomLayout", "init_args": {"net": 1}}}},
            "callbacks.judge.net: RoomLayout has no argument `net`",
        ),
    ],
)
def test_a_mistake_in_a_callback(
    callback: object, expected: str, capsys: pytest.CaptureFixture[str], elsewhere: Path
) -> None:
    (elsewhere / "own.yaml").write_text(yaml.safe_dump({"trainer": {"callbacks+": [callback]}}))
    assert expected in message(capsys, "--config=own.yaml")


def test_at_most_five_classes_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    told = message(capsys, "--operator=RoomsLabels")
    assert 1 <= told.count("`") / 2 <= 5


@pytest.mark.parametrize("name", ["float16", "torch.float16"])
def test_a_precision_is_taken_with_and_without_torch_before_it(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    prior = ["--denoiser=dis_lightning.rooms.rooms_edm", f"--denoiser.dtype={name}"]
    with pytest.raises(SystemExit) as stopped:
        main(["predict", *SMALL, *prior, "--print_config"])
    assert stopped.value.code == 0
    assert yaml.safe_load(capsys.readouterr().out)["denoiser"]["init_args"]["dtype"] == "torch.float16"


def test_a_precision_that_is_none_is_told_the_usual_ones(capsys: pytest.CaptureFixture[str]) -> None:
    told = message(capsys, "--denoiser=dis_lightning.rooms.rooms_edm", "--denoiser.dtype=flot16")
    assert "A dtype is one of float32, bfloat16, float16, float64, but got 'flot16'" in told


def test_nothing_at_all_is_told_every_part_that_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["predict"])
    lines = capsys.readouterr().err.splitlines()
    assert {line.split("`")[1] for line in lines} == {"data", "operator", "denoiser", "model"}


def test_what_is_not_known_of_the_parser_is_shown_as_it_is() -> None:
    assert translate('Parser key "model": something new', []) == "model: something new"


def test_only_what_is_raised_as_the_users_mistake_is_one() -> None:
    assert explain(InvalidValueError("give more")) == "give more"
    assert explain(ValueError("3")) is None
    assert explain(TypeError("3")) is None
    assert explain(OSError("3")) is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "", "a.png"), "a.png cannot be used: the disk is full."),
        (FileNotFoundError(errno.ENOENT, "", "a.png"), "a.png cannot be used: it is not there, or no longer."),
        (OSError(errno.EINVAL, "", "a.png"), None),
        (ModuleNotFoundError("", name="dis_lightning.own"), None),
    ],
)
def test_what_a_system_has_against_a_file_is_one_line(error: Exception, expected: str | None) -> None:
    assert explain(error) == expected


def test_a_package_that_a_file_of_ones_own_needs_is_named(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (elsewhere / "own_needs_more.py").write_text("import a_package_that_nobody_has\n")
    told = message(capsys, "--operator=own_needs_more.Operator")
    assert "own_needs_more imports a_package_that_nobody_has, which is not installed here" in told


def test_a_logger_without_an_account_is_one_line() -> None:
    error = type("UsageError", (Exception,), {"__module__": "wandb.errors.errors"})("No API key configured.")
    assert str(explain(error)).startswith("Weights & Biases: No API key configured. With WANDB_MODE=offline")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_out_of_memory_says_how_large_a_pass_was_and_what_lowers_it(error: Exception) -> None:
    with pytest.raises(UserError) as told, sufficient_memory(fewer_rows(8, 4)):
        raise error
    assert "Out of memory: a pass had 32 rows, 8 images of 4 each" in str(told.value)
    assert "--data.batch_size" in str(told.value)
    assert "--model.num_samples" in str(told.value)


def test_other_errors_are_not_out_of_memory() -> None:
    with pytest.raises(RuntimeError, match="shapes differ"), sufficient_memory(fewer_rows(8, 4)):
        raise RuntimeError("shapes differ")
