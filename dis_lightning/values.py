"""How a value of a run is shown: its title, its unit, which direction is better, and where it stands.

Metrics say it once for what they give; tables and pages read it back, without importing how anything is computed.
"""

from enum import Enum
from typing import NamedTuple

__all__ = ["SECTIONS", "Direction", "Value", "shown"]

SECTIONS = {
    "metrics": "Fidelity to the clean image",
    "consistency": "Consistency with the measurement",
    "posterior": "Spread of the posterior samples",
    "set": "All images together",
    "chains": "Markov chains",
    "cost": "Cost of an image",
}
"""Where values stand in `metrics.json`, in this order, with headings; another name is a section after these."""


class Direction(Enum):
    """Which values of a metric are better."""

    HIGHER = "higher"
    LOWER = "lower"
    NEITHER = "neither"

    @property
    def sign(self) -> int:
        """What makes the best value the largest; 0 for neither."""
        return {"higher": 1, "lower": -1, "neither": 0}[self.value]

    @property
    def arrow(self) -> str:
        """A sign for the heading of a column; empty for neither."""
        return {"higher": "↑", "lower": "↓", "neither": ""}[self.value]


class Value(NamedTuple):
    """How a value is shown."""

    title: str
    """What people call it."""
    better: Direction
    """Which direction is better. A spread is right or wrong, neither high nor low is better."""
    unit: str = ""
    """Its unit; empty for a plain number."""


def shown(name: str, values: dict[str, Value]) -> Value | None:
    """How a value of some name is shown: as the longest beginning of the name that is known, with what follows it.

    Args:
        name: such as `psnr_best_of_4`.
        values: what is known, by the beginning of a name, such as `psnr`.

    Returns:
        None where nothing is known.
    """
    start = max((known for known in values if f"{name}_".startswith(f"{known}_")), key=len, default=None)
    if start is None:
        return None
    rest = name.removeprefix(start).strip("_").split("_")
    return values[start]._replace(title=" ".join(filter(None, [values[start].title, *rest])))
