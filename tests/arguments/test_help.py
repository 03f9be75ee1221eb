"""Help is short, of a prediction alone, and works wherever it is advertised."""

import re

import pytest

from dis_lightning import __version__
from dis_lightning.main import COMMANDS, main


def shown(capsys: pytest.CaptureFixture[str], *args: str, status: int = 0) -> str:
    with pytest.raises(SystemExit) as stopped:
        main([*args])
    assert stopped.value.code == status
    return capsys.readouterr().out


def test_every_command_has_a_line_and_a_help(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, "--help").splitlines()
    for name, about in COMMANDS.items():
        assert any(line.split() == [name, *about.split()] for line in lines)
        assert f"usage: dis-lightning {name}" in shown(capsys, name, "--help")


def test_without_a_command_the_commands_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, status=2) == shown(capsys, "--help")


def test_the_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--version"])
    assert capsys.readouterr().out == f"dis-lightning {__version__}\n"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("evalute", "Did you mean `evaluate`?"),
        ("Predict", "Did you mean `predict`?"),
        ("--config", "the command comes first"),
        ("xyz", "Commands: predict, evaluate, report"),
    ],
)
def test_a_command_that_is_none_is_told_what_was_meant(
    name: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([name, "x"])
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert told in message
    assert name in message
    assert len(message.splitlines()) == 1


def test_the_help_of_predict_is_of_a_prediction(capsys: pytest.CaptureFixture[str]) -> None:
    help_text = shown(capsys, "predict", "--help")
    assert len(help_text.splitlines()) < 120
    assert "in any order: an option always overrides the files" in " ".join(help_text.split())
    for word in (
        "epoch",
        "max_steps",
        "checkpoint",
        "seed_everything",
        "gradient_clip",
        "val_check",
        "known subclasses",
    ):
        assert word not in help_text
    for name in ("accelerator", "strategy", "devices", "num_nodes", "callbacks", "logger", "plugins", "deterministic"):
        assert f"--trainer.{name} " in help_text


def test_every_help_that_is_advertised_works(capsys: pytest.CaptureFixture[str]) -> None:
    """Follow `--KEY.help` from the command's help to those of all solvers, and what these advertise in turn."""
    to_do, done = [("predict", "--help")], set()
    while to_do:
        words = to_do.pop()
        text = shown(capsys, *words)
        assert text.strip()
        # Those of Lightning's own classes lead far away.
        for name in re.findall(r"--((?:data|operator|denoiser|model)[\w.]*|trainer\.callbacks)\.help\b", text):
            if (name, "") not in done and name.count(".") < 3:
                done.add((name, ""))
                to_do.append(("predict", f"--{name}.help"))
        if words[-1].endswith(".help"):
            for kind in re.findall(r"^  ([\w.]+)  ", text, flags=re.MULTILINE):
                if (words[-1], kind) not in done:
                    done.add((words[-1], kind))
                    to_do.append(("predict", words[-1], kind))
    assert {
        ("model.levels", ""),
        ("--model.levels.help", "KarrasLevels"),
        ("--data.transform.help", "ExactResize"),
    } <= done
    assert ("--denoiser.help", "dis_lightning.rooms.rooms_gaussian") in done


@pytest.mark.parametrize(
    "words",
    [
        ["--model.levels.help", "KarrasLevels"],
        ["--model.levels.help=KarrasLevels"],
        ["--model=DPS", "--model.levels.help", "KarrasLevels"],
        ["--config=quickstart", "--data.size=8", "--model.levels.help", "KarrasLevels"],
    ],
)
def test_nested_help_needs_nothing_else(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "predict", *words)
    assert "--model.levels.sigma_min" in text
    assert "the last level above 0" in text


def test_what_is_linked_is_not_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "predict", "--model.help", "ConsistencyDPS")
    assert "--model.scale" in text
    for name in ("operator", "denoiser", "consistency"):
        assert f"--model.{name}" not in text


def test_what_a_key_can_have_is_listed_with_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "predict", "--operator.help")
    assert "AveragePool " in text
    assert "Average-pool super-resolution" in text
    assert "NAME one of average_pool_x4" in text
    assert "GaussianOperator" not in text  # cannot be built
    assert "CSVLogger" in shown(capsys, "predict", "--trainer.logger.help")
    assert "UnreadPrior" not in shown(capsys, "predict", "--denoiser.help")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--model.help", "DSP"], "Did you mean `DPS` or `TDS`?"),
        (["--model.help", "own.Nothing"], "--model.help own.Nothing: there is no such class"),
        (
            ["--model.scale.help"],
            "model.scale holds no class, so --model.scale.help has nothing to show; see --model.help",
        ),
        (["--threads.help"], "see --help"),
    ],
)
def test_help_that_there_is_not_says_where_there_is_some(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["predict", *words])
    assert stopped.value.code == 2
    assert told in capsys.readouterr().err
