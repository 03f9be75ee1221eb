"""Parts of a run built from a configuration alone, as a finished run or a study has it."""

from typing import Any

from dis_lightning.arguments.parser import Parser
from dis_lightning.arguments.parts import add_parts
from dis_lightning.arguments.reading import read_arguments
from dis_lightning.data import ImageTransform
from dis_lightning.runs.configuration import LINKED
from dis_lightning.solvers import Solver

__all__ = ["build_solver", "build_transform"]


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
