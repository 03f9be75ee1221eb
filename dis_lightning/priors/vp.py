"""VP: the posterior mean, by a network that was trained on a variance-preserving diffusion.

Ho, Jain, Abbeel, "Denoising Diffusion Probabilistic Models", 2020; Nichol and Dhariwal, 2021; Salimans and Ho, 2022.
With `z = x_t / sqrt(1 + sigma^2)` and the index `t` of the level (see `schedules`), the network's output F(z, t) stands
for

    epsilon         the noise:               x_0 = x_t - sigma F
    v_prediction    the velocity:            x_0 = x_t / (1 + sigma^2) - sigma / sqrt(1 + sigma^2) F
    sample          the clean image itself:  x_0 = F

Networks that also learned a variance give it in as many further channels, which are dropped: the samplers here choose
their own.
"""

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from torch import Tensor

from dis_lightning.errors import InvalidValueError, require_whole
from dis_lightning.priors.base import Kind, per_image
from dis_lightning.priors.checkpoints.loading import agreed
from dis_lightning.priors.checkpoints.sources import find
from dis_lightning.priors.clipping import clipped
from dis_lightning.priors.network_prior import NetworkPrior
from dis_lightning.priors.networks.base import RawNetwork
from dis_lightning.schedules import DiscreteSchedule, Schedule
from dis_lightning.weights import LazyNetwork

__all__ = ["VP", "DiscretePrior", "Prediction"]

Prediction = Literal["epsilon", "v_prediction", "sample"]
"""What a network was trained to predict, in the words of diffusers."""


class DiscretePrior(NetworkPrior):
    """The mean of the clean image given a noisy one, by a network of noise, velocity or image: what `VP` shares.

    Attributes:
        schedule: the table of levels.
        prediction: what the network says, one of `Prediction`.
        sigma_range: the lowest and the highest level of the table. Below, an image keeps its noise and the network is
            told the lowest level.

    Raises:
        ValueError: if the network does not give as many channels as its images have, or twice as many.
    """

    kind: ClassVar[Kind] = "posterior mean"
    gives: ClassVar[str] = "prediction of noise"

    @abstractmethod
    def __init__(
        self,
        network: RawNetwork | LazyNetwork[Any] | str | Path,
        schedule: DiscreteSchedule,
        prediction: str,
        **common: Any,
    ) -> None:
        super().__init__(network, **common)
        self.schedule, self.prediction = schedule, prediction
        self.sigma_range = schedule.range
        given, channels = getattr(self.network, "out_channels", self.shape[0]), self.shape[0]
        if given not in (channels, 2 * channels):
            raise InvalidValueError(
                f"A network of images with {channels} channels must give {channels}, or {2 * channels} with a learned "
                f"variance, but this one gives {given}: its out_channels are wrong."
            )

    def forward(self, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        """Estimate the clean images; see `Denoiser`.

        Raises:
            ValueError: if the images do not fit the network, if classes are needed and none are bound, or if a noise
                level given as a float is not positive.
        """
        level = per_image(sigma, x_t)
        times = self.schedule.times(sigma, len(x_t), x_t.device)
        output = self.evaluate(x_t / (1 + level**2) ** 0.5, times)[:, : self.shape[0]].to(x_t.dtype)
        x_0 = _estimate(x_t, level, output, self.prediction)
        return clipped(x_0, self.clip)


class VP(DiscretePrior):
    """The mean of the clean image given a noisy one, by a network of noise, velocity or image.

    The samplers of guided-diffusion and of the DPS paper clamp the estimates to [-1, 1], as `clip=True` does here.

    Args:
        network: the raw network; or where to find a trained one: a card name (such as "ffhq_256"), a file, a folder or
            a hub id (see `load_network`). One that is found is read on first use, or when `load` is called.
        schedule: the schedule that it was trained on; None for what its card says, or else "linear".
        prediction: what it was trained to predict; None for what its card says, or else "epsilon".
        trained_steps: number of levels of the schedule, T.
        **common: the other arguments of `NetworkPrior`.

    Raises:
        ValueError: if schedule, prediction or attention order are not known, or are others than those of the card, or
            if the network does not give as many channels as its images have, or twice as many.
        FileNotFoundError: if nothing is known under the name of the network.
    """

    def __init__(
        self,
        network: RawNetwork | str | Path,
        schedule: Schedule | None = None,
        *,
        prediction: Prediction | None = None,
        trained_steps: int = 1000,
        **common: Any,
    ) -> None:
        known = find(network).training() if isinstance(network, str | Path) else {}
        predicts = agreed(network, "prediction", prediction, known.get("prediction")) or "epsilon"
        if predicts not in get_args(Prediction):
            raise InvalidValueError(f"prediction must be one of {', '.join(get_args(Prediction))}, not {predicts!r}.")
        scheduled = agreed(network, "schedule", schedule, known.get("schedule")) or "linear"
        require_whole(self, 2, trained_steps=trained_steps)
        table = DiscreteSchedule.named(scheduled, trained_steps)
        super().__init__(network, table, predicts, **common)


def _estimate(x_t: Tensor, level: float | Tensor, output: Tensor, prediction: str) -> Tensor:
    """The clean image that a network's output stands for; see the module.

    Args:
        x_t: noisy images, `(N, C, H, W)`.
        level: their noise levels, a float or anything that multiplies images.
        output: what the network says, `(N, C, H, W)`.
        prediction: one of `Prediction`.
    """
    if prediction == "epsilon":
        return x_t - level * output
    if prediction == "sample":
        return output
    total = 1 + level**2
    return x_t / total - level / total**0.5 * output
