"""Networks of diffusers that predict noise, velocity or image: DDPM, DDIM and their like, by the library's own class.

A repository, or a folder, has the network's `config.json` and weights in `unet/`, or those of 2022 at the root; and
the sampler's `scheduler_config.json` in `scheduler/` or at the root, which says the schedule and what the network
predicts. Consistency models and EDMs of diffusers are read by `ConsistencyModel` and `EDM`, into our own network.
"""

from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from dis_lightning.errors import InvalidValueError, MissingFileError, MissingPackageError
from dis_lightning.files import expanded
from dis_lightning.priors.checkpoints.diffusers_format import CONFIG, WEIGHTS
from dis_lightning.priors.checkpoints.sources import KINDS
from dis_lightning.priors.clipping import Clip
from dis_lightning.priors.networks.sizes import ImageSize, height_and_width
from dis_lightning.priors.vp import DiscretePrior, Prediction
from dis_lightning.schedules import DiscreteSchedule
from dis_lightning.weights import (
    LazyNetwork,
    Precision,
    as_dtype,
    fetch_from_hub,
    fill,
    is_hub_id,
    read_json,
    read_tensors,
)

__all__ = ["DiffusersDenoiser"]

SCHEDULER = "scheduler_config.json"
"""File name of what the sampler says."""
PLACES = ("unet/", "")
"""Where the network may lie in a repository."""
RENAMED = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
"""Layers of the attention as files of 2022 call them."""


class DiffusersDenoiser(DiscretePrior):
    """The mean of the clean image given a noisy one, by a `UNet2DModel` of diffusers.

    Args:
        network: a folder, or the hub id of a repository (such as "google/ddpm-celebahq-256").
        clip: whether to clamp the estimates to [-1, 1]; see `NetworkPrior`. Samplers of diffusers do (`clip_sample`),
            whatever that of the file says here.
        dtype: precision of the network; None for float32.
        image_size: height and width of the images, where they are others than the network was made for; None for its
            own. See `NetworkPrior`.

    Attributes:
        schedule: the table of levels, of the sampler's configuration.
        prediction: what the network predicts, likewise.

    Raises:
        ModuleNotFoundError: if diffusers is not installed.
        FileNotFoundError: if the folder lacks the configuration of the network or of the sampler.
        ConnectionError: if a download fails.
        ValueError: if the sampler is none of a discrete diffusion, or a file is damaged.
    """

    def __init__(
        self,
        network: str | Path,
        clip: Clip = False,
        dtype: Precision | None = None,
        image_size: ImageSize | None = None,
    ) -> None:
        place = _Place(network)
        config, scheduler = place.read(CONFIG), place.read_scheduler()
        sampler = str(scheduler.get("_class_name"))
        if KINDS.get(sampler, self.gives) != self.gives:
            raise InvalidValueError(
                f"{network} is for the sampler {sampler}, whose networks give a {KINDS[sampler]}: take "
                f"{'ConsistencyModel' if KINDS[sampler] == 'consistency map' else 'EDM'} for it."
            )
        prediction = scheduler.get("prediction_type", "epsilon")
        if prediction not in get_args(Prediction):
            raise InvalidValueError(
                f"{network} predicts {prediction!r}, as its {SCHEDULER} says, but only "
                f"{', '.join(get_args(Prediction))} are known."
            )
        try:
            table = DiscreteSchedule.described(scheduler)
        except ValueError as error:
            raise InvalidValueError(f"The {SCHEDULER} of {network}: {error}") from error
        pretrained = _Pretrained(place, config, as_dtype(dtype or torch.float32))
        super().__init__(pretrained, table, prediction, clip=clip, image_size=image_size)


class _Place:
    """A folder or a repository, and where its files lie."""

    def __init__(self, source: str | Path) -> None:
        self.source = source
        self.folder = expanded(source)
        self.local = self.folder.is_dir()
        if not self.local and not is_hub_id(source):
            raise MissingFileError(f"{source} is neither a folder nor a hub id (such as google/ddpm-celebahq-256).")

    def find(self, *names: str) -> Path:
        """The first of some files, named from the root.

        Raises:
            FileNotFoundError: if there is none.
            ConnectionError: if it cannot be downloaded.
        """
        if not self.local:
            return fetch_from_hub(str(self.source), *names)
        found = next((self.folder / name for name in names if (self.folder / name).is_file()), None)
        if found is None:
            raise MissingFileError(
                f"{self.source} has no {' or '.join(names)}: it is no folder of diffusers, or not a whole one."
            )
        return found

    def read(self, name: str) -> dict[str, Any]:
        """A JSON file of the network."""
        return read_json(self.find(*(place + name for place in PLACES)))

    def read_scheduler(self) -> dict[str, Any]:
        """What the sampler says; it may lie beside the network's folder."""
        beside = [f"../scheduler/{SCHEDULER}"] if self.local else []
        try:
            return read_json(self.find(f"scheduler/{SCHEDULER}", SCHEDULER, *beside))
        except MissingFileError as error:
            raise MissingFileError(
                f"{self.source} has no {SCHEDULER}, which says on which noise levels the network was trained and what "
                "it predicts: put it there, or in scheduler/."
            ) from error


class _Network(nn.Module):
    """A `UNet2DModel`, called as the networks of this package are."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        output: Tensor = self.network(x.to(self.network.dtype), t, class_labels=y, return_dict=False)[0]
        return output


class _Pretrained(LazyNetwork[_Network]):
    """The network of a place, read on first use."""

    def __init__(self, place: _Place, config: dict[str, Any], dtype: torch.dtype) -> None:
        super().__init__(partial(_load, place, config, dtype), place.source)
        size = config.get("sample_size")
        if size is None:
            raise InvalidValueError(f"The {CONFIG} of {place.source} does not say its sample_size.")
        self.shape = (int(config.get("in_channels", 3)), *height_and_width(f"{CONFIG} of {place.source}", size))
        self.reduction = 2 ** (len(config.get("block_out_channels", [1])) - 1)
        self.out_channels = int(config.get("out_channels", 3))
        self.num_classes = config.get("num_class_embeds")


def _load(place: _Place, config: dict[str, Any], dtype: torch.dtype) -> _Network:
    library = _library()
    # Our own guard, for the library would build another class, or warn, where the file names one.
    if config.get("_class_name") != "UNet2DModel":
        raise InvalidValueError(f"{place.source} holds a {config.get('_class_name')}; only UNet2DModel is known.")
    own = {key: value for key, value in config.items() if not key.startswith("_")}
    with torch.device("meta"):
        network = library.UNet2DModel(**own).to(dtype)
    weights = read_tensors(place.find(*(folder + name for folder in PLACES for name in WEIGHTS)))
    for old, new in RENAMED.items():
        weights = {key.replace(old, new): tensor for key, tensor in weights.items()}
    return _Network(fill(network, weights, place.source, own))


def _library() -> Any:
    try:
        import diffusers  # an extra
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            "Networks of diffusers need its package: pip install 'dis-lightning[diffusers]'."
        ) from error
    return diffusers
