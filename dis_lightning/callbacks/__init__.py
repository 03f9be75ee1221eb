"""Callbacks that go with a run: the writer of its folder, films, progress, and clean ends."""

from dis_lightning.callbacks.progress import SamplingProgress
from dis_lightning.callbacks.running import RunningMeans
from dis_lightning.callbacks.termination import Termination
from dis_lightning.callbacks.trajectory import Trajectory
from dis_lightning.callbacks.writer import Writer

__all__ = ["RunningMeans", "SamplingProgress", "Termination", "Trajectory", "Writer"]
