"""Callbacks: the run folder's writer, metrics of every image, progress, and clean ends."""

from dis_lightning.callbacks.chains import Mixing
from dis_lightning.callbacks.cost import CostPerImage
from dis_lightning.callbacks.fidelity import Fidelity
from dis_lightning.callbacks.metric import ImageMetric
from dis_lightning.callbacks.progress import SamplingProgress
from dis_lightning.callbacks.termination import Termination
from dis_lightning.callbacks.writer import Writer

__all__ = ["CostPerImage", "Fidelity", "ImageMetric", "Mixing", "SamplingProgress", "Termination", "Writer"]
