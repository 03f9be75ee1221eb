"""Guidance by words: how well a picture fits a text, by CLIP.

With the unit vectors `f` of pictures and `t` of texts, and the scale `a` that the network was trained with,

    distance = 1 - <f(x_0), t(y)>,    energy = a (1 - <f(x_0), t(y)>)

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021. CLIP is trained so that
among the texts of a batch `p(y | x_0)` is proportional to `exp(a <f(x_0), t(y)>)`. The energy is its negative logarithm
where the sum over all texts there are, which depends on the image and cannot be computed, is taken as constant. The
squared distance `|f - t|^2` of other works is twice ours. The networks are those of `open_clip`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dis_lightning.errors import InvalidValueError, UnreachableError
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import TextOperator
from dis_lightning.operators.published_input import prepared
from dis_lightning.operators.texts import read_texts, require_texts, text_of_each, texts
from dis_lightning.types import Measurement
from dis_lightning.weights import read_clip

__all__ = ["CLIPText"]


class CLIPText(TextOperator):
    """A text that the picture is to fit; `y` is a list of B texts, which do not come from the image.

    Args:
        text: the text of all images.
        file: or else a file of texts, line i for image i of the data.
        name: a network of `open_clip`, such as "ViT-L-14-quickgelu", or "local-dir:" and a folder.
        pretrained: a name of its published weights, such as "openai", or a file of them; None where the name is a
            folder, which has them.
        antialias: see `prepared`.
        dtype: precision of the network.

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
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        if bool(text) == bool(file):
            raise InvalidValueError(
                f"CLIPText needs either a text or a file of texts, but got text={text!r} and file={file}."
            )
        self.text, self.file = text, file
        self.name, self.pretrained = name, pretrained
        self.antialias = antialias
        self.dtype = dtype
        self._lines: tuple[str, ...] = ()
        self._network: nn.Module | None = None
        self._tokenizer: Any = None
        self._told: dict[str, Tensor] = {}

    @torch.inference_mode(False)  # weights made in inference mode could never serve a gradient
    def load(self, device: torch.device | str = "cpu") -> None:
        """See `Operator`.

        Raises:
            FileNotFoundError: if the file of texts is not here.
            ValueError: if a text is too long.
        """
        if self._network is None:
            network = read_clip(self.name, self.pretrained)
            self._tokenizer = self._read_tokenizer()
            self._lines = read_texts(self.file) if self.file else (str(self.text),)
            self._tokens(self._lines)
            self._network = network.to(device, self.dtype).requires_grad_(False).eval()

    def require(self, names: Sequence[str]) -> None:
        """See `Operator.require`."""
        if self.file:
            require_texts(self._lines, len(names))

    def forward(self, x_0: Tensor) -> Tensor:
        """Unit vectors of pictures, `(B, D)`."""
        network = self._ready(x_0)
        wants = network.visual.preprocess_cfg
        size = wants["size"]
        height, width = (size, size) if isinstance(size, int) else size
        v = prepared(x_0, (height, width), tuple(wants["mean"]), tuple(wants["std"]), self.antialias, self.dtype)
        features: Tensor = network.encode_image(v, normalize=True)
        return features.to(x_0.dtype)

    def measure(self, x_0: Tensor, noise: NoiseSource) -> list[str]:
        """The text of each image."""
        self.load(x_0.device)
        return text_of_each(self._lines, noise) if self.file else [self._lines[0]] * len(x_0)

    def distance(self, x_0: Tensor, y: Measurement) -> Tensor:
        """`1 - cos`, per image, in [0, 2]."""
        cosines: Tensor = (self(x_0) * self._vectors(texts(y, len(x_0)), x_0)).sum(dim=1)
        return 1 - cosines

    def energy(self, x_0: Tensor, y: Measurement) -> Tensor:
        """`a (1 - cos)`, per image. See the module for what it leaves out."""
        scale: Tensor = self._ready(x_0).logit_scale.exp().to(x_0.dtype)
        return scale * self.distance(x_0, y)

    def _ready(self, x_0: Tensor) -> Any:
        self.load(x_0.device)
        return self._network

    @torch.inference_mode(False)
    @torch.no_grad()
    def _vectors(self, wanted: list[str], x_0: Tensor) -> Tensor:
        network = self._ready(x_0)
        for text in set(wanted) - set(self._told):  # the same at every step: read once
            self._told[text] = network.encode_text(self._tokens([text]).to(x_0.device), normalize=True)[0]
        return torch.stack([self._told[text] for text in wanted]).to(x_0)

    def _tokens(self, wanted: tuple[str, ...] | list[str]) -> Tensor:
        limit = self._tokenizer.context_length
        # What does not fit is cut off without a word; one more place shows whether something was.
        filler = self._tokenizer([""], context_length=limit + 1)[0, -1]
        long = self._tokenizer(list(wanted), context_length=limit + 1)[:, -1] != filler
        if long.any():
            text = wanted[int(long.nonzero()[0])]
            raise InvalidValueError(
                f"A text for {self.name} may have {limit} tokens, but {text!r} has more; make it shorter."
            )
        tokens: Tensor = self._tokenizer(list(wanted))
        return tokens

    def _read_tokenizer(self) -> Any:
        import open_clip

        try:
            return open_clip.get_tokenizer(self.name)
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).partition("\n")[0]
            raise UnreachableError(
                f"The tokenizer of {self.name} could not be read ({reason}). Without a network, download its whole "
                "repository elsewhere and give `local-dir:` and its folder as `name`."
            ) from error
