"""The run folder: what a run leaves on a disk, and how it is read again."""

from dis_lightning.runs.evaluation import evaluate
from dis_lightning.runs.finished import Run, read_runs
from dis_lightning.runs.folder import RunFolder

__all__ = ["Run", "RunFolder", "evaluate", "read_runs"]
