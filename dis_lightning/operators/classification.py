"""Classification: what a picture shows, by a published classifier, as in section 5 of Xu et al. 2024.

    y = argmax_k f(x_0)_k,    distance = energy = -log softmax(f(x_0))_y

for a classifier `f` that gives logits. The user may also choose a target; then `y` does not come from the image.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from dis_lightning.errors import InvalidValueError, require_whole
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import LabelOperator
from dis_lightning.operators.classifiers import Classifier
from dis_lightning.operators.published_input import IMAGENET_MEAN, IMAGENET_STD, PerChannel, prepared
from dis_lightning.types import Measurement
from dis_lightning.weights import LazyNetwork, Precision, as_dtype

__all__ = ["Classification"]


class Classification(LabelOperator):
    """The class of a picture; `y` is `(B,)`.

    Args:
        classifier: the network, read on first use.
        targets: what is to be seen instead of the class of the image itself: image i of the data gets
            `targets[i mod n]`. One class for all images: `[281]`. The cats of the authors' code, whose target is
            281 + i mod 5: `[281, 282, 283, 284, 285]`.
        size: side that pictures are resized to.
        mean: what pictures in [0, 1] are normalised by. The authors give those of CLIP to a classifier that was
            trained with those of ImageNet: `(0.48145466, 0.4578275, 0.40821073)`.
        std: likewise; the authors' is `(0.26862954, 0.26130258, 0.27577711)`.
        antialias: see `prepared`.
        interpolation: see `prepared`.
        softmax_twice: whether the distance is the cross-entropy of the probabilities, as if they were logits, as in the
            authors' code. For K classes it lies between `log(e + K - 1) - 1` and `log(e + K - 1)`, and its gradient is
            small: step sizes are not those of the logits.
        dtype: precision of the network.

    Attributes:
        network: the classifier's network.

    Raises:
        ValueError: if a target is no class or, when the network is read, if it cannot take pictures of that size.
    """

    def __init__(
        self,
        classifier: Classifier,
        targets: Sequence[int] | None = None,
        size: int = 224,
        mean: PerChannel = IMAGENET_MEAN,
        std: PerChannel = IMAGENET_STD,
        antialias: bool = True,
        interpolation: Literal["bicubic", "bilinear"] = "bicubic",
        softmax_twice: bool = False,
        dtype: Precision = torch.float32,
    ) -> None:
        super().__init__(classifier.classes)
        require_whole(self, 1, size=size)  # most classifiers take 224
        if targets is not None and not (targets and all(0 <= target < len(self.classes) for target in targets)):
            raise InvalidValueError(
                f"Classification needs targets among the classes 0 .. {len(self.classes) - 1}, one or more, but got "
                f"{list(targets)}; leave them out to take the class of the image itself."
            )
        self.classifier = classifier
        self.targets = targets
        self.size = size
        self.mean, self.std = mean, std
        self.antialias = antialias
        self.interpolation: Literal["bicubic", "bilinear"] = interpolation
        self.softmax_twice = softmax_twice
        self.dtype = as_dtype(dtype)
        self.network = LazyNetwork(self._read, classifier)

    def forward(self, x_0: Tensor) -> Tensor:
        """Logits, `(B, K)`."""
        v = prepared(x_0, (self.size, self.size), self.mean, self.std, self.antialias, self.dtype, self.interpolation)
        logits: Tensor = self.network(v)
        return logits.to(x_0.dtype)

    def measure(self, x_0: Tensor, noise: NoiseSource) -> Measurement:
        """The class of each image, or its target, `(B,)`."""
        if self.targets is None:
            return super().measure(x_0, noise)
        chosen = [self.targets[index % len(self.targets)] for index in noise.indices]
        return torch.tensor(chosen, device=x_0.device)

    @torch.no_grad()
    def _read(self) -> nn.Module:
        network = self.classifier.build()
        try:
            network(torch.zeros(1, 3, self.size, self.size))
        except (AssertionError, RuntimeError) as error:
            raise InvalidValueError(
                f"{self.classifier} cannot take pictures of {self.size} x {self.size} pixels ({error}); give "
                "Classification the `size` that it was trained with."
            ) from error
        return network.to(dtype=self.dtype)
