"""Features of CLIP, for images and for words, of one length each.

Images are resized, cut or squashed to a square and normalised as in the network's training; see `CLIP`. Radford et al.,
"Learning Transferable Visual Models From Natural Language Supervision", 2021; the networks are those of open_clip.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from dis_lightning.digests import weights_digest
from dis_lightning.metrics.networks.base import FeatureNetwork
from dis_lightning.weights import CLIP

__all__ = ["CLIPFeatures"]


class CLIPFeatures(FeatureNetwork):
    """Embeddings of images and words, of unit length; see the module.

    Args:
        model: an architecture of open_clip, or "local-dir:" and a folder.
        pretrained: a tag of open_clip for it, or a file with its weights; None where the name is a folder.
        preprocessing: how the network wants its images, where nothing else says it; see `CLIP`.

    Raises:
        FileNotFoundError: if the file is not there.
        ValueError: if open_clip knows no such architecture, or no tag of that name, or if nothing says how the network
            wants its images.
    """

    name: ClassVar[str] = "clip"
    network: CLIP

    def __init__(
        self,
        model: str = "ViT-L-14-quickgelu",
        pretrained: str | None = "openai",
        preprocessing: str | dict[str, Any] | None = None,
    ) -> None:
        self.model = model
        self.pretrained = pretrained
        self.preprocessing = preprocessing
        self.network = CLIP(model, pretrained, preprocessing)
        self.network.check()

    def features(self, images: Tensor) -> Tensor:
        """See `FeatureNetwork.features`."""
        return self.network.pictures(images.float() / 255, clamp=True)

    def require(self, texts: list[str]) -> None:
        """Refuse texts that are longer than what the network reads.

        Raises:
            ValueError: if one is longer.
        """
        self.network.require(texts)

    def words(self, texts: list[str], device: torch.device | str = "cpu") -> Tensor:
        """Embeddings of texts, `(N, D)`.

        Raises:
            ValueError: if one is longer than what the network reads.
        """
        return self.network.words(texts, device)

    def define(self) -> dict[str, Any]:
        """See `FeatureNetwork.define`."""
        weights = "" if self.pretrained is None else f", {Path(self.pretrained).name}"
        return {
            "network": f"CLIP {self.model}{weights}, open_clip " + version("open_clip_torch"),
            "weights_tensors_sha256": weights_digest(self.network.load()),
            "resize": self.network.describe(),
        }
