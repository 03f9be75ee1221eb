"""Training of one network, with its weights averaged over the steps.

Adam with a warm-up and the schedule of Karras et al., "Analyzing and Improving the Training Dynamics of Diffusion
Models", 2024, and that paper's power-function average of the weights: at step t, counted from 1,

    rate_t = rate min(t / s_0, 1) / sqrt(max(t / s, 1))
    mean_t = b_t mean_(t-1) + (1 - b_t) weights_t,    b_t = (1 - 1 / t)^(g + 1)

Neither needs to know how many steps there will be, so a run may stop at any time. All randomness is keyed by seed, step
and process: a run that was stopped and resumed equals an unbroken one.
"""

import copy
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from dis_lightning.noise import keyed_generator
from dis_lightning.priors.checkpoints.loading import save_network
from dis_lightning.priors.network_prior import NetworkPrior
from dis_lightning.rooms.training.data import RoomBatch
from dis_lightning.weights import write_tensors

__all__ = ["Training", "average_decay", "rate_factor"]


class Training(lightning.LightningModule, ABC):
    """A network behind a loss.

    Args:
        model: what is trained.
        rate: the learning rate at its highest.
        warm_up: steps over which the rate grows, `s_0` >= 1.
        decay_after: steps after which the rate falls, `s` >= 1.
        sharpness: how much of the past the average forgets, `g` > 0.
        seed: key of all randomness.

    Attributes:
        model: what is trained.
        average: the model with averaged weights: what is kept in the end.
    """

    def __init__(
        self,
        model: nn.Module,
        rate: float = 1e-3,
        warm_up: int = 200,
        decay_after: int = 2000,
        sharpness: float = 12.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.model = model.requires_grad_(True).train()
        self.average = copy.deepcopy(model).requires_grad_(False).eval()
        self.rate, self.warm_up, self.decay_after = rate, warm_up, decay_after
        self.sharpness, self.seed = sharpness, seed

    @abstractmethod
    def losses(self, rooms: RoomBatch, random: torch.Generator) -> Tensor:
        """The loss of each of N rooms, `(N,)`.

        Args:
            rooms: what to learn from.
            random: source of the step's noise and levels.
        """

    def save(self, path: Path) -> None:
        """Write the averaged weights to a safetensors file; that of a prior says how its network is built."""
        if isinstance(self.average, NetworkPrior):
            save_network(self.average.network, path, self.average.gives)
        else:
            write_tensors(self.average.state_dict(), path)

    def training_step(self, rooms: RoomBatch, batch_idx: int = 0) -> Tensor:
        """The mean loss of a batch."""
        loss = self.losses(rooms, self._random()).mean()
        self.log("loss", loss, prog_bar=True)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: RoomBatch, batch_idx: int) -> None:
        """Say how far the run is, as often as it is logged."""
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined] # set by Lightning out of mypy's sight
        if self.trainer.is_global_zero and self.global_step % every == 0:
            print(f"Step {self.global_step:,} of {self.trainer.max_steps:,}: loss {outputs['loss']:.4g}", flush=True)

    def optimizer_step(self, *arguments: Any, **options: Any) -> None:
        """Step, and take the new weights into the average, before anybody saves it."""
        super().optimizer_step(*arguments, **options)
        decay = average_decay(self.global_step + 1, self.sharpness)  # the step is counted once this returns
        means, weights = self.average.state_dict(), self.model.state_dict()
        for name, mean in means.items():
            if mean.is_floating_point():
                mean.lerp_(weights[name], 1 - decay)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Adam and the schedule of its rate."""
        optimizer = torch.optim.Adam(self.model.parameters(), self.rate, betas=(0.9, 0.99), fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: rate_factor(step + 1, self.warm_up, self.decay_after)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _random(self) -> torch.Generator:
        return keyed_generator(self.seed, (self.global_step, self.global_rank), self.device)


def rate_factor(step: int, warm_up: int, decay_after: int) -> float:
    """The share of the full learning rate at a step, counted from 1."""
    return float(min(step / warm_up, 1.0) / max(step / decay_after, 1.0) ** 0.5)


def average_decay(step: int, sharpness: float) -> float:
    """How much of the average of the weights stays at a step, counted from 1: nothing at the first."""
    return float((1 - 1 / step) ** (sharpness + 1))
