"""Empty stand-ins for packages that a machine may lack and that no guided step needs: data sets, judges, loggers."""

import sys
from importlib.util import find_spec
from unittest.mock import MagicMock

__all__ = ["stand_in"]

OPTIONAL = ("arviz_stats", "deepinv", "diffusers", "lmdb", "open_clip")
"""Those that are imported with the package or its tests; others are asked for late, or not at all."""
INSIDE = ("arviz_stats.base", "arviz_stats.base.array", "deepinv.models", "deepinv.physics")


def stand_in() -> list[str]:
    """Put a stand-in in the place of each package that is missing, and name them; the same when asked again."""
    there = [name for name in OPTIONAL if isinstance(sys.modules.get(name), MagicMock)]
    missing = [name for name in OPTIONAL if name not in sys.modules and find_spec(name) is None]
    for name in missing:
        sys.modules[name] = MagicMock(name=name)
    for name in INSIDE:
        if name.partition(".")[0] in missing:
            sys.modules[name] = MagicMock(name=name)
    return there + missing
