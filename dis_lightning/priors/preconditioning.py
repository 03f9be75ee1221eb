"""From a raw network to an estimate of the clean image.

Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", 2022, equation 7, with the time
input of the networks published with "Consistency Models" (Song et al., 2023):

    D(x_t, sigma) = c_skip x_t + c_out F(c_in x_t, 250 ln sigma, y),    c_in = 1 / sqrt(sigma^2 + sigma_data^2)

`c_skip` and `c_out` say what the network was trained for, and are left to the two leaves, `EDM` and `ConsistencyModel`.
"""

import copy
import math
from abc import abstractmethod
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError, require_numbers
from dis_lightning.priors.base import Denoiser, per_image
from dis_lightning.priors.blocks import fuse
from dis_lightning.priors.computing import Compile, keep_compiled
from dis_lightning.priors.graphs import Replayed
from dis_lightning.priors.pretrained import PretrainedUNet
from dis_lightning.priors.unet import UNet
from dis_lightning.weights import Precision, as_dtype

__all__ = ["Preconditioned"]


class Preconditioned(Denoiser):
    """A raw network between scaled input and scaled output.

    Args:
        network: the raw network; or where to find a trained one: a card name, a file, a folder or a hub id (see
            `load_network`). One that is found is read on first use, or when `load` is called.
        clip: whether to clamp the estimates to [-1, 1]. Pixels that are clamped pass no gradient.
        dtype: precision of the torso of a network that is found; None for float32.
        sigma_data: standard deviation of the data that the network was trained with.
        compile: what saves the host work and the GPU memory traffic: "default" for kernels that `torch.compile`
            writes, "cuda_graphs" for kernels that are recorded once and replayed, "both" for the former replayed; None
            for neither. On a CPU nothing is replayed. A network that is built already is compiled in place.
        fused: whether a frozen network on a GPU takes the fused layers of this package, with channels last; see
            `blocks.fuse`. A network that is built already is changed in place.

    Attributes:
        labels: the bound class labels, `(N,)`, or None.

    Raises:
        ValueError: if `dtype` is given for a network that is built already, if `sigma_data` is not positive, or if the
            place of the network says that it was trained for the other kind of prior.
        FileNotFoundError: if nothing is known under the name of the network.
    """

    def __init__(
        self,
        # With `Path` among the types, a file named on the command line is not opened there, as a configuration.
        network: UNet | str | Path,
        clip: bool = False,
        dtype: Precision | None = None,
        sigma_data: float = 0.5,
        compile: Compile | None = None,
        fused: bool = False,
    ) -> None:
        super().__init__()
        require_numbers(self, sigma_data=sigma_data)
        if not 0 < sigma_data < math.inf:
            raise InvalidValueError(f"{type(self).__name__} needs a finite sigma_data > 0, but got {sigma_data}.")
        if dtype is not None and not isinstance(network, str | Path):
            raise InvalidValueError(
                "This network is built already and keeps its precision: give dtype to UNet or load_network."
            )
        self.network = self._named(network, dtype) if isinstance(network, str | Path) else network
        self.shape = self.network.shape
        self.num_classes = self.network.num_classes
        self.clip = clip
        self.sigma_data = sigma_data
        self.labels: Tensor | None = None
        if fused:
            self.network.prepare(fuse) if isinstance(self.network, PretrainedUNet) else fuse(self.network)
        if compile in ("default", "both"):
            keep_compiled()
            self.compile(fullgraph=True, dynamic=False)
        self._replayed = Replayed(self.network) if compile in ("cuda_graphs", "both") else None

    @abstractmethod
    def scalings(self, sigma: float | Tensor) -> tuple[float | Tensor, float | Tensor]:
        """Give `c_skip` and `c_out` at noise levels, a float or anything that multiplies images."""

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the network in place; arguments as in `torch.compile`.

        The network alone, because a noise level given as a float would be compiled in, and compiled anew at each level.
        """
        self.network.compile(*args, **kwargs)

    def forward(self, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        """Estimate the clean images; see `Denoiser`.

        Raises:
            ValueError: if the images do not fit the network, if classes are needed and none are bound, or if a noise
                level given as a float is not positive.
        """
        level = per_image(sigma, x_t)
        c_skip, c_out = self.scalings(level)
        c_in = 1 / (level**2 + self.sigma_data**2) ** 0.5
        labels = [] if self.labels is None else [self.labels.to(x_t.device)]
        output = (self._replayed or self.network)(c_in * x_t, _time(sigma, x_t), *labels)
        x_0: Tensor = c_skip * x_t + c_out * output.to(x_t.dtype)
        return x_0.clamp(-1, 1) if self.clip else x_0

    def given(self, labels: Tensor) -> Self:
        """Bind class labels, `(N,)`; the network is shared, not copied.

        Raises:
            ValueError: if the network is not class-conditional, or a label is no class of it.
        """
        if self.num_classes is None:
            return super().given(labels)
        if labels.ndim != 1 or labels.is_floating_point() or not ((labels >= 0) & (labels < self.num_classes)).all():
            raise InvalidValueError(
                f"{type(self).__name__} takes one integer label per image, (N,), in 0 .. {self.num_classes - 1}, "
                f"but got {tuple(labels.shape)} of {labels.dtype} with values {labels.tolist()}."
            )
        bound = copy.copy(self)
        bound.labels = labels
        return bound

    def _named(self, source: str | Path, dtype: Precision | None) -> PretrainedUNet:
        network = PretrainedUNet(source, as_dtype(dtype or torch.float32))
        if None not in (network.kind, self.kind) and network.kind != self.kind:
            wrapper = _WRAPPERS.get(str(network.kind), "another kind of prior")
            raise InvalidValueError(
                f"The network of {source} was trained to give a {network.kind}, which {type(self).__name__} would take "
                f"for a {self.kind}: results would look ordinary and be wrong. It is for {wrapper}."
            )
        return network


_WRAPPERS = {"posterior mean": "EDM", "consistency map": "ConsistencyModel"}


def _time(sigma: float | Tensor, x_t: Tensor) -> Tensor:
    """`250 ln sigma` for each image, `(N,)`, in float32; a float does not make the host wait for the device."""
    if isinstance(sigma, Tensor):
        return 250 * sigma.to(x_t.device, torch.float32).log().reshape(-1).expand(len(x_t))
    if sigma <= 0:
        raise InvalidValueError(f"A network denoises at sigma > 0, but got {sigma}.")
    return torch.full((len(x_t),), 250 * math.log(sigma), device=x_t.device)
