"""The run's own sources as a reference."""

import torch
from torch import Tensor

from dis_lightning.metrics.functional.frechet import fit_gaussian
from dis_lightning.metrics.references.base import Known, Looker, Reference

__all__ = ["OwnSources"]


class OwnSources(Reference):
    """The clean images of the run itself."""

    def count(self, own: int) -> int | None:
        """See `Reference`."""
        return own

    def know(self, looker: Looker, own: dict[int, Tensor], digest: str) -> Known:
        """See `Reference`."""
        what = {"reference": "the run's own sources", "reference_digest": digest, "reference_images": len(own)}
        groups = torch.tensor([index for index, row in own.items() for _ in row])
        features = torch.cat(list(own.values()))
        return Known(fit_gaussian(features), features, groups, paired=True, definition=what)
