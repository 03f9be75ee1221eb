"""Features of CLIP, for images and for words, of one length each.

Images are resized so that the shorter side is the network's, bicubically with antialiasing, cut to a square in the
middle and normalised as in the network's training. Radford et al., "Learning Transferable Visual Models From Natural
Language Supervision", 2021; the networks are those of open_clip.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.functional import center_crop

from dis_lightning.errors import InvalidValueError
from dis_lightning.metrics.networks.base import FeatureNetwork
from dis_lightning.weights import read_clip
from dis_lightning.weights.digests import weights_digest

__all__ = ["CLIPFeatures"]


class CLIPFeatures(FeatureNetwork):
    """Embeddings of images and words, of unit length; see the module.

    Args:
        model: an architecture of open_clip.
        pretrained: a tag of open_clip for it, or a file with its weights.

    Raises:
        ValueError: if open_clip knows no such architecture, or neither a file nor a tag of that name.
    """

    name: ClassVar[str] = "clip"

    def __init__(self, model: str = "ViT-L-14-quickgelu", pretrained: str = "openai") -> None:
        open_clip = _open_clip()
        if model not in open_clip.list_models():
            raise InvalidValueError(f"open_clip knows no model {model!r}; its models: open_clip.list_models().")
        tags = open_clip.list_pretrained_tags_by_model(model)
        if pretrained not in tags and not Path(pretrained).is_file():
            raise InvalidValueError(
                f"{pretrained!r} is neither a file nor a tag of {model}, which are {', '.join(tags)}."
            )
        self.model = model
        self.pretrained = pretrained
        self._network: Any = None

    def load(self, device: torch.device | str = "cpu") -> None:
        """See `FeatureNetwork.load`."""
        if self._network is None:
            self._network = read_clip(self.model, self.pretrained).requires_grad_(False).eval()
        self._network.to(device)

    def features(self, images: Tensor) -> Tensor:
        """See `FeatureNetwork.features`."""
        visual = self._network.visual
        height, width = _pair(visual.image_size)
        scale = max(height / images.shape[2], width / images.shape[3])
        size = [round(side * scale) for side in images.shape[2:]]
        pictures = F.interpolate(images.float() / 255, size, mode="bicubic", antialias=True).clamp(0, 1)
        pictures = center_crop(pictures, [height, width])
        mean, std = (pictures.new_tensor(values)[:, None, None] for values in (visual.image_mean, visual.image_std))
        vectors: Tensor = self._network.encode_image((pictures - mean) / std, normalize=True)
        return vectors

    @torch.no_grad()
    def words(self, texts: list[str], device: torch.device | str = "cpu") -> Tensor:
        """Embeddings of texts, `(N, D)`; what is longer than the network's context is cut off."""
        tokens = _open_clip().get_tokenizer(self.model)(texts).to(device)
        vectors: Tensor = self._network.encode_text(tokens, normalize=True)
        return vectors

    def define(self) -> dict[str, Any]:
        """See `FeatureNetwork.define`."""
        return {
            "network": f"CLIP {self.model}, {Path(self.pretrained).name}, open_clip " + version("open_clip_torch"),
            "weights_tensors_sha256": weights_digest(self._network),
            "resize": f"{self._network.visual.image_size}, bicubic with antialiasing, cut in the middle",
        }


def _open_clip() -> Any:
    import open_clip  # slow to import, for those who ask

    return open_clip


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size
