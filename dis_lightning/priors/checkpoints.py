"""Trained networks: where they are, how they are read and how they are written.

Weights are mapped into memory rather than read into it, and go from there straight to the device and the precision that
were asked for; the network itself is built without memory.
"""

import inspect
import json
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from dis_lightning.errors import InvalidValueError, MissingFileError, UnreachableError
from dis_lightning.files import expanded
from dis_lightning.priors.cards import file_cards, repository_cards
from dis_lightning.priors.diffusers_config import arguments_from
from dis_lightning.priors.diffusers_format import CONFIG, WEIGHTS, from_diffusers
from dis_lightning.priors.guided_format import AttentionOrder, check_order, from_guided, is_guided
from dis_lightning.priors.network import RawNetwork
from dis_lightning.priors.nvlabs_format import NVlabsFile
from dis_lightning.priors.song_unet import SongUNet
from dis_lightning.priors.unet import UNet
from dis_lightning.weights import (
    FileCard,
    Precision,
    as_dtype,
    fetch_from_hub,
    fill,
    is_hub_id,
    missing,
    read_json,
    read_metadata,
    read_tensors,
    write_tensors,
)

__all__ = ["KINDS", "PICKLES", "Source", "agreed", "build", "find", "known_order", "load_network", "save_network"]

INDEX = "model_index.json"
"""What a whole pipeline of diffusers says about itself."""
SCHEDULER = "scheduler/scheduler_config.json"
"""What its sampler says."""

PICKLES = (".pickle", ".pkl")
"""How the names of NVlabs' pickles end."""

KINDS = {
    "CMStochasticIterativeScheduler": "consistency map",
    "ConsistencyModelPipeline": "consistency map",
    "DDIMPipeline": "prediction of noise",
    "DDIMScheduler": "prediction of noise",
    "DDPMPipeline": "prediction of noise",
    "DDPMScheduler": "prediction of noise",
    "EDMDPMSolverMultistepScheduler": "posterior mean",
    "EDMEulerScheduler": "posterior mean",
    "KarrasVePipeline": "posterior mean",
    "KarrasVeScheduler": "posterior mean",
}
"""What the network gives in pipelines and with samplers of diffusers."""

Text = TypeVar("Text", bound=str)


@torch.inference_mode(False)  # weights made in inference mode could never serve a gradient with respect to an image
def load_network(
    source: str | Path,
    *,
    arguments: Mapping[str, Any] | None = None,
    attention_order: AttentionOrder | None = None,
    dtype: Precision = torch.float32,
    device: torch.device | str = "cpu",
) -> RawNetwork:
    """Read a trained network.

    Args:
        source: a file (`.pt`, `.safetensors`, NVlabs' `.pkl`), a folder in the format of diffusers, the name of a card
            (such as "edm_bedroom256_ema", downloaded if need be), or a hub id (such as
            "openai/diffusers-cd_cat256_l2"). `~` is the home folder.
        arguments: the arguments of `UNet`, or `network: SongUNet` with those of that class; None where the source
            says them: a card or a file named as one, a file written by `save_network`, a configuration of diffusers, a
            pickle.
        attention_order: how a file of guided-diffusion orders the channels of its attention, "legacy" or "new"; None
            where a card says it, and for all other files. See `guided_format`.
        dtype: precision of the torso, whatever that of the file.
        device: where the network is needed.

    Returns:
        The network, frozen and in evaluation mode.

    Raises:
        FileNotFoundError: if nothing is known under that name.
        ConnectionError: if a download fails.
        ValueError: if the file is damaged, is no plain file of tensors and no pickle of NVlabs, or holds another
            network.
    """
    origin = find(source)
    order = known_order(source, origin, attention_order)
    network = build(arguments or origin.arguments(), as_dtype(dtype))
    weights = _ordered(source, origin, network.arguments, order)
    return fill(network, weights, source, network.arguments, device)


def build(arguments: Mapping[str, Any], dtype: torch.dtype = torch.float32) -> RawNetwork:
    """Build a network without memory (on the `meta` device).

    Args:
        arguments: those of the class that is named in them as `network`: "UNet", if none is, or "SongUNet".
        dtype: precision of the torso.

    Raises:
        ValueError: if there is no such network, or the arguments do not fit it.
    """
    own = dict(arguments)
    name = own.pop("network", UNet.__name__)
    networks: dict[str, type[RawNetwork]] = {network.__name__: network for network in (UNet, SongUNet)}
    if name not in networks:
        raise InvalidValueError(f"network must be one of {', '.join(networks)}, but got {name!r}.")
    try:
        inspect.signature(networks[name]).bind(**own)
    except TypeError as error:
        raise InvalidValueError(f"The arguments {own} do not fit {name}: {error}.") from error
    with torch.device("meta"):
        return networks[name](**own, dtype=dtype)  # type: ignore[call-arg] # which classes have and their base has not


def save_network(
    network: RawNetwork,
    path: str | Path,
    kind: str | None = None,
    schedule: str | None = None,
    prediction: str | None = None,
) -> None:
    """Write a network to a safetensors file that says how it is built, so that `load_network` needs no arguments.

    Args:
        network: the network.
        path: the file to write.
        kind: what it was trained to give, where that is known ("posterior mean", "consistency map" or "prediction of
            noise"): then no prior of another kind takes the file.
        schedule: of a network for `VP`, the schedule that it was trained on, where it has a name.
        prediction: of a network for `VP`, what it predicts.
    """
    named = {} if isinstance(network, UNet) else {"network": type(network).__name__}
    known = {"kind": kind, "schedule": schedule, "prediction": prediction}
    metadata = {key: value for key, value in known.items() if value}
    metadata |= {"arguments": json.dumps(named | network.arguments)}
    write_tensors(network.state_dict(), expanded(path), metadata)


def known_order(source: str | Path, origin: "Source", given: AttentionOrder | None) -> AttentionOrder | None:
    """How the channels of the attention are ordered, if it is given or a card says it; before weights are read.

    Args:
        source: what was asked for.
        origin: the place that it is.
        given: what a user says, or None.

    Raises:
        ValueError: if it is no order, or the card says the other.
    """
    check_order(given)
    card = origin.card()
    known: AttentionOrder | None = card.attention_order if card else None  # type: ignore[assignment] # one of ours
    return agreed(source, "attention_order", given, known)


def agreed(network: object, name: str, told: Text | None, known: Text | None) -> Text | None:
    """What the user says or the card or file knows, None where neither does.

    Args:
        network: where the network is, for the message.
        name: what is told and known.
        told: by the user.
        known: by the place of the network.

    Raises:
        ValueError: if they contradict each other.
    """
    if told is not None and known not in (None, told):
        raise InvalidValueError(
            f"{network} has the {name} {known}, as its card or file says, but got {told}: leave it out."
        )
    return told or known


def _ordered(
    source: str | Path, origin: "Source", arguments: Mapping[str, Any], order: AttentionOrder | None
) -> dict[str, Tensor]:
    """The weights, with the channels of their attention as `UNet` has them."""
    weights = origin.weights()
    if order == "legacy" and origin.ours():
        raise InvalidValueError(
            f"{source} was written by save_network and has the order of UNet: leave attention_order."
        )
    if order is None and is_guided(weights):
        raise InvalidValueError(
            f"{source} is of guided-diffusion, in which the channels of the attention have one of two orders that no "
            'file says: give attention_order "legacy" (use_new_attention_order False, as all networks of 256 pixels '
            'have it) or "new".'
        )
    return weights if order is None else from_guided(weights, arguments, order, source)


class Source(ABC):
    """A place that weights come from."""

    def card(self) -> FileCard | None:
        """What is known of the file that it is, if it is a published one."""
        return None

    def training(self) -> dict[str, str | None]:
        """On which `schedule` a network for `VP` was trained, and its `prediction`, where the place says it."""
        card = self.card()
        return {"schedule": card.schedule, "prediction": card.prediction} if card else {}

    def ours(self) -> bool:
        """Whether it was written by `save_network`."""
        return False

    @abstractmethod
    def arguments(self) -> dict[str, Any]:
        """The arguments of the network, as `build` takes them, known without reading the weights."""

    @abstractmethod
    def kind(self) -> str | None:
        """What the network was trained to give, where the place says it; known without reading the weights."""

    @abstractmethod
    def weights(self) -> dict[str, Tensor]:
        """The weights under their published names."""


def find(source: str | Path) -> Source:
    """Recognise a file, a folder, the name of a card or a hub id; see `load_network`.

    Raises:
        FileNotFoundError: if it is none of these.
    """
    path, name, cards = expanded(source), str(source), file_cards()
    if path.is_dir():
        return Folder(path if (path / CONFIG).exists() else path / "unet")
    if path.is_file():
        # PyTorch's own files, which are archives, may be named so too.
        return Pickle(path) if path.suffix in PICKLES and not zipfile.is_zipfile(path) else File(path)
    if name in cards:
        return Published(cards[name])
    if name in repository_cards() or is_hub_id(source):
        return Repository(name)
    raise missing(source, cards)


@dataclass(frozen=True)
class File(Source):
    """A file of weights under their published names."""

    path: Path

    def arguments(self) -> dict[str, Any]:
        """Those that `save_network` wrote into the file, or those of the card that the file is named after."""
        if self.ours():
            return _written(self.path, read_metadata(self.path)["arguments"])
        if card := self.card():
            return card.arguments
        self.weights()  # what is damaged, or holds no weights, is told so first
        raise InvalidValueError(
            f"Nothing says how the network in {self.path} is built. Give its arguments (those of UNet; for a file of "
            "guided-diffusion also attention_order), or write it with save_network to a file that says them; or name "
            f"the file after its card: {', '.join(file_cards())}."
        )

    def ours(self) -> bool:
        """See `Source`."""
        return self.path.suffix == ".safetensors" and "arguments" in read_metadata(self.path)

    def training(self) -> dict[str, str | None]:
        """See `Source`."""
        return dict(read_metadata(self.path)) if self.ours() else super().training()

    def card(self) -> FileCard | None:
        """See `Source`. The one that the file is named after, unless it says itself what it is."""
        stem, cards = self.path.stem, file_cards().values()
        return None if self.ours() else next((card for card in cards if stem in (card.name, *card.published_as)), None)

    def kind(self) -> str | None:
        """See `Source`."""
        if self.path.suffix == ".safetensors" and (written := read_metadata(self.path).get("kind")):
            return written
        card = self.card()
        return card.kind if card else None

    def weights(self) -> dict[str, Tensor]:
        """See `Source`."""
        return read_tensors(self.path)


def _written(path: Path, text: str) -> dict[str, Any]:
    """The arguments that `save_network` has written into a file."""
    try:
        arguments = json.loads(text)
    except json.JSONDecodeError:
        arguments = None
    if not isinstance(arguments, dict):
        raise InvalidValueError(
            f"{path} is damaged: its `arguments` are {text[:40]!r}; write it with save_network again."
        )
    return arguments


@dataclass(frozen=True)
class Pickle(Source):
    """A network pickle of NVlabs, which says itself how the network is built."""

    path: Path

    def arguments(self) -> dict[str, Any]:
        """See `Source`."""
        return NVlabsFile.read(self.path, tensors=False).arguments()

    def kind(self) -> str | None:
        """See `Source`."""
        return "posterior mean"

    def weights(self) -> dict[str, Tensor]:
        """See `Source`."""
        return NVlabsFile.read(self.path).weights()


@dataclass(frozen=True)
class Published(Source):
    """A published file, downloaded when it is needed."""

    known: FileCard

    def card(self) -> FileCard | None:
        """See `Source`."""
        return self.known

    def arguments(self) -> dict[str, Any]:
        """See `Source`."""
        return self.known.arguments

    def kind(self) -> str | None:
        """See `Source`."""
        return self.known.kind

    def weights(self) -> dict[str, Tensor]:
        """See `Source`."""
        return find(self.known.fetch()).weights()


@dataclass(frozen=True)
class Folder(Source):
    """A folder in the format of diffusers."""

    path: Path

    def arguments(self) -> dict[str, Any]:
        """See `Source`."""
        return _read_config(self._file(CONFIG))

    def kind(self) -> str | None:
        """See `Source`. The pipeline says it, or its sampler, beside the folder of the network."""
        files = [folder / name for folder in (self.path, self.path.parent) for name in (INDEX, SCHEDULER)]
        return next((kind for file in files if file.is_file() and (kind := _kind_in(file))), None)

    def weights(self) -> dict[str, Tensor]:
        """See `Source`."""
        return from_diffusers(read_tensors(self._file(*WEIGHTS)), self.arguments())

    def _file(self, *names: str) -> Path:
        for name in names:
            if (self.path / name).is_file():
                return self.path / name
        raise MissingFileError(f"{self.path} is no U-Net in the format of diffusers: it has no {' or '.join(names)}.")


@dataclass(frozen=True)
class Repository(Source):
    """A repository of the hub in the format of diffusers, downloaded when it is needed."""

    name: str

    def arguments(self) -> dict[str, Any]:
        """See `Source`. Without a card, the configuration is downloaded to know them."""
        if card := repository_cards().get(self.name):
            arguments: dict[str, Any] = card["arguments"]
            return arguments
        return _read_config(fetch_from_hub(self.name, f"unet/{CONFIG}"))

    def kind(self) -> str | None:
        """See `Source`. Without a card, the pipeline says it, where the repository is one."""
        if card := repository_cards().get(self.name):
            return str(card["kind"])
        try:
            return _kind_in(fetch_from_hub(self.name, INDEX, SCHEDULER))
        except UnreachableError:
            return None

    def weights(self) -> dict[str, Tensor]:
        """See `Source`."""
        arguments = _read_config(fetch_from_hub(self.name, f"unet/{CONFIG}"))
        path = fetch_from_hub(self.name, *[f"unet/{name}" for name in WEIGHTS])
        return from_diffusers(read_tensors(path), arguments)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        return arguments_from(read_json(path))
    except ValueError as error:
        raise InvalidValueError(f"{path}: {error}") from error


def _kind_in(path: Path) -> str | None:
    return KINDS.get(str(read_json(path).get("_class_name")))
