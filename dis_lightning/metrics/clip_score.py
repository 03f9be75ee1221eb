"""How well the samples fit words: CLIP score."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError
from dis_lightning.metrics.base import Direction, ImageMetric, Value
from dis_lightning.metrics.networks.clip import CLIPFeatures
from dis_lightning.metrics.per_sample import over_samples
from dis_lightning.operators.base import TextOperator
from dis_lightning.operators.texts import texts
from dis_lightning.solvers.base import Solver
from dis_lightning.types import Reconstruction

__all__ = ["CLIPScore"]


class CLIPScore(ImageMetric):
    """`100 max(cos, 0)` of the angle between the CLIP embeddings of a sample and of its words, `clip_score`.

    Hessel et al., "CLIPScore", 2021, without their factor 2.5, as most libraries have it. For every image the mean over
    its samples; diverged ones are left out.

    Args:
        clip: the network; by default ViT-L/14 of OpenAI.
        text: the words for all images; by default the captions that were measured.
    """

    section: ClassVar[str] = "consistency"
    values: ClassVar[dict[str, Value]] = {"clip_score": Value("CLIP score", Direction.HIGHER)}

    def __init__(self, clip: CLIPFeatures | None = None, text: str | None = None) -> None:
        super().__init__()
        self.clip = CLIPFeatures() if clip is None else clip
        self.text = text

    def prepare(self, solver: Solver, device: torch.device) -> None:
        """See `Metric.prepare`."""
        if self.text is None and not isinstance(solver.operator, TextOperator):
            raise InvalidValueError(
                f"CLIPScore needs words, but {type(solver.operator).__name__} does not measure any; give it a text, or "
                "take it out of the callbacks."
            )
        known = solver.operator.known if isinstance(solver.operator, TextOperator) else ()
        self.clip.require([self.text] if self.text is not None else list(known))
        self.clip.load(device)

    def measure(self, reconstruction: Reconstruction, solver: Solver) -> dict[str, Tensor]:
        """See the class."""
        samples, device = reconstruction.draws.samples, reconstruction.device
        captions = texts(reconstruction.measurement, len(samples)) if self.text is None else [self.text] * len(samples)
        words = self.clip.words(captions, device).repeat_interleave(samples.shape[1], dim=0)
        images = self.clip.rows(samples.flatten(0, 1).to(device))
        cosines = (images * words.float().cpu()).sum(dim=1)
        return over_samples("clip_score", 100 * cosines.clamp(min=0), reconstruction)

    def define(self, name: str) -> dict[str, Any]:
        """See `Metric.define`."""
        words = "the measured captions" if self.text is None else self.text
        return {"what": "100 max(cos, 0) of CLIP embeddings of samples and words", "text": words, **self.clip.define()}
