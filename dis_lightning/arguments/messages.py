"""What the user is told of a mistake: what came, what was needed, and what to do, in one message."""

import ast
import errno
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pydoc import locate
from typing import NamedTuple, cast

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from dis_lightning.arguments.choices import choices, named
from dis_lightning.arguments.kinds import Maker, hinted, kinds_of, offered
from dis_lightning.arguments.parser import Parser, raised_in
from dis_lightning.arguments.parts import PARTS
from dis_lightning.errors import UserError
from dis_lightning.files import REASONS
from dis_lightning.runs.configuration import LINKED
from dis_lightning.spelling import nearest

__all__ = ["explain", "fewer_rows", "sufficient_memory", "translate"]

WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "list": "a list",
    "dict": "keys and values",
    "PositiveInt": "a whole number above 0",
}
"""What a user calls the types of Python."""

TYPE = r"Expected a <class '(?:\w+\.)*(\w+)'>|Not of type (\w+)"
"""How the parser names the type that it needs."""

NOISE = ("Does not validate against", "Subtypes:", "Errors:", "Expected a <class 'None", "Expected a path but")
"""How lines begin that the parser adds and that help nobody."""


class Complaint(NamedTuple):
    """What the parser has against a value."""

    key: str
    """Whose value it is, such as `model.levels`; empty where it belongs to no key."""
    owner: str
    """The import path of the class whose argument it is, where there is one."""
    reasons: list[str]
    """What is wrong, once for each type that was tried."""
    value: str
    """What came, where the parser says so."""


def explain(error: Exception) -> str | None:
    """The message for a user's mistake, or None for an error of the program, which needs its traceback."""
    if isinstance(error, RuntimeError) and "does not have a deterministic implementation" in str(error):
        return (
            f"a GPU cannot give the same bits each time here: {str(error).partition('.')[0]}. With "
            "--trainer.deterministic=false it gives others in the last places each time; a CPU "
            "(--trainer.accelerator=cpu) gives the same."
        )
    if isinstance(error, OSError) and error.filename is not None and not isinstance(error, UserError):
        reason = {**REASONS, errno.ENOENT: "it is not there, or no longer"}.get(error.errno or 0)
        return reason and f"{error.filename} cannot be used: {reason}."
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("dis_lightning"):
        return f"{raised_in(error)} imports {error.name}, which is not installed here; install it: pip install NAME."
    if type(error).__module__.partition(".")[0] == "wandb":
        return (
            f"Weights & Biases: {error} With WANDB_MODE=offline in the environment a run is logged on this disk alone."
        )
    return str(error) if isinstance(error, UserError | MisconfigurationException) else None


def translate(message: str, keys: Iterable[str]) -> str:
    """Say what a parser's message means.

    Args:
        message: the parser's.
        keys: all keys that the parser knows.
    """
    complaint = _read(message)
    for pattern, answer in ANSWERS.items():
        for reason in complaint.reasons:
            if found := re.search(pattern, reason):
                return answer(complaint, found[1], keys).strip()
    prefix = f"{complaint.key}: " if complaint.key else ""
    return prefix + "; ".join(complaint.reasons).strip()


@contextmanager
def sufficient_memory(remedy: str) -> Iterator[None]:
    """Say what to do where memory does not suffice.

    Args:
        remedy: how large what was computed is, and what makes it smaller.

    Raises:
        UserError: in place of the errors of an allocator.
    """
    texts = ("out of memory", "can't allocate memory", "Cannot allocate memory", "STATUS_ALLOC_FAILED")
    try:
        yield
    except Exception as error:
        if isinstance(error, torch.OutOfMemoryError | MemoryError) or any(text in str(error) for text in texts):
            raise UserError(f"Out of memory: {remedy}") from error
        raise


def fewer_rows(batch_size: int, rows_per_image: int) -> str:
    """How large a pass of a solver is, and what makes it smaller.

    Args:
        batch_size: images in a batch.
        rows_per_image: rows of the solver's loop for each of them.
    """
    return (
        f"a pass had {batch_size * rows_per_image} rows, {batch_size} images of {rows_per_image} each. Give fewer "
        "images at a time (--data.batch_size) or fewer samples of each (--model.num_samples), fewer of them to the "
        "network at once (--denoiser.micro_batch), or a network of half the precision (--denoiser.dtype "
        "torch.bfloat16). Finished images are kept, and the run may go on with another "
        "--data.batch_size."
    )


def _read(message: str) -> Complaint:
    keys: list[str] = []
    owner = value = ""
    reasons = []
    for line in message.splitlines():
        text = line.strip().removeprefix("- ")
        if found := re.match(r'Parser key "([^"]+)"[^:]*: *', text):
            keys += [found[1]] if found[1] not in keys else []
            text = text[found.end() :]
        if found := re.match(r"Problem with given class_path '([^']+)':", text):
            owner, text = found[1], text[found.end() :]
        if found := re.search(r"\.? *(?:Got|Given) value: (.*)", text):
            value, text = value or found[1][:80], text[: found.start()]
        if text and not text.startswith((*NOISE, "Given value type:")):
            reasons.append(text)
    return Complaint(".".join(keys), owner, reasons or [message], value)


def _unknown_argument(complaint: Complaint, name: str, keys: Iterable[str]) -> str:
    if not complaint.owner:
        return _unknown_key(complaint, name, keys)
    kind, takes = complaint.owner.rpartition(".")[2], _arguments(complaint.owner)
    word = name.partition(".")[0]
    here = f"{complaint.key}.{word}: " if complaint.key else ""
    if word == "class_path":
        return f"{here}the arguments of {kind} stand below `init_args`, not beside `class_path`."
    return (
        f"{here}{kind} has no argument `{word}`. {nearest(word, [*takes, 'init_args', 'class_path'])}It takes "
        f"{', '.join(takes)}; --{complaint.key}.help {kind} explains them."
    )


def _unknown_key(complaint: Complaint, name: str, keys: Iterable[str]) -> str:
    name = name.lstrip("-").replace(".init_args.", ".")
    root, dot, tail = name.partition(".")
    known = list(keys)
    roots = {key.partition(".")[0] for key in known}
    whole = nearest(root, roots) and nearest(name, [f"{one}{dot}{tail}" for one in roots])
    meant = nearest(name, known) or whole
    return f"There is no `{name}`. {meant}--help shows what there is."


def _unknown_in_group(complaint: Complaint, name: str, keys: Iterable[str]) -> str:
    return _unknown_key(complaint, ".".join(re.findall(r"'([^']+)'", name)), keys)


def _unknown_words(complaint: Complaint, words: str, keys: Iterable[str]) -> str:
    option = next((word for word in words.split() if word.startswith("-")), None)
    if option is not None:
        return _unknown_key(complaint, option.partition("=")[0], keys)
    return f"`{words}` is not understood: files are given by --config FILE, values by --KEY VALUE."


def _unknown_class(complaint: Complaint, name: str, keys: Iterable[str]) -> str:
    kinds = _kinds(complaint)
    kind = " or ".join(kind.__name__ for kind in kinds) or "class"
    meant = nearest(name, offered(*kinds), 5)
    if complaint.key in PARTS and name in choices(PARTS[complaint.key].folder):
        meant += f"A file of that name is given by --config {PARTS[complaint.key].folder}/{name}. "
    return f"{complaint.key}: there is no {kind} {name!r}. {meant}--{complaint.key}.help lists all."


def _no_text(complaint: Complaint, what: str, keys: Iterable[str]) -> str:
    """A file or a folder of the user's where a class is named, which takes it as an argument."""
    taken = {"denoiser": "EDM --denoiser.network FILE", "data": "FolderData --data.root FOLDER"}
    key = complaint.key or "an argument"
    hint = f"give a class its files as arguments: --{key} {taken[key]}" if key in taken else f"--{key}.help lists all"
    return f"{key} needs the name of a class, but got something else ({what}); {hint}."


def _other_class(complaint: Complaint, name: str, keys: Iterable[str]) -> str:
    kind = " or ".join(kind.__name__ for kind in _kinds(complaint))
    came = name or complaint.value
    article = "an" if kind[:1] in "AEIO" else "a"
    return f"{complaint.key} needs {article} {kind}, and {came} is none; --{complaint.key}.help lists all."


def _no_class(complaint: Complaint, kind: str, keys: Iterable[str]) -> str:
    with suppress(ValueError, SyntaxError):
        given = ast.literal_eval(complaint.value)
        if isinstance(given, dict) and "class_path" not in given:
            slip = next((key for key in map(str, given) if nearest(key, ["class_path"])), None)
            if slip:
                return f"{complaint.key}: there is no `{slip}`. {nearest(slip, ['class_path'])}"
    named = re.search(r"'class_path': '([^']+)'", complaint.value)
    value = named[1] if named else complaint.value
    came = f", but got {value}" if value and "NestedArg" not in value else ""
    if lacking := sorted(getattr(locate(value), "__abstractmethods__", ())):
        methods = ", ".join(f"`{method}`" for method in lacking)
        return f"{complaint.key}: {value} cannot be built, for it lacks {methods}; define what it lacks."
    return (
        f"{complaint.key} needs the name of a class that can be built{came}; --{complaint.key}.help lists all. "
        f"{_files(complaint.key)}"
    )


def _no_module(complaint: Complaint, name: str, keys: Iterable[str]) -> str:
    return (
        f"{complaint.key}: {complaint.owner} cannot be imported, there is no module {name!r}. Your own files are found "
        f"in the current folder ({os.getcwd()}) and on PYTHONPATH."
    )


def _no_attribute(complaint: Complaint, found: str, keys: Iterable[str]) -> str:
    module, name = re.findall(r"'([^']+)'", found)[:2]
    return f"{complaint.key}: {module} has no `{name}`. {nearest(name, vars(sys.modules.get(module, object)), 5)}"


def _missing(complaint: Complaint, names: str, keys: Iterable[str]) -> str:
    if complaint.owner:
        kind = complaint.owner.rpartition(".")[2]
        here = f"{complaint.key}." if complaint.key else ""
        needed = ", ".join(here + name for name in names.split(", ") if name not in LINKED)
        return f"{kind} needs a value for {needed}; --{complaint.key}.help {kind} explains its arguments."
    return "\n".join(_files(name) or f"{name} is missing; --help shows what there is." for name in names.split(", "))


def _wrong_type(complaint: Complaint, reason: str, keys: Iterable[str]) -> str:
    types = [one for pair in re.findall(TYPE, "\n".join(complaint.reasons)) for one in pair if one]
    needed = " or ".join(WORDS.get(one, one) for one in dict.fromkeys(types))
    value = re.search(r"'([^']*)'$|: (\S+) does not", reason)
    came = complaint.value or (value[1] or value[2] if value else "")
    came = "null" if came in ("None", "NoneType") else repr(came)
    return f"{complaint.key} needs {needed or reason}, but got {came}."


def _no_value(complaint: Complaint, option: str, keys: Iterable[str]) -> str:
    return f"{option}, or a key of it ({option}.KEY), has no value; write it behind: --KEY VALUE or --KEY=VALUE."


ANSWERS: dict[str, Callable[[Complaint, str, Iterable[str]], str]] = {
    r"Option '([^']+)' is not accepted": _unknown_argument,
    r"(Group '[^']+' does not accept option '[^']+')": _unknown_in_group,
    r"unrecognized arguments: (.*)": _unknown_words,
    r"the following arguments are required: (.*)": _missing,
    r"No module named '([^']+)'": _no_module,
    r"(module '[^']+' has no attribute '[^']+')": _no_attribute,
    r"Expected a dot import path string: ?(.*)": _unknown_class,
    r"Import path (?:(\S+) )?does not correspond": _other_class,
    r"Expected an (instantiatable) class": _no_class,
    r"('utf-8' codec can't decode byte)": _no_text,
    r"(Unexpected import path format: .*)": _no_text,
    r"(Expected a <class .*|Not of type .*)": _wrong_type,
    r"Not a valid subclass of (\w+)": _no_class,
    r"argument (\S+): expected": _no_value,
}
"""What is said to each kind of complaint, the most telling first."""


def _kinds(complaint: Complaint) -> tuple[type, ...]:
    """The classes that the value can have."""
    owner = locate(complaint.owner) if complaint.owner else None
    own = hinted(owner, complaint.key.rpartition(".")[2]) if callable(owner) else ()
    return own or kinds_of(complaint.key)


def _arguments(owner: str) -> list[str]:
    """The arguments of a class or function that a configuration can give."""
    parser, maker = Parser(), cast(Maker, locate(owner))
    names = (parser.add_class_arguments if inspect.isclass(maker) else parser.add_function_arguments)(
        maker, fail_untyped=False
    )
    return [name for name in names if name not in LINKED]


def _files(key: str) -> str:
    """How to name a part; empty for any other key."""
    if key not in PARTS:
        return ""
    return f"Give `{key}` by {named(PARTS[key].folder)}; or by --{key} CLASS (--{key}.help lists them)."
