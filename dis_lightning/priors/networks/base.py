"""The contract of the raw networks behind an EDM or a consistency model: `F(x, t, y)`."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from dis_lightning.described import Described
from dis_lightning.errors import InvalidValueError, require_numbers, require_whole
from dis_lightning.priors.networks.sizes import height_and_width, level_heights

__all__ = ["RawNetwork", "TimeInput", "precision"]

TimeInput = Literal["250 ln sigma", "ln sigma / 4"]
"""What a network takes for the noise level: the first in the code of "Consistency Models" (Song et al., 2023), the
second in that of "Elucidating the Design Space of Diffusion-Based Generative Models" (Karras et al., 2022)."""


class RawNetwork(Described, nn.Module, ABC):
    """A network between scaled images and scaled estimates, and what it was trained to be given.

    Args:
        given: the arguments of the constructor, as its `locals()` at its beginning. They have `image_size`,
            `in_channels`, `out_channels`, `num_classes`, `channel_mult`, `attention_resolutions`, `time_input` and
            `sigma_data`.

    Attributes:
        arguments: those of the arguments that decide keys, shapes and results. A copy with the same ones takes the same
            weights.
        shape: shape of one image that it was made for, `(in_channels, height, width)`.
        out_channels: channels of the raw output.
        num_classes: number of classes of a class-conditional network, else None.
        reduction: total down-sampling, of which the height and width of images are multiples.
        time_input: what the network takes for the noise level.
        sigma_data: standard deviation of the data that it was trained with.

    Raises:
        ValueError: if the arguments do not fit each other.
    """

    def __init__(self, given: dict[str, Any]) -> None:
        super().__init__()
        arguments: dict[str, Any] = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in given.items()
            if name not in ("self", "__class__", "dropout", "dtype")
        }
        size = height_and_width(self, arguments["image_size"])
        # As files keep it: one number where images are square, or a list.
        self.arguments: dict[str, Any] = {**arguments, "image_size": size[0] if size[0] == size[1] else list(size)}
        levels = arguments["channel_mult"]
        self._check_arguments(size, len(levels), arguments["attention_resolutions"])
        self.shape: tuple[int, ...] = (arguments["in_channels"], *size)
        self.out_channels: int = arguments["out_channels"]
        self.num_classes: int | None = arguments["num_classes"]
        self.reduction = 2 ** (len(levels) - 1)
        self.time_input: TimeInput = arguments["time_input"]
        self.sigma_data: float = arguments["sigma_data"]

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """Precision of the torso."""

    @abstractmethod
    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """Evaluate the network.

        Args:
            x: scaled noisy images, `(N, in_channels, H, W)`, with H and W multiples of `reduction`.
            t: raw time input, `(N,)`: what `time_input` says. Any float.
            y: class labels, `(N,)`, integers in 0 .. num_classes - 1; None for a network without classes.

        Returns:
            The raw output, `(N, out_channels, H, W)`, in float32.

        Raises:
            ValueError: if the image size does not fit, or labels are missing or not wanted.
        """

    def _check_arguments(self, size: tuple[int, int], levels: int, attention_resolutions: Sequence[int]) -> None:
        counts = {name: self.arguments[name] for name in _COUNTS if name in self.arguments}
        require_whole(self, 1, **counts)
        require_numbers(self, sigma_data=self.arguments["sigma_data"])
        if levels == 0 or any(side % 2 ** (levels - 1) for side in size):
            raise InvalidValueError(
                f"image_size={self.arguments['image_size']} cannot be halved at each of the {levels} levels of "
                f"channel_mult: it must be a multiple of {2 ** max(levels - 1, 0)}."
            )
        heights = level_heights(self.arguments)
        if strangers := set(attention_resolutions) - set(heights):
            raise InvalidValueError(
                f"attention_resolutions must be among the levels' heights {heights}, but got {sorted(strangers)}."
            )
        if (time := self.arguments["time_input"]) not in get_args(TimeInput):
            raise InvalidValueError(f"time_input must be one of {', '.join(get_args(TimeInput))}, but got {time!r}.")

    def _check_inputs(self, x: Tensor, y: Tensor | None) -> None:
        if x.ndim != 4 or x.shape[1] != self.shape[0] or x.shape[2] % self.reduction or x.shape[3] % self.reduction:
            raise InvalidValueError(
                f"This network takes images (N, {self.shape[0]}, H, W) with H and W multiples of {self.reduction}, "
                f"but got {tuple(x.shape)}. It was made for {self.shape}: resize or crop the images, or "
                "set the prior's image_size."
            )
        if (y is None) != (self.num_classes is None):
            raise InvalidValueError(
                "This network is not class-conditional and takes no labels, but got some."
                if self.num_classes is None
                else f"This network is class-conditional: give labels in 0 .. {self.num_classes - 1}."
            )
        if y is not None and y.shape != x.shape[:1]:
            raise InvalidValueError(
                f"Each of the {len(x)} images needs one label, but the labels have shape {tuple(y.shape)}."
            )


def precision(module: nn.Module) -> torch.dtype:
    """The type of the parameters of a module that has one type."""
    return next(module.parameters()).dtype


_COUNTS = (
    "model_channels",
    "num_res_blocks",
    "channel_mult_emb",
    "channel_mult_noise",
    "num_heads",
    "min_channels_per_group",
    "in_channels",
    "out_channels",
)
