"""Guidance by words: how well a picture fits a text, by CLIP.

With the unit vectors `f` of pictures and `t` of texts, and the scale `a` that the network was trained with,

    distance = 1 - <f(x_0), t(y)>,    energy = a (1 - <f(x_0), t(y)>)

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021. CLIP is trained so that
among the texts of a batch `p(y | x_0)` is proportional to `exp(a <f(x_0), t(y)>)`. The energy is its negative logarithm
where the sum over all texts there are, which depends on the image and cannot be computed, is taken as constant. The
squared distance `|f - t|^2` of other works is twice ours. The networks are those of `open_clip`.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import TextOperator
from dis_lightning.operators.texts import read_texts, require_texts, text_of_each, texts
from dis_lightning.types import Measurement
from dis_lightning.weights import CLIP, Precision

__all__ = ["CLIPText"]


class CLIPText(TextOperator):
    """A text that the picture is to fit; `y` is a list of B texts, which do not come from the image.

    Args:
        text: the text of all images.
        file: or else a file of texts, line i for image i of the data.
        name: a network of `open_clip`, such as "ViT-L-14-quickgelu", or "local-dir:" and a folder; see `CLIP`.
        pretrained: a name of its published weights, such as "openai", or a file of them; None where the name is a
            folder, which has them.
        antialias: whether pictures are resized as PIL does, by which the networks were trained: the filter widens where
            an image gets smaller.
        dtype: precision of the network.
        preprocessing: how the network wants its pictures, where nothing else says it; see `CLIP`.

    Raises:
        ValueError: if there is not either a text or a file.
    """

    def __init__(
        self,
        text: str | None = None,
        file: Path | None = None,
        name: str = "ViT-L-14-quickgelu",
        pretrained: str | None = "openai",
        antialias: bool = True,
        dtype: Precision = torch.float32,
        preprocessing: str | dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if bool(text) == bool(file):
            raise InvalidValueError(
                f"CLIPText needs either a text or a file of texts, but got text={text!r} and file={file}."
            )
        self.text, self.file = text, file
        self.name, self.pretrained, self.preprocessing = name, pretrained, preprocessing
        self.antialias = antialias
        self.clip = CLIP(name, pretrained, preprocessing, dtype)
        self.dtype = self.clip.dtype
        self._told: dict[str, Tensor] = {}

    @cached_property
    def known(self) -> tuple[str, ...]:
        """See `TextOperator.known`."""
        return read_texts(self.file) if self.file else (str(self.text),)

    def require(self, names: Sequence[str]) -> None:
        """See `Operator.require`."""
        if self.file:
            require_texts(self.known, len(names))

    def load(self, device: torch.device | str = "cpu") -> None:
        """See `Operator.load`.

        Raises:
            FileNotFoundError: if the file of texts is not here.
            ValueError: if a text is too long.
        """
        self.clip.check()
        self.clip.require(self.known)
        super().load(device)

    def forward(self, x_0: Tensor) -> Tensor:
        """Unit vectors of pictures, `(B, D)`."""
        return self.clip.pictures((x_0 + 1) / 2, self.antialias).to(x_0.dtype)

    def measure(self, x_0: Tensor, noise: NoiseSource) -> list[str]:
        """The text of each image."""
        self.load(x_0.device)
        return text_of_each(self.known, noise) if self.file else [self.known[0]] * len(x_0)

    def distance(self, x_0: Tensor, y: Measurement) -> Tensor:
        """`1 - cos`, per image, in [0, 2]."""
        cosines: Tensor = (self(x_0) * self._vectors(texts(y, len(x_0)), x_0)).sum(dim=1)
        return 1 - cosines

    def energy(self, x_0: Tensor, y: Measurement) -> Tensor:
        """`a (1 - cos)`, per image. See the module for what it leaves out."""
        network: Any = self.clip.ready(x_0)
        scale: Tensor = network.logit_scale.exp().to(x_0.dtype)
        return scale * self.distance(x_0, y)

    @torch.inference_mode(False)
    def _vectors(self, wanted: list[str], x_0: Tensor) -> Tensor:
        for text in set(wanted) - set(self._told):  # the same at every step: read once
            self._told[text] = self.clip.words([text], x_0.device)[0]
        return torch.stack([self._told[text] for text in wanted]).to(x_0)
