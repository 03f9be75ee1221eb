"""The page that a person reads: runs side by side, in one file."""

from dis_lightning.report.page import report

__all__ = ["report"]
