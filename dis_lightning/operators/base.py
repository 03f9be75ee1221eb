"""The contracts of the measurements.

An operator is one measurement with its distance: what was done to the clean image, how noise entered, and how far an
image is from what was measured. All values are per image, `(B,)`; whoever differentiates sums them first, so that
images never touch each other.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dis_lightning.described import Described
from dis_lightning.errors import InvalidTypeError, InvalidValueError, require_not_negative
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.pictures import distinct_colours, painted, pictured, written
from dis_lightning.operators.spectrum import Decomposition
from dis_lightning.operators.texts import texts
from dis_lightning.types import Measurement
from dis_lightning.weights import LazyNetwork, load_networks

__all__ = [
    "GaussianOperator",
    "LabelOperator",
    "LinearOperator",
    "Operator",
    "TextOperator",
    "require_density",
    "require_linear",
    "tensor",
]

BEYOND = 20
"""How many times the numbers of grey, white and speckled images a measurement may be, before it is doubted."""


class Operator(Described, nn.Module, ABC):
    """A measurement of clean images in [-1, 1]."""

    @abstractmethod
    def forward(self, x_0: Tensor) -> Tensor:
        """Measure without noise: `A(x_0)` for images `(B, *shape)`, mostly `(B, 3, H, W)`."""

    @abstractmethod
    def measure(self, x_0: Tensor, noise: NoiseSource) -> Measurement:
        """Measure as the world does, noise included: `y`, one row per image."""

    @abstractmethod
    def distance(self, x_0: Tensor, y: Measurement) -> Tensor:
        """How far images are from the measurement, `(B,)`: what guidance follows, in the papers' convention."""

    @abstractmethod
    def energy(self, x_0: Tensor, y: Measurement) -> Tensor:
        """`-log p(y | x_0)` up to a constant, `(B,)`: what samplers need."""

    def picture(self, y: Measurement) -> Tensor:
        """The measurement as images for people, `(B, 3, h, w)` or grey `(B, 1, h, w)`, in [-1, 1]; see `pictured`."""
        return pictured(y) if isinstance(y, Tensor) else written(texts(y, len(y)))

    def adopt(self, y: Tensor, noise: NoiseSource, shape: tuple[int, ...]) -> Measurement:
        """Take pictures that the world measured as `y`.

        Args:
            y: the pictures, `(B, c, h, w)`, in [-1, 1].
            noise: one stream per image, for what a measurement draws beside its noise.
            shape: shape of the clean images that nobody knows, `(C, H, W)`.

        Raises:
            ValueError: if a picture is no measurement of this kind, or not of this size.
        """
        raise InvalidValueError(
            f"{type(self).__name__} does not measure pictures, so that a picture is no measurement of it; choose an "
            "operator that does, or data of clean images."
        )

    def receive(self, y: Tensor, noise: NoiseSource, shape: tuple[int, ...]) -> Measurement:
        """Take numbers that the world measured as `y`: such as `measure` gives.

        Args:
            y: the numbers, `(B, ...)`.
            noise: one stream per image, for what a measurement draws.
            shape: shape of the clean images that nobody knows, `(C, H, W)`.

        Raises:
            ValueError: if a measurement of such images has another shape or kind of numbers.
        """
        name, like = type(self).__name__, self.measure(torch.zeros(len(y), *shape, device=y.device), noise)
        if not isinstance(like, Tensor):
            raise InvalidValueError(f"{name} measures in words, not in numbers; choose another operator.")
        if y.shape != like.shape or y.is_floating_point() != like.is_floating_point():
            needed, came = (
                f"{tuple(each.shape[1:])} of {'real' if each.is_floating_point() else 'whole'} numbers"
                for each in (like, y)
            )
            raise InvalidValueError(
                f"{name} of an image of shape {shape} gives {needed}, but what was measured is {came}; give arrays of "
                "that shape and kind, or choose another prior or operator."
            )
        if y.is_floating_point() and bool(y.isnan().any()) and not bool(like.isnan().any()):
            raise InvalidValueError(
                f"{name} got measurements with numbers that are none (NaN); leave these images out."
            )
        return y.to(like.dtype)

    def accept(self, shape: tuple[int, ...]) -> None:
        """Refuse images of a shape that cannot be measured; called before anything is read.

        Args:
            shape: shape of one image, mostly `(3, H, W)`.

        Raises:
            ValueError: if such images cannot be measured.
        """

    def load(self, device: torch.device | str = "cpu") -> None:
        """Read the networks of the operator, where it has any; called before anything is sampled.

        Args:
            device: where they are needed.

        Raises:
            ConnectionError: if a file is not here and cannot be downloaded; it says which file to put where.
            ValueError: if a file is damaged or holds another network.
        """
        load_networks(self, device)

    def require(self, names: Sequence[str]) -> None:
        """Refuse a run of images that cannot be measured; called before `load`, so before anything is downloaded.

        Args:
            names: the name of each image of the run, in their order.

        Raises:
            ValueError: if there are too many, or others than were measured.
        """


class GaussianOperator(Operator):
    """`y = A(x_0) + noise_std n` with standard normal `n`.

    Args:
        noise_std: standard deviation of the measurement noise, >= 0, in units of the measurement.

    Raises:
        ValueError: if `noise_std` is negative or not finite.
    """

    def __init__(self, noise_std: float = 0.0) -> None:
        super().__init__()
        require_not_negative(self, noise_std=noise_std)
        self.noise_std = noise_std
        self._received = False

    def accept(self, shape: tuple[int, ...]) -> None:
        """See `Operator.accept`: a grey image is measured, where nothing has to be read for it."""
        reads = type(self).load is not Operator.load or any(isinstance(part, LazyNetwork) for part in self.modules())
        if not reads:
            with torch.no_grad():
                self(torch.zeros(1, *shape, device=_device(self)))

    def measure(self, x_0: Tensor, noise: NoiseSource) -> Tensor:
        """Measure with noise; see `Operator.measure`."""
        y: Tensor = self(x_0)
        return torch.add(y, noise.like(y), alpha=self.noise_std)

    def adopt(self, y: Tensor, noise: NoiseSource, shape: tuple[int, ...]) -> Measurement:
        """See `Operator.adopt`."""
        measured: Tensor = self(torch.zeros(1, *shape, device=y.device))
        if y.shape[1:] != measured.shape[1:]:
            raise InvalidValueError(
                f"{type(self).__name__} of an image of shape {shape} gives {tuple(measured.shape[1:])}, but the "
                f"pictures that were measured have {tuple(y.shape[1:])}; give the data a transform to that size "
                "(--data.transform), or choose another prior or operator."
            )
        return y

    def receive(self, y: Tensor, noise: NoiseSource, shape: tuple[int, ...]) -> Measurement:
        """See `Operator.receive`; a first batch of numbers far beyond those of images in [-1, 1] is warned of."""
        received = tensor(super().receive(y, noise, shape))
        if self._received:
            return received
        self._received = True
        images = torch.randint(2, (4, *shape), generator=torch.Generator().manual_seed(0), device="cpu") * 2.0 - 1
        images[1], images[2], images[3] = 0, 1, images[3] / 2
        # As many at a time as the run has in a batch, which an operator may have been made for.
        batches = images.to(y.device).repeat_interleave(len(y), dim=0).split(len(y))
        largest = max(float(self(batch).nan_to_num().abs().max()) for batch in batches)
        came = float(received.nan_to_num().abs().max())
        if came > BEYOND * (largest + self.noise_std):
            warnings.warn(
                f"Measurements reach {came:.3g}, where {type(self).__name__} takes images in [-1, 1] to {largest:.2g} "
                "or so: are they in other units? 8-bit values u become u / 127.5 - 1.",
                stacklevel=2,
            )
        return received

    def distance(self, x_0: Tensor, y: Measurement) -> Tensor:
        """Euclidean norm of the residual, `|A(x_0) - y|`, per image."""
        norm: Tensor = torch.linalg.vector_norm(self.residual(x_0, y).flatten(1), dim=1)
        return norm

    def energy(self, x_0: Tensor, y: Measurement) -> Tensor:
        """`|A(x_0) - y|^2 / (2 noise_std^2)`, per image.

        Raises:
            ValueError: if the measurement has no noise: its density does not exist then.
        """
        if self.noise_std == 0:
            raise InvalidValueError(
                f"The energy of {type(self).__name__} needs noise_std > 0; set it to the noise assumed."
            )
        return self.residual(x_0, y).flatten(1).square().sum(dim=1) / (2 * self.noise_std**2)

    def picture(self, y: Measurement) -> Tensor:
        """The measurement itself, clamped to [-1, 1], where it is an image in colour or grey; else see `pictured`."""
        values = tensor(y)
        return values.clamp(-1, 1) if values.ndim == 4 and values.shape[1] in (1, 3) else pictured(values)

    def compare(self, x_0: Tensor, y: Measurement) -> tuple[Tensor, Tensor]:
        """`A(x_0)` and `y`, number by number; equal where a measurement says of itself that nothing was seen."""
        return self(x_0), tensor(y)

    def residual(self, x_0: Tensor, y: Measurement) -> Tensor:
        """`A(x_0) - y`, in the shape of a measurement; 0 where a measurement says of itself that nothing was seen.

        Raises:
            ValueError: if `y` has another shape than a measurement of `x_0`.
        """
        measured, seen = self.compare(x_0, y)
        if measured.shape != seen.shape:
            raise InvalidValueError(
                f"{type(self).__name__} measures {tuple(measured.shape)} of images {tuple(x_0.shape)}, but y has "
                f"{tuple(tensor(y).shape)}: give one measurement for each image, of that shape."
            )
        return measured - seen


class LinearOperator(GaussianOperator):
    """A linear measurement `y = A x_0 + noise_std n`.

    Attributes:
        tolerance: singular values below this share of the largest count as 0 in the pseudo-inverse without damping.
    """

    tolerance: float = 1e-6

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """`A^T y`: images `(B, *shape)` with `<A x, y> = <x, A^T y>`."""

    @abstractmethod
    def pseudo_inverse(self, y: Tensor, damping: float = 0.0) -> Tensor:
        """`A^T (A A^T + damping I)^+ y`, in closed form.

        Args:
            y: measurements.
            damping: >= 0. With 0 this is `A^+ y`: the images of least norm among those that explain `y` best. With more
                it is the images with the least `|A x - y|^2 + damping |x|^2`.
        """

    def proximal(self, x: Tensor, y: Tensor, step: float) -> Tensor:
        """The images `z` with the least `|z - x|^2 / 2 + step |A z - y|^2 / 2`.

        By the matrix inversion lemma, `z = x + A^T (A A^T + I / step)^-1 (y - A x)`. With `step = (r / noise_std)^2` it
        is the posterior mean for an image that is known to be `x` up to Gaussian noise of standard deviation `r`.

        Args:
            x: images `(B, 3, H, W)`.
            y: their measurements.
            step: how much the measurement counts, > 0.

        Raises:
            ValueError: if `step` is not positive.
        """
        if not step > 0:
            raise InvalidValueError(f"The proximal step of {type(self).__name__} needs step > 0, but got {step}.")
        return x - self.pseudo_inverse(self.residual(x, y), damping=1 / step)

    def linear(self, x: Tensor, y: Measurement) -> Tensor:
        """`A x`, in the shape of a measurement; 0 where `y` says of itself that nothing was seen."""
        measured, _ = self.compare(x, y)
        return measured

    def decomposition(self, x: Tensor, y: Tensor) -> Decomposition:
        """The singular value decomposition, for images like `x` and the measurement `y`.

        Args:
            x: images `(N, *shape)`, for their size, type and device.
            y: what was measured, which may say itself what of the image was seen.

        Raises:
            ValueError: if it is not known; see `decomposes`.
        """
        raise InvalidValueError(f"The singular value decomposition of {type(self).__name__} is not known.")

    @property
    def decomposes(self) -> bool:
        """Whether `decomposition` is known."""
        return type(self).decomposition is not LinearOperator.decomposition

    def matrix(self, shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> Tensor:
        """The operator as a dense matrix, `(M, D)`, for images of `shape` with D pixels, where its tensors are."""
        size = torch.Size(shape).numel()
        basis = torch.eye(size, dtype=dtype, device=_device(self)).unflatten(1, shape)
        columns: Tensor = self(basis)
        return columns.flatten(1).T


class LabelOperator(Operator):
    """`y = argmax_k A(x_0)_k`: the most likely class, at every position, for an `A` that gives logits.

    With the classes of different positions independent given the image, `p(y | x_0) = prod_i softmax(A(x_0))_(y_i, i)`.
    A subclass gives the logits, `(B, K, *positions)`; there may be no positions: one class for the whole picture.

    Args:
        classes: names of the K classes.
        palette: colours of the classes, `(K, 3)`, 8 bit; by default, colours that are easy to tell apart.

    Attributes:
        softmax_twice: whether the distance takes probabilities for logits, as the code of Xu et al. 2024 does.
    """

    softmax_twice: bool = False

    def __init__(self, classes: Sequence[str], palette: Tensor | None = None) -> None:
        super().__init__()
        self.classes = tuple(classes)
        self.palette = distinct_colours(len(self.classes)) if palette is None else palette
        self._in_range: Tensor | None = None

    def measure(self, x_0: Tensor, noise: NoiseSource) -> Measurement:
        """The most likely classes, `(B, *positions)`."""
        labels: Tensor = self(x_0).argmax(dim=1)
        return labels

    def distance(self, x_0: Tensor, y: Measurement) -> Tensor:
        """Cross-entropy of the classes, its mean over the positions, per image."""
        logits = self(x_0)
        return self._cross_entropy(logits.softmax(dim=1) if self.softmax_twice else logits, y).mean(dim=1)

    def energy(self, x_0: Tensor, y: Measurement) -> Tensor:
        """Cross-entropy of the classes, its sum over the positions, per image."""
        return self._cross_entropy(self(x_0), y).sum(dim=1)

    def picture(self, y: Measurement) -> Tensor:
        """The map of classes in their colours, or the name of the class."""
        labels = tensor(y)
        if labels.ndim == 1:
            return written([self.classes[label] for label in labels.tolist()]).to(labels.device)
        return painted(labels, self.palette)

    def _cross_entropy(self, logits: Tensor, y: Measurement) -> Tensor:
        labels = tensor(y)
        if labels.shape != (len(logits), *logits.shape[2:]):
            raise InvalidValueError(
                f"{type(self).__name__} needs a class for each of {tuple(logits.shape[2:])} positions of "
                f"{len(logits)} images, but got labels of shape {tuple(labels.shape)}: resize the label map."
            )
        if labels is not self._in_range:  # once in a loop: to look makes the host wait for the device
            low, high = (int(label) for label in labels.aminmax())
            if low < 0 or high >= logits.shape[1]:
                raise InvalidValueError(
                    f"{type(self).__name__} needs classes 0 .. {logits.shape[1] - 1}, but got labels from {low} to "
                    f"{high}: give every position one of the classes."
                )
            self._in_range = labels
        return F.cross_entropy(logits, labels.long(), reduction="none").reshape(len(labels), -1)


class TextOperator(Operator):
    """A measurement in words: `y` is a list of B texts."""

    @property
    def known(self) -> Sequence[str]:
        """The texts that may be measured, where they do not come from the images; none where they do."""
        return ()

    @abstractmethod
    def measure(self, x_0: Tensor, noise: NoiseSource) -> list[str]:
        """The text of each image."""


def _device(operator: Operator) -> torch.device | None:
    """Where the tensors of an operator are, if it has any."""
    return next((each.device for each in chain(operator.parameters(), operator.buffers())), None)


def require_density(owner: object, operator: Operator) -> None:
    """Refuse a measurement without noise where its density `p(y | x_0)` is needed.

    Args:
        owner: who needs it.
        operator: what is measured.

    Raises:
        ValueError: if the measurement has no noise: its density does not exist then.
    """
    if isinstance(operator, GaussianOperator) and operator.noise_std == 0:
        raise InvalidValueError(
            f"{type(owner).__name__} needs noise on the measurement, but {type(operator).__name__} has noise_std=0; "
            "set it to the noise assumed."
        )


def require_linear(owner: object, operator: Operator) -> LinearOperator:
    """Refuse an operator that is not linear.

    Raises:
        TypeError: if it is not; it says what takes any operator.
    """
    if not isinstance(operator, LinearOperator):
        raise InvalidTypeError(
            f"{type(owner).__name__} needs a LinearOperator as `operator`, but got {type(operator).__name__}: take "
            "DPS, LGD or DAPS, which take any operator, or another operator."
        )
    return operator


def tensor(y: Measurement) -> Tensor:
    """The measurement as a tensor, where it has to be one.

    Raises:
        TypeError: if it is anything else, such as a list of captions.
    """
    if not isinstance(y, Tensor):
        raise InvalidTypeError(f"A measurement of this kind is a tensor, but got {type(y).__name__}.")
    return y
