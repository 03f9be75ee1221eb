"""What `--KEY.help` shows: the classes that a key can have, or the arguments of one of them."""

import inspect
from argparse import SUPPRESS
from pydoc import locate
from typing import cast

from dis_lightning.arguments.choices import choices
from dis_lightning.arguments.kinds import Maker, kinds_of, offered
from dis_lightning.arguments.parser import Parser
from dis_lightning.arguments.parts import PARTS
from dis_lightning.errors import InvalidValueError
from dis_lightning.runs.configuration import LINKED
from dis_lightning.spelling import nearest

__all__ = ["help_text"]


def help_text(key: str, name: str | None = None) -> str:
    """The help for a key.

    Args:
        key: such as `model.levels`.
        name: one of its classes, or the import path of any.

    Raises:
        ValueError: if there is no help, because the key holds no class or the class is not known.
    """
    kinds = kinds_of(key)
    if name is None or not kinds:
        return _listed(key, kinds)
    return _explained(key, name, _maker(key, name, offered(*kinds)))


def _listed(key: str, kinds: tuple[type, ...]) -> str:
    """The classes of a key, a line each."""
    if not kinds:
        owner = key.rpartition(".")[0]
        instead = f"--{owner}.help CLASS" if kinds_of(owner) else "--help"
        raise InvalidValueError(f"{key} holds no class, so --{key}.help has nothing to show; see {instead}.")
    found = offered(*kinds)
    width = max(map(len, found), default=0)
    lines = [f"{key}: {' or '.join(_about(kind) for kind in kinds)}", ""]
    lines += [f"  {name:{width}}  {_about(maker)}" for name, maker in found.items()]
    lines += ["", f"--{key}.help CLASS explains the arguments of one. Any other class is named by its import path."]
    if key in PARTS:
        folder = PARTS[key].folder
        lines += [f"Files: --config configs/{folder}/NAME.yaml, NAME one of {', '.join(choices(folder))}."]
    return "\n".join(lines)


def _explained(key: str, name: str, maker: Maker) -> str:
    """The arguments of one class."""
    parser = Parser(prog="dis-lightning predict", usage=SUPPRESS, add_help=False, description=None)
    skip: set[str | int] = set(LINKED) if key == "model" else set()
    add = parser.add_class_arguments if inspect.isclass(maker) else parser.add_function_arguments
    add(maker, key, skip=skip, fail_untyped=False)
    return f"--{key} {name}\n{parser.format_help()}".rstrip()


def _maker(key: str, name: str, known: dict[str, Maker]) -> Maker:
    maker = known.get(name) or ("." in name and locate(name))
    if not callable(maker):
        raise InvalidValueError(
            f"--{key}.help {name}: there is no such class. {nearest(name, known, 5)}--{key}.help lists all."
        )
    return cast(Maker, maker)


def _about(maker: Maker) -> str:
    return (inspect.getdoc(maker) or "").partition("\n")[0].rstrip(".:")
