"""The contract of every solver: a sampling loop, and one straight line from a batch of images to posterior samples.

    noise = NoiseSource(seed, index)  ->  y = operator.measure(image, noise)  ->  solve(y, noise)  ->  Reconstruction

Inside a loop there is one row per posterior sample: S samples of B images are N = B * S rows, image by image. Where a
row gives several samples, as a Markov chain does, there are fewer rows; the samples stay in the same order.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

import lightning
import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from dis_lightning.data.base import data_of
from dis_lightning.described import Described
from dis_lightning.errors import InvalidTypeError, InvalidValueError, require_whole
from dis_lightning.images import GREY_LEVEL, quantise
from dis_lightning.levels import Levels
from dis_lightning.meters import CostMeter
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import Operator
from dis_lightning.priors.base import Denoiser, Kind, require_kind, require_levels
from dis_lightning.solvers.batches import require_batch
from dis_lightning.solvers.rehearsal import StandIn, is_own, rehearse, rehearse_solver
from dis_lightning.types import Batch, Draws, Measurement, Reconstruction, State, repeat

__all__ = ["Solver"]


class Solver(Described, lightning.LightningModule, ABC):
    """Posterior sampling of images given a measurement.

    Args:
        operator: what is measured.
        denoiser: the prior.
        num_samples: number of posterior samples per image, S >= 1.
        seed: the run's seed, >= 0; all noise is keyed by it and by the image's index.

    Attributes:
        prior_kind: the kind of prior that the solver's equations are for; None where both will do.
        observers: called with the state after every step; they look on and change nothing.
        rows_per_image: number of rows in the loop per image: `num_samples` unless a row gives several samples.
        recall: given the indices of a batch, gives its draws where a run folder has them, else None.

    Raises:
        TypeError: if the operator or the denoiser is missing or of another kind.
        ValueError: if `num_samples` is below 1, `seed` is negative, the operator cannot measure the prior's images, or
            the prior is known to be of another kind.
    """

    prior_kind: ClassVar[Kind | None] = None
    levels: Levels

    def __init__(self, operator: Operator, denoiser: Denoiser, *, num_samples: int = 1, seed: int = 0) -> None:
        super().__init__()
        self._require("operator", operator, Operator)
        self._require("denoiser", denoiser, Denoiser)
        require_whole(self, 1, num_samples=num_samples)
        require_whole(self, 0, seed=seed)
        shape = getattr(denoiser, "shape", None)
        if not isinstance(shape, tuple) or not shape or not all(isinstance(side, int) for side in shape):
            raise InvalidValueError(
                f"{type(denoiser).__name__} must have a `shape`, a tuple (C, H, W) of whole numbers, but has {shape!r}."
            )
        operator.accept(shape)  # before anything is read
        if self.prior_kind is not None:
            require_kind(self, "denoiser", denoiser, self.prior_kind)
        self.operator = operator
        self.denoiser = denoiser
        self.num_samples = num_samples
        self.rows_per_image = num_samples
        self.seed = seed
        self.observers: list[Callable[[State], None]] = []
        self.recall: Callable[[Tensor], Draws | None] | None = None
        self.requires_grad_(False).eval()  # Priors and operators are used as they are, never trained.

    @abstractmethod
    def iterate(self, y: Measurement, noise: NoiseSource) -> Iterator[State]:
        """Walk the sampling loop, one state per step.

        Args:
            y: what was measured, one entry per row.
            noise: one stream per row.
        """

    def solve(self, y: Measurement, noise: NoiseSource, labels: Tensor | None = None) -> Tensor:
        """Draw posterior samples.

        Args:
            y: measurements of B images, as `operator.measure` gives them.
            noise: one stream per image. The result does not depend on what was drawn from it before.
            labels: classes of the images, `(B,)`, for a class-conditional prior.

        Returns:
            Posterior samples `(B, S, *shape)`, in units of the data ([-1, 1] for images), neither clamped nor rounded.

        Raises:
            ValueError: if the numbers of measurements and of noise streams differ.
        """
        if len(y) != len(noise):
            raise InvalidValueError(f"Each measurement needs its noise stream, but got {len(y)} and {len(noise)}.")
        with self._given(labels):
            states = self.iterate(repeat(y, self.rows_per_image), noise.samples(self.rows_per_image))
            samples = self.gather(self._observed(states))
        return torch.unflatten(samples, 0, (-1, self.num_samples))

    def gather(self, states: Iterator[State]) -> Tensor:
        """Walk the loop to its end and take the posterior samples from it: the moving variable at the end.

        Where a row gives several samples, they are taken on the way.

        Args:
            states: what `iterate` gives.

        Returns:
            The samples, image by image, `(B * S, *shape)`.
        """
        for state in states:
            last = state
        return last.x_t

    def predict_step(self, batch: Batch, batch_idx: int = 0) -> Reconstruction:
        """Measure and reconstruct a batch.

        Raises:
            TypeError: if it is no `Batch`.
            ValueError: if the images do not have the prior's shape or range, or their classes are needed and missing.
        """
        # A plain Trainer calls this in inference mode, where no gradient can be taken, not even with respect to
        # copies of tensors that were made there.
        with torch.inference_mode(False), torch.no_grad():
            batch = tree_map_only(Tensor, torch.clone, require_batch(batch, self.denoiser))
            labels = None if self.denoiser.num_classes is None else batch["label"]
            noise = NoiseSource(self.seed, batch["index"], batch["index"].device)
            source = quantise(batch["image"]) if "image" in batch else None
            y = self._measurement(batch, noise)
            draws = self.recall(batch["index"]) if self.recall else None
            if draws is None:
                with self._given(labels):
                    draws = self._draw(y, noise)
        return Reconstruction(batch["index"], batch["name"], source, y, draws, batch.get("label"))

    def load(self, device: torch.device | str = "cpu") -> None:
        """Read the networks of all parts, once; see `Operator.load` and `Denoiser.load`."""
        for network in self._networks():
            network.load(device)
        self.operator.load(device)

    def setup(self, stage: str) -> None:
        """Read the networks, and refuse what cannot be measured or is of no class of the prior, before any sampling.

        Raises:
            ValueError: if the trainer would round the operators too, if the operator cannot measure these images, if
                their labels are not of the prior's classes, or if what is one's own is refused by its rehearsal.
        """
        if self.trainer.precision != "32-true":
            raise InvalidValueError(
                f"The trainer's precision {self.trainer.precision} would round measurements and noise too; leave it at "
                "32-true and give the prior a dtype (--denoiser.dtype=torch.bfloat16)."
            )
        if data := data_of(self.trainer):
            if self.denoiser.num_classes is not None:
                data.images.require_labels(self.denoiser.num_classes)
            self.operator.require(data.images.every_name)
        self.load(self.device)
        with torch.inference_mode(False):  # Lightning moves the rest only later, and parts are tried now
            self.to(self.device)
        for network in self._networks():
            rehearse(self.operator, network, self.device)
        if is_own(self):
            walks = self._trial(StandIn), self._trial(lambda prior: StandIn(prior, 1 + 1e-6))
            rehearse_solver(type(self).__name__, *walks, self.operator, self.denoiser.shape, self.device)

    def _trial(self, other: Callable[[Denoiser], Denoiser]) -> Callable[[Measurement, NoiseSource], Iterator[State]]:
        """The loop with other networks, of a copy: what it remembers is not the run's."""
        trial = copy.copy(self)
        trial.__dict__ = {
            name: copy.copy(value) if isinstance(value, dict | list | set) else value
            for name, value in self.__dict__.items()
        }
        trial.observers = []

        def walk(y: Measurement, noise: NoiseSource) -> Iterator[State]:
            with trial._exchanged(other):
                yield from trial.iterate(repeat(y, self.rows_per_image), noise.samples(self.rows_per_image))

        return walk

    def _networks(self) -> list[Denoiser]:
        return [child for child in self.children() if isinstance(child, Denoiser)]

    def _measurement(self, batch: Batch, noise: NoiseSource) -> Measurement:
        """What was measured of a batch, now or by the world."""
        if "image" in batch:
            return self.operator.measure(batch["image"], noise)
        if "measurement" in batch:
            return self.operator.adopt(batch["measurement"], noise, tuple(self.denoiser.shape))
        return self.operator.receive(batch["y"], noise, tuple(self.denoiser.shape))

    def _draw(self, y: Measurement, noise: NoiseSource) -> Draws:
        counted = dict.fromkeys(part for network in self._networks() for part in network.counted)
        with CostMeter(counted, noise.device) as meter:
            samples = self.solve(y, noise)
        self._require_samples(samples, len(noise))
        values = samples.flatten(2)
        diverged = ~values.isfinite().all(dim=2)
        # What lies outside by less than half a grey level is rounded, not clamped.
        clamped = (values.abs() > 1 + GREY_LEVEL / 2).double().mean(dim=2)
        costs = [meter.per_image(len(noise))] * len(noise)
        return Draws(quantise(samples).cpu(), diverged.cpu(), costs, clamped=clamped.cpu())

    def _require_samples(self, samples: Tensor, images: int) -> None:
        """Refuse what is saved as other samples than it was meant to be."""
        needed = (images, self.num_samples, *self.denoiser.shape)
        came = f"{tuple(samples.shape)} of {samples.dtype}" if isinstance(samples, Tensor) else type(samples).__name__
        if not (isinstance(samples, Tensor) and samples.shape == needed and samples.is_floating_point()):
            raise InvalidValueError(
                f"{type(self).__name__}.solve must give float samples of shape {needed}, but gave {came}."
            )

    @contextmanager
    def _given(self, labels: Tensor | None) -> Iterator[None]:
        """Solve for the labels of B images, if there are any: bound to the networks, for every row of the loop."""
        if labels is None:
            yield
            return
        rows = labels.repeat_interleave(self.rows_per_image)
        with self._exchanged(lambda part: part.given(rows)):
            yield

    @contextmanager
    def _exchanged(self, other: Callable[[Denoiser], Denoiser]) -> Iterator[None]:
        """Work with other networks for a while."""
        children = self.named_modules(remove_duplicate=False)  # one network may be two parts
        parts = {name: part for name, part in children if isinstance(part, Denoiser) and "." not in name}
        others = {part: other(part) for part in dict.fromkeys(parts.values())}
        try:
            for name, part in parts.items():
                setattr(self, name, others[part])
            yield
        finally:
            for name, part in parts.items():
                setattr(self, name, part)

    def _observed(self, states: Iterator[State]) -> Iterator[State]:
        for state in states:
            for observer in self.observers:
                observer(state)
            yield state

    def _take_levels(self, levels: Levels, *, last: bool = False) -> None:
        """Keep noise levels, where the prior knows all that it is asked at: the last one too, or all but that."""
        self._require("levels", levels, Levels)
        require_levels(self, self.denoiser, levels if last else levels[:-1])
        self.levels = levels

    def _require(self, name: str, part: object, kind: type) -> None:
        if type(part).__module__.partition(".")[0] == "jsonargparse":
            raise InvalidTypeError(
                f"The argument `{name}` of {type(self).__name__} has no type, so that no configuration can tell what "
                f"is meant: write `{name}: {kind.__name__}` in its __init__."
            )
        # The command line gives None for a part that no configuration names.
        if not isinstance(part, kind):
            came = "none" if part is None else type(part).__name__
            option = name if issubclass(kind, Operator | Denoiser) else f"model.{name}"
            raise InvalidTypeError(
                f"{type(self).__name__} needs a `{name}` of type {kind.__name__}, but got {came}; "
                f"name one by --{option} or in a file given by --config."
            )
