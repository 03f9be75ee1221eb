"""Where a table agrees with a paper, computed: every comparison that the paper's numbers allow is made again.

Two rows differ by `d` in a column, in the paper and here. Here, both rows have the same images, so that the error of
`d` is found by drawing images anew for both at once (the bootstrap of Efron, 1979). The table

    agrees     if d has the paper's sign and is more than two errors from 0
    differs    if it has the other sign and is more than two errors from 0
    is open    otherwise

What the judge says is also told in words, for all problems, whether the paper has a number for them or not.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dis_lightning.rooms.training.score import frechet_distance
from studies.rooms_table import markdown_table

__all__ = ["COLUMNS", "Comparison", "Difference", "Read", "Reported", "difference", "in_words", "verdict", "verdicts"]

Reported = dict[str, dict[str, dict[str, float]]]
"""A paper's numbers by problem, solver and column."""

COLUMNS = {"guide": "A", "noisy": "A, noise", "judge": "B", "distance": "Fréchet distance"}
"""Names in the table of what is compared: three fields of `Read`, and the quality of the samples."""

DRAWS = 50


class Read(NamedTuple):
    """What was read off N samples, one per image."""

    guide: Tensor
    """Agreement with the measurement by the network that guided, `(N,)`, in [0, 1]."""
    noisy: Tensor
    """The same, on samples with noise."""
    judge: Tensor
    """Agreement by the network that judges."""
    features: Tensor
    """Features of the samples by the reader that judges, `(N, D)`."""


class Comparison(NamedTuple):
    """Two rows that the paper holds against each other."""

    first: str
    """Name of a solver."""
    second: str
    """Name of the other."""


class Difference(NamedTuple):
    """The first row's value less the second's."""

    value: float
    """On the images of the table."""
    error: float
    """Its standard deviation over draws of images."""


def difference(first: Read, second: Read, column: str, reference: Tensor) -> Difference:
    """How far two rows are apart.

    Args:
        first: a row.
        second: another, of the same images.
        column: one of `COLUMNS`.
        reference: features of other rooms, for the Fréchet distance.
    """

    def apart(images: Tensor) -> float:
        return _value(first, column, images, reference) - _value(second, column, images, reference)

    number, random = len(first.guide), torch.Generator().manual_seed(0)
    draws = [apart(torch.randint(number, (number,), generator=random)) for _ in range(DRAWS)]
    return Difference(apart(torch.arange(number)), float(torch.tensor(draws).std()))


def verdict(paper: float, here: Difference) -> str:
    """Whether a difference agrees with the paper's: `agrees`, `differs` or `open`."""
    if paper == 0 or abs(here.value) <= 2 * here.error:
        return "open"
    return "agrees" if paper * here.value > 0 else "differs"


def verdicts(
    comparisons: Sequence[Comparison], reported: Reported, found: dict[str, dict[str, Read]], reference: Tensor
) -> str:
    """Make the paper's comparisons again, as Markdown: a table, and its sum.

    Args:
        comparisons: the rows to compare.
        reported: the paper's numbers.
        found: the rows by problem and solver.
        reference: features of other rooms, for the Fréchet distance.
    """
    lines, sums = [], {"agrees": 0, "differs": 0, "open": 0}
    for first, second in comparisons:
        for problem in found:
            for column in COLUMNS:
                values = [reported[problem].get(name, {}).get(column) for name in (first, second)]
                if values[0] is None or values[1] is None:
                    continue
                paper = values[0] - values[1]
                here = difference(found[problem][first], found[problem][second], column, reference)
                outcome = verdict(paper, here)
                sums[outcome] += 1
                apart = (f"{paper:+.2f}", f"{here.value:+.2f} ± {here.error:.2f}")
                lines.append((f"{first} - {second}", problem, COLUMNS[column], *apart, outcome))
    total = " ".join(f"{outcome}: {count}." for outcome, count in sums.items())
    headings = ("difference", "problem", "column", "paper", "here", "verdict")
    words = "\n".join(in_words(comparison, found, reference) for comparison in comparisons)
    return (
        f"**The paper's comparisons, made again**\n\n{markdown_table(headings, lines)}\n"
        f"Of {len(lines)} comparisons, {total} Open are those within two standard errors of no difference.\n\n{words}\n"
    )


def in_words(comparison: Comparison, found: dict[str, dict[str, Read]], reference: Tensor) -> str:
    """On which problems the first row beats the second by the judge, and on which it does not.

    Args:
        comparison: the rows.
        found: the rows by problem and solver.
        reference: features of other rooms.
    """
    problems: dict[str, list[str]] = {"better": [], "worse": [], "open": []}
    for problem, rows in found.items():
        here = difference(rows[comparison.first], rows[comparison.second], "judge", reference)
        outcome = {"agrees": "better", "differs": "worse", "open": "open"}[verdict(1.0, here)]
        problems[outcome].append(problem)
    told = "; ".join(f"{outcome}: {', '.join(names) or 'none'}" for outcome, names in problems.items())
    return f"- {comparison.first} against {comparison.second}, read by B: {told}."


def _value(row: Read, column: str, images: Tensor, reference: Tensor) -> float:
    if column in Read._fields:
        return float(row._asdict()[column][images].mean())
    return frechet_distance(reference, row.features[images])
