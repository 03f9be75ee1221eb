"""The tables of a report for a paper: Markdown, and LaTeX with `booktabs`."""

import re
from collections.abc import Sequence

from dis_lightning.report.tables import Cell, Table

__all__ = ["to_latex", "to_markdown"]

LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}
"""What LaTeX would not print as it stands."""

NOTE = "± is the standard error over images; in brackets what a paper reports."
BEST = "The best of a column is bold; "


def to_markdown(tables: Sequence[Table], caution: str | None = None) -> str:
    """Write the tables as Markdown, a heading over each, below what is to be known before they are compared."""
    parts = [f"{_escape_markdown(caution)}\n"] if caution else []
    for table in tables:
        heads = [_escape_markdown(f"{column.title} {column.better.arrow}") for column in table.columns]
        lines = [["run", *heads], ["---", *["---:"] * len(heads)]]
        lines += [[_escape_markdown(row.label), *map(_markdown, row.cells)] for row in table.rows]
        notes = [text for note in table.notes for text in ("", _escape_markdown(note))]
        parts.append("\n".join([f"## {table.title}", "", *(f"| {' | '.join(line)} |" for line in lines), *notes, ""]))
    return "\n".join([*parts, _note(tables), ""])


def to_latex(tables: Sequence[Table], caution: str | None = None) -> str:
    """Write the tables as LaTeX, one `tabular` each; they need the package `booktabs`. See `to_markdown`."""
    parts = [f"% {_note(tables)}", *([_latex_note(caution)] if caution else [])]
    for table in tables:
        heads = [_escape_latex(f"{column.title} {column.better.arrow}") for column in table.columns]
        rows = [[_escape_latex(row.label), *map(_latex, row.cells)] for row in table.rows]
        head, *body = (f"{' & '.join(line)} \\\\" for line in [["", *heads], *rows])
        rules = [f"\\begin{{tabular}}{{l{'r' * len(heads)}}}", r"\toprule", head, r"\midrule", *body]
        notes = map(_latex_note, table.notes)
        parts.append("\n".join([f"% {table.title}", *rules, r"\bottomrule", r"\end{tabular}", *notes]))
    return "\n\n".join(parts) + "\n"


def _note(tables: Sequence[Table]) -> str:
    marked = any(cell.best for table in tables for row in table.rows for cell in row.cells)
    return (BEST if marked else "") + NOTE


def _latex_note(text: str) -> str:
    return f"\\par\\noindent{{\\footnotesize {_escape_latex(text)}}}"


def _markdown(cell: Cell) -> str:
    value = f"**{cell.value}**" if cell.best else cell.value
    return value + (f" ± {cell.error}" if cell.error else "") + _beside(cell)


def _latex(cell: Cell) -> str:
    value = f"\\textbf{{{cell.value}}}" if cell.best else _escape_latex(cell.value)
    return value + (f" $\\pm$ {cell.error}" if cell.error else "") + _beside(cell)


def _beside(cell: Cell) -> str:
    """What stands beside a value: what it should be, what a paper reports, and what is not in it."""
    level = f", should be {cell.level}" if cell.level else ""
    left_out = f", {cell.infinite} infinite, left out" if cell.infinite else ""
    return level + (f" ({cell.reported})" if cell.reported else "") + left_out


def _escape_markdown(text: str) -> str:
    return re.sub(r"([\\`*_|<\[\]])", r"\\\1", text.strip())


def _escape_latex(text: str) -> str:
    return "".join(LATEX.get(sign, sign) for sign in text.strip())
