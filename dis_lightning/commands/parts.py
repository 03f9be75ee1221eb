"""What a run is put together from, as keys of a configuration: one small file each, in any order.

The solver receives the operator and the priors by links, so that each can be named on its own.
"""

from typing import Any, NamedTuple

import torch
from jsonargparse import ArgumentParser
from jsonargparse.typing import register_type

# Importing the packages makes the names of their classes known to configurations.
from dis_lightning import callbacks, data, levels, metrics, operators, priors, rooms, solvers, transitions  # noqa: F401
from dis_lightning.commands.parser import Parser
from dis_lightning.commands.reading import read_arguments
from dis_lightning.data import ImageData, ImageTransform
from dis_lightning.operators import Operator
from dis_lightning.priors import Denoiser
from dis_lightning.solvers import Solver
from dis_lightning.weights import as_dtype

__all__ = ["LINKED", "PARTS", "Part", "add_parts", "build_solver", "build_transform"]


class Part(NamedTuple):
    """One part of a run."""

    kind: type
    """What it is."""
    folder: str
    """Where in `configs` the project keeps a file for each choice."""
    about: str
    """What it is, for the help."""


PARTS = {
    "data": Part(ImageData, "data", "the images"),
    "operator": Part(Operator, "operators", "what is measured of them"),
    "denoiser": Part(Denoiser, "priors", "the prior"),
    "consistency": Part(Denoiser, "priors", "a consistency model beside it, for solvers that take one"),
    "model": Part(Solver, "solvers", "the solver"),
}
"""The parts of a run by their keys."""

LINKED = ("operator", "denoiser", "consistency")
"""The parts that are given to the solver."""


def add_parts(parser: ArgumentParser, *names: str) -> None:
    """Add parts of a run as keys of their own, and link those that belong to the solver into it."""
    # Links are followed when classes are built: a link at parsing would build every network twice.
    for name in names:
        kind, folder, about = PARTS[name]
        parser.add_subclass_arguments(
            kind,
            name,
            as_group=False,
            fail_untyped=False,
            required=name != "consistency",
            metavar="CLASS",
            help=f"{about}: a file of configs/{folder}, or a class and --{name}.KEY VALUE",
        )
    for name in names:
        if name in LINKED:
            parser.link_arguments(name, f"model.init_args.{name}", apply_on="instantiate")


def build_solver(parts: dict[str, Any]) -> Solver:
    """Build a solver; its networks are not read yet.

    Args:
        parts: the keys `model`, `operator`, `denoiser` and, where the solver takes one, `consistency`, as in a
            configuration.

    Raises:
        ValueError: if a part or an argument of one is wrong.
    """
    parser = Parser()
    add_parts(parser, "model", *LINKED)
    solver: Solver = parser.instantiate_classes(read_arguments(parser, parts))["model"]
    return solver


def build_transform(configuration: dict[str, Any]) -> ImageTransform | None:
    """What brought the images of a run to their size, where its configuration says so."""
    transform = ((configuration.get("data") or {}).get("init_args") or {}).get("transform")
    if transform is None:
        return None
    parser = Parser()
    parser.add_subclass_arguments(ImageTransform, "transform")
    built: ImageTransform = parser.instantiate_classes(read_arguments(parser, {"transform": transform}))["transform"]
    return built


register_type(torch.dtype, serializer=str, deserializer=as_dtype)
