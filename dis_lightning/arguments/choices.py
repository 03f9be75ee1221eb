"""The configuration files that ship with the project, found by their names from any folder, and read with care."""

from collections.abc import Iterator
from pathlib import Path

import yaml

import dis_lightning
from dis_lightning.errors import InvalidValueError, MissingFileError
from dis_lightning.files import expanded
from dis_lightning.spelling import nearest

__all__ = ["choices", "find", "locate", "named"]

_PACKAGE = Path(dis_lightning.__file__).parent
FOLDER = next(folder for folder in (_PACKAGE / "configs", _PACKAGE.parent / "configs") if folder.is_dir())
"""Where they are: inside of an installed package, beside it in a checkout."""


def choices(kind: str) -> list[str]:
    """The names of the choices of a kind, such as `dps` among the `solvers`; a folder of them ends in a slash.

    Args:
        kind: a folder of `configs`, "." for the whole.
    """
    found = [file for file in (FOLDER / kind).iterdir() if file.is_dir() or file.suffix == ".yaml"]
    return sorted(f"{file.name}/" if file.is_dir() else file.stem for file in found)


def named(kind: str) -> str:
    """How a message names the choices of a kind: where they are, and what NAME can be."""
    return f"--config configs/{kind}/NAME.yaml, NAME one of {', '.join(choices(kind))}"


def locate(name: str | Path) -> Path:
    """Where a configuration is that is named by a path or for short: one on the disk, else one that ships.

    Args:
        name: a path, with its ending or without, or a choice such as `configs/solvers/dps.yaml` or, for short,
            `solvers/dps`. A choice of the current folder goes before that of the project.

    Returns:
        The file or, where there is none, the path as it was given.
    """
    path = expanded(name)
    short = f"{_short(str(name))}.yaml"
    places = [path, Path(f"{path}.yaml")]
    if ".." not in path.parts:
        places += [Path("configs") / short, FOLDER / short]
    return next((place for place in places if place.is_file()), path)


def find(name: str) -> Path:
    """The file that `--config` names; see `locate`.

    Args:
        name: a path, or a choice such as `configs/solvers/dps.yaml` or, for short, `solvers/dps`.

    Returns:
        The file, whose content was checked to be a configuration.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is a folder, no UTF-8, no YAML, or holds no keys.
    """
    path = locate(name)
    if path.is_dir():
        files = ", ".join(sorted(file.name for file in path.glob("*.y*ml"))) or "none that ends in .yaml"
        raise InvalidValueError(f"--config {name} is a folder; give one of its files: {files}.")
    if not path.exists():
        raise MissingFileError(
            f"--config {name}: there is neither such a file nor such a choice. {_others(_short(name))}"
        )
    _check(path)
    return path


def _short(name: str) -> str:
    return name.removeprefix("configs/").removesuffix(".yaml").strip("/")


def _others(short: str) -> str:
    """What there is instead of a choice that is missing."""
    every = [file.relative_to(FOLDER).with_suffix("").as_posix() for file in FOLDER.rglob("*.yaml")]
    kind = next((kind for kind in (Path(short), Path(short).parent) if (FOLDER / kind).is_dir()), Path())
    return f"{nearest(short, every)}{(Path('configs') / kind).as_posix()}/ has {', '.join(choices(str(kind)))}."


def _check(path: Path) -> None:
    """Refuse what is no configuration, by its file and line."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        for key in _twice(yaml.compose(text, yaml.SafeLoader)):
            raise InvalidValueError(f"{path}, line {key.start_mark.line + 1}: `{key.value}` stands there twice.")
        content = yaml.safe_load(text)
    except OSError as error:
        raise InvalidValueError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        before = path.read_bytes()[: error.start].count(b"\n")
        raise InvalidValueError(f"{path}, line {before + 1}: this is no UTF-8 text; save the file as UTF-8.") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        hint = "; indent by spaces, not by tabs" if "\\t" in str(error.problem) else ""
        raise InvalidValueError(f"{path}{line}: this is no YAML: {error.problem or error.context}{hint}.") from error
    except RecursionError as error:
        raise InvalidValueError(f"{path}: its brackets or keys are nested deeper than any configuration.") from error
    except yaml.YAMLError as error:
        raise InvalidValueError(f"{path}: this is no YAML: {str(error).splitlines()[0]}.") from error
    if not isinstance(content, dict):
        came = {type(None): "nothing", list: "a list"}.get(type(content), f"the value {str(content)[:40]!r}")
        raise InvalidValueError(f"{path} holds {came}, where keys with values are needed, such as `threads: 2`.")
    if bare := [key for key in content if not isinstance(key, str)]:
        raise InvalidValueError(f"{path}: {bare[0]!r} is no key; keys are words, such as in `threads: 2`.")
    if all(value is None for value in content.values()):
        raise InvalidValueError(f"{path}: no key has a value ({', '.join(content)}); write them indented below it.")


def _twice(node: yaml.Node | None) -> Iterator[yaml.ScalarNode]:
    """The keys that stand twice in one mapping, of which YAML would take the last without a word."""
    if isinstance(node, yaml.MappingNode):
        keys: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in keys:
                    yield key
                keys.add(key.value)
            yield from _twice(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _twice(value)
