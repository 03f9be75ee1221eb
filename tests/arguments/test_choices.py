"""Files by their names: what is found, and what is said of what is no configuration."""

from pathlib import Path

import pytest
from small_run import ROOT

from dis_lightning.arguments.choices import choices, find, named
from dis_lightning.errors import InvalidValueError, MissingFileError, UserError


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["configs/solvers/dps.yaml", "configs/solvers/dps", "solvers/dps.yaml", "solvers/dps"])
def test_a_choice_is_found_from_any_folder(name: str) -> None:
    assert find(name) == ROOT / "configs" / "solvers" / "dps.yaml"


def test_every_file_of_the_project_is_found_by_its_short_name() -> None:
    for file in (ROOT / "configs").rglob("*.yaml"):
        assert find(file.relative_to(ROOT / "configs").with_suffix("").as_posix()) == file


@pytest.mark.parametrize("name", ["configs/solvers/dps.yaml", "solvers/dps.yaml", "./solvers/dps.yaml"])
def test_a_file_of_that_path_in_the_current_folder_goes_first(name: str, elsewhere: Path) -> None:
    for folder in ("configs/solvers", "solvers"):
        (elsewhere / folder).mkdir(parents=True)
        (elsewhere / folder / "dps.yaml").write_text("threads: 2")
    assert find(name).resolve() == (elsewhere / name).resolve()


def test_the_home_folder_is_known(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(elsewhere))
    (elsewhere / "own.yaml").write_text("threads: 2")
    assert find("~/own.yaml") == elsewhere / "own.yaml"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("solvers/dpss", ["Did you mean `solvers/dps`?", "configs/solvers/ has cm4ir, cmedit, consistency_dps"]),
        ("configs/solvers/DPS.yaml", ["Did you mean `solvers/dps`?"]),
        ("solver/dps", ["Did you mean `solvers/dps`?", "configs/ has callbacks/, cluster/, data/"]),
        ("configs/data", ["configs/data/ has ffhq256_100_daps, ffhq256_100_diffpir, ffhq256_1k"]),
        ("own/file.yaml", ["own/file.yaml", "quickstart"]),
        ("{threads: 2}", ["{threads: 2}"]),
    ],
)
def test_what_is_missing_is_told_what_there_is(name: str, told: list[str]) -> None:
    with pytest.raises(MissingFileError) as error:
        find(name)
    assert [text for text in told if text not in str(error.value)] == []
    assert f"--config {name}" in str(error.value)


def test_choices_are_those_of_the_folder() -> None:
    assert choices("data") == sorted(file.stem for file in (ROOT / "configs" / "data").iterdir())
    assert choices("papers") == ["cm4ir2025/", "daps2025/", "dps2023/", "purohit2024/", "xu2024/"]
    assert named("trainer") == "--config configs/trainer/NAME.yaml, NAME one of gpus, two_processes"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("# é\nthreads: 2".encode("latin-1"), "line 1: this is no UTF-8 text"),
        (b"threads: 2\n# \xff", "line 2: this is no UTF-8 text"),
        ("threads: 2".encode("utf-16"), "this is no UTF-8 text"),
        (b"threads: " + b"[" * 3000, "nested deeper than any configuration"),
        (b"- a\n- b", "holds a list"),
        (b"hello", "holds the value 'hello'"),
        (b"", "holds nothing"),
        (b"# a remark", "holds nothing"),
        (
            b"model:\n\tscale: 3",
            "line 2: this is no YAML: found character '\\t' that cannot start any token; indent by",
        ),
        (b"model:\n  init_args: {scale: 3\nthreads: 2", "line 3: this is no YAML: expected ',' or '}'"),
        (b"threads: 2\nmodel: !!python/object:os.system x", "line 2: this is no YAML"),
        (b"threads: \x00", "this is no YAML"),
        (b"threads: 2\nmodel:\n  scale: 3\nthreads: 3", "line 4: `threads` stands there twice"),
        (b"model:\n  scale: 3\n  seed: 1\n  scale: 4", "line 4: `scale` stands there twice"),
        (b"a:\n- {b: 1, b: 2}", "line 2: `b` stands there twice"),
        (b"3: 4", "3 is no key"),
        (b"model:\ndata:", "no key has a value (model, data)"),
    ],
)
def test_what_is_no_configuration_is_named_by_file_and_line(content: bytes, told: str, elsewhere: Path) -> None:
    file = elsewhere / "own.yaml"
    file.write_bytes(content)
    with pytest.raises(InvalidValueError) as error:
        find("own.yaml")
    assert told in str(error.value)
    assert str(error.value).startswith("own.yaml")
    assert "\n" not in str(error.value)


def test_a_file_in_utf_8_with_its_mark_is_read(elsewhere: Path) -> None:
    (elsewhere / "own.yaml").write_bytes("# é\nthreads: 2".encode("utf-8-sig"))
    assert find("own.yaml").name == "own.yaml"


def test_a_folder_is_told_its_files(elsewhere: Path) -> None:
    (elsewhere / "own.yaml").mkdir()
    (elsewhere / "own.yaml" / "a.yaml").touch()
    with pytest.raises(InvalidValueError, match=r"own.yaml is a folder; give one of its files: a\.yaml"):
        find("own.yaml")


def test_a_file_that_may_not_be_read_is_named(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bytes:
        raise PermissionError(13, "Permission denied")

    (elsewhere / "own.yaml").write_text("threads: 2")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(UserError, match=r"own\.yaml cannot be read: Permission denied"):
        find("own.yaml")


def test_letters_that_are_swapped_are_what_was_meant() -> None:
    with pytest.raises(MissingFileError, match="Did you mean `solvers/dps`"):
        find("configs/solvers/dsp.yaml")
