"""Priors around a trained network: what they share, whatever they make of its output."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from dis_lightning.errors import InvalidValueError, require_whole
from dis_lightning.priors.base import Denoiser
from dis_lightning.priors.checkpoints.guided_format import AttentionOrder
from dis_lightning.priors.checkpoints.pretrained import PretrainedNetwork
from dis_lightning.priors.clipping import Clip, require_clip
from dis_lightning.priors.networks.base import RawNetwork
from dis_lightning.priors.networks.blocks import fuse
from dis_lightning.priors.networks.computing import Compile, prepare_compiler
from dis_lightning.priors.networks.graphs import Replayed
from dis_lightning.priors.networks.sizes import ImageSize, other_shape
from dis_lightning.weights import LazyNetwork, Precision, as_dtype

__all__ = ["NetworkPrior"]


class NetworkPrior(Denoiser):
    """A raw network, and what is made of its output.

    Args:
        network: the raw network; or where to find a trained one: a card name, a file, a folder or a hub id (see
            `load_network`). One that is found is read on first use, or when `load` is called.
        clip: whether to clamp the estimates to [-1, 1]. Pixels that are clamped pass no gradient; with
            "straight-through" they pass it as if they were not.
        dtype: precision of the torso of a network that is found; None for float32.
        arguments: how a network that is found is built, where nothing else says it; see `load_network`.
        attention_order: the order of its attention's channels, where nothing else says it; see `load_network`.
        compile: what saves the host work and the GPU memory traffic: "default" for kernels that `torch.compile`
            writes, "cuda_graphs" for kernels that are recorded once and replayed, "both" for the former replayed; None
            for neither. On a CPU nothing is replayed. A network that is built already is compiled in place.
        fused: whether a frozen network on a GPU takes the fused layers of this package, with channels last; see
            `blocks.fuse`. A network that is built already is changed in place.
        micro_batch: how many images pass through the network at a time, >= 1, where memory does not hold them all; None
            for all. The gradient of a part is computed when it is asked for, by another evaluation of that part, so
            that no more than one part is held. Results are the same but for the rounding of kernels.
        image_size: height and width of the images, where they are others than those that the network was made for: one
            number or two, multiples of its `reduction`; None for its own.

    Attributes:
        labels: the bound class labels, `(N,)`, or None.
        gives: what its network has to be trained to give.

    Raises:
        ValueError: if `dtype` or the two after it are given for a network that is built already, if the place of the
            network says that it was trained to give something else, or if the network takes no images of that size.
        FileNotFoundError: if nothing is known under the name of the network.
    """

    gives: ClassVar[str]

    def __init__(
        self,
        # With `Path` among the types, a file named on the command line is not opened there, as a configuration.
        network: RawNetwork | LazyNetwork[Any] | str | Path,
        clip: Clip = False,
        dtype: Precision | None = None,
        arguments: Mapping[str, Any] | None = None,
        attention_order: AttentionOrder | None = None,
        compile: Compile | None = None,
        fused: bool = False,
        micro_batch: int | None = None,
        image_size: ImageSize | None = None,
    ) -> None:
        super().__init__()
        if micro_batch is not None:
            require_whole(self, 1, micro_batch=micro_batch)
            if compile in ("cuda_graphs", "both"):
                raise InvalidValueError(
                    f"{type(self).__name__} needs, with a micro_batch, kernels that are not recorded (compile none or "
                    f"default), but got micro_batch={micro_batch} and compile={compile}."
                )
        self.micro_batch = micro_batch
        if isinstance(network, str | Path):
            self.network: Any = self._named(network, dtype, arguments, attention_order)
        elif (dtype, arguments, attention_order) == (None, None, None):
            self.network = network
        else:
            raise InvalidValueError(
                "This network is built already and keeps its precision, its arguments and the order of its attention: "
                "give dtype, arguments and attention_order to load_network, or dtype to UNet."
            )
        self.shape = self.network.shape if image_size is None else other_shape(self, self.network, image_size)
        self.num_classes = self.network.num_classes
        require_clip(self, clip)
        self.clip = clip
        self.labels: Tensor | None = None
        if fused:
            self.network.prepare(fuse) if isinstance(self.network, PretrainedNetwork) else fuse(self.network)
        if compile in ("default", "both"):
            self.compile(fullgraph=True, dynamic=False)
        self._replayed = Replayed(self.network) if compile in ("cuda_graphs", "both") else None

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the network in place; arguments as in `torch.compile`.

        The network alone, because a noise level given as a float would be compiled in, and compiled anew at each level.
        """
        prepare_compiler()
        self.network.compile(*args, **kwargs)

    def evaluate(self, x: Tensor, t: Tensor) -> Tensor:
        """The network's raw output, in its own precision, for scaled images and its time input, `(N,)`."""
        inputs = [x, t, *([] if self.labels is None else [self.labels.to(x.device)])]
        network = self._replayed or self.network
        if self.micro_batch is None or len(x) <= self.micro_batch:
            output: Tensor = network(*inputs)
            return output
        parts = zip(*(each.split(self.micro_batch) for each in inputs), strict=True)
        if torch.is_grad_enabled() and x.requires_grad:
            return torch.cat([checkpoint(network, *part, use_reentrant=False) for part in parts])
        return torch.cat([network(*part) for part in parts])

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

    def _named(
        self,
        source: str | Path,
        dtype: Precision | None,
        arguments: Mapping[str, Any] | None,
        attention_order: AttentionOrder | None,
    ) -> PretrainedNetwork:
        network = PretrainedNetwork(source, as_dtype(dtype or torch.float32), arguments, attention_order)
        if network.kind not in (None, self.gives):
            wrapper = _WRAPPERS.get(str(network.kind), "another kind of prior")
            raise InvalidValueError(
                f"The network of {source} was trained to give a {network.kind}, which {type(self).__name__} would take "
                f"for a {self.gives}: results would look ordinary and be wrong. It is for {wrapper}."
            )
        return network


_WRAPPERS = {
    "posterior mean": "EDM",
    "consistency map": "ConsistencyModel",
    "prediction of noise": "VP (a file of guided-diffusion) or DiffusersDenoiser (a folder in the format of diffusers)",
}
