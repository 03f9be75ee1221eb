"""Trained networks: where they are, how they are read and how they are written.

Weights are mapped into memory rather than read into it, and go from there straight to the device and the precision that
were asked for; the network itself is built without memory.
"""

import difflib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from dis_lightning.errors import InvalidValueError, MissingFileError
from dis_lightning.priors.cards import file_cards, repository_cards
from dis_lightning.priors.diffusers_config import arguments_from
from dis_lightning.priors.diffusers_format import CONFIG, WEIGHTS, from_diffusers
from dis_lightning.priors.unet import UNet
from dis_lightning.weights import FileCard, fetch_from_hub, fill, read_metadata, read_tensors

__all__ = ["Source", "find", "load_network", "save_network"]

_SUFFIXES = (".bin", ".pt", ".pth", ".safetensors")


@torch.inference_mode(False)  # weights made in inference mode could never serve a gradient with respect to an image
def load_network(
    source: str | Path,
    *,
    arguments: Mapping[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> UNet:
    """Read a trained network.

    Args:
        source: a file (`.pt`, `.safetensors`), a folder in the format of diffusers, the name of a card (such as
            "edm_bedroom256_ema", downloaded if need be), or a hub id (such as "openai/diffusers-cd_cat256_l2").
        arguments: the arguments of `UNet`; None where the source says them: a card or a file named as one, a file
            written by `save_network`, a configuration of diffusers.
        dtype: precision of the torso, whatever that of the file.
        device: where the network is needed.

    Returns:
        The network, frozen and in evaluation mode.

    Raises:
        FileNotFoundError: if nothing is known under that name.
        ConnectionError: if a download fails.
        ValueError: if the file is damaged, is no plain file of tensors, or holds another network.
    """
    origin = find(source)
    with torch.device("meta"):
        network = UNet(**(arguments or origin.arguments()), dtype=dtype)
    return fill(network, origin.weights(), origin, network.arguments, device)


def save_network(network: UNet, path: str | Path) -> None:
    """Write a network to a safetensors file that says how it is built, so that `load_network` needs no arguments."""
    tensors = {key: tensor.contiguous() for key, tensor in network.state_dict().items()}
    save_file(tensors, path, metadata={"arguments": json.dumps(network.arguments)})


class Source(ABC):
    """A place that weights come from."""

    @abstractmethod
    def arguments(self) -> dict[str, Any]:
        """The arguments of `UNet`, known without reading the weights."""

    @abstractmethod
    def weights(self) -> dict[str, Tensor]:
        """The weights under their published names."""


def find(source: str | Path) -> Source:
    """Recognise a file, a folder, the name of a card or a hub id; see `load_network`.

    Raises:
        FileNotFoundError: if it is none of these.
    """
    path, name = Path(source), str(source)
    if path.is_dir():
        return Folder(path if (path / CONFIG).exists() else path / "unet")
    if path.is_file():
        return File(path)
    cards = file_cards()
    if name in cards:
        return Published(cards[name])
    if name.count("/") == 1 and not path.is_absolute() and path.suffix not in _SUFFIXES:
        return Repository(name)
    known = [*cards, *repository_cards()]
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    raise MissingFileError(
        f"{name!r} is no file and no folder, no hub id (owner/name), and no card: "
        + (f"did you mean {' or '.join(close)}?" if close else f"the cards are {', '.join(cards)}.")
    )


@dataclass(frozen=True)
class File(Source):
    """A file of weights under their published names."""

    path: Path

    def arguments(self) -> dict[str, Any]:
        """Those that `save_network` wrote into the file, or those of the card that the file is named after."""
        if self.path.suffix == ".safetensors" and "arguments" in (metadata := read_metadata(self.path)):
            written: dict[str, Any] = json.loads(metadata["arguments"])
            return written
        if self.path.stem in (cards := file_cards()):
            return cards[self.path.stem].arguments
        raise InvalidValueError(
            f"Nothing says how the network in {self.path} is built. Give its arguments to load_network, and write it "
            f"with save_network to a file that says them; or name the file after its card: {', '.join(cards)}."
        )

    def weights(self) -> dict[str, Tensor]:
        """See `Source`."""
        return read_tensors(self.path)


@dataclass(frozen=True)
class Published(Source):
    """A published file, downloaded when it is needed."""

    card: FileCard

    def arguments(self) -> dict[str, Any]:
        """See `Source`."""
        return self.card.arguments

    def weights(self) -> dict[str, Tensor]:
        """See `Source`."""
        return read_tensors(self.card.fetch())


@dataclass(frozen=True)
class Folder(Source):
    """A folder in the format of diffusers."""

    path: Path

    def arguments(self) -> dict[str, Any]:
        """See `Source`."""
        return _read_config(self._file(CONFIG))

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
        return repository_cards().get(self.name) or _read_config(fetch_from_hub(self.name, f"unet/{CONFIG}"))

    def weights(self) -> dict[str, Tensor]:
        """See `Source`."""
        arguments = _read_config(fetch_from_hub(self.name, f"unet/{CONFIG}"))
        path = fetch_from_hub(self.name, *[f"unet/{name}" for name in WEIGHTS])
        return from_diffusers(read_tensors(path), arguments)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        return arguments_from(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise InvalidValueError(f"{path}: {error}") from error
