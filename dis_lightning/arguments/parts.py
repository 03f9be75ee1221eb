"""What a run is put together from, as keys of a configuration: one small file each, in any order.

The solver receives the operator and the priors by links, so that each can be named on its own.
"""

from importlib import import_module
from typing import NamedTuple

import torch
from jsonargparse import ArgumentParser
from jsonargparse.typing import register_type

from dis_lightning.data import ImageData
from dis_lightning.operators import Operator
from dis_lightning.priors import Denoiser
from dis_lightning.runs.configuration import LINKED
from dis_lightning.solvers import Solver
from dis_lightning.weights import as_dtype

__all__ = ["HOMES", "PARTS", "Part", "add_parts"]


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

HOMES = [
    import_module(f"dis_lightning.{name}")
    for name in (
        *("callbacks", "data", "guidance", "kernels", "levels", "metrics", "operators", "posteriors", "priors"),
        *("rooms", "solvers", "transitions"),
    )
]
"""Where the classes are that configurations name; to import them makes their names known."""


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


register_type(torch.dtype, serializer=str, deserializer=as_dtype)
