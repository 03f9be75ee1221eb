"""The run folder: what a run leaves on a disk, and how it is read again."""

from typing import TYPE_CHECKING

from dis_lightning.late import late
from dis_lightning.runs.finished import Run, read_runs

if TYPE_CHECKING:
    from dis_lightning.runs.evaluation import evaluate
    from dis_lightning.runs.folder import RunFolder

__all__ = ["Run", "RunFolder", "evaluate", "read_runs"]

__getattr__ = late(__name__, RunFolder="dis_lightning.runs.folder", evaluate="dis_lightning.runs.evaluation")
