"""What a run is put together from, as keys of a configuration: one small file each, in any order.

The solver receives the operator and the priors by links, so that each can be named on its own.
"""

from typing import Any

from lightning.pytorch.cli import LightningArgumentParser

# Importing the packages makes the names of their classes known to configurations.
from dis_lightning import callbacks, data, levels, metrics, operators, priors, rooms, solvers, transitions  # noqa: F401
from dis_lightning.data import ImageData, ImageTransform
from dis_lightning.operators import Operator
from dis_lightning.priors import Denoiser
from dis_lightning.solvers import Solver

__all__ = ["PARTS", "add_parts", "build_solver", "build_transform"]

PARTS = {
    "data": (ImageData, data, "configs/data"),
    "operator": (Operator, operators, "configs/operators"),
    "denoiser": (Denoiser, priors, "configs/priors"),
    "consistency": (Denoiser, priors, "configs/priors"),
    "model": (Solver, solvers, "configs/solvers"),
}
"""The parts of a run: what they are, where their classes are, and where the project keeps a file for each choice."""


def add_parts(parser: LightningArgumentParser) -> None:
    """Add what a solver is made of as keys of their own, and link them into it."""
    # Links are followed when classes are built: a link at parsing would build every network twice.
    for name, kind in {"operator": Operator, "denoiser": Denoiser, "consistency": Denoiser}.items():
        parser.add_subclass_arguments(kind, name, required=name != "consistency")
        parser.link_arguments(name, f"model.init_args.{name}", apply_on="instantiate")


def build_solver(parts: dict[str, Any]) -> Solver:
    """Build a solver; its networks are not read yet.

    Args:
        parts: the keys `model`, `operator`, `denoiser` and, where the solver takes one, `consistency`, as in a
            configuration.
    """
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Solver, "model", required=True)
    add_parts(parser)
    solver: Solver = parser.instantiate_classes(parser.parse_object(parts))["model"]
    return solver


def build_transform(configuration: dict[str, Any]) -> ImageTransform | None:
    """What brought the images of a run to their size, where its configuration says so."""
    transform = ((configuration.get("data") or {}).get("init_args") or {}).get("transform")
    if transform is None:
        return None
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(ImageTransform, "transform")
    built: ImageTransform = parser.instantiate_classes(parser.parse_object({"transform": transform}))["transform"]
    return built
