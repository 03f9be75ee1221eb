"""Where the weights of trained networks come from, and what each place says of its network before it is read."""

import json
import zipfile
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from dis_lightning.errors import InvalidValueError, MissingFileError, UnreachableError
from dis_lightning.files import expanded
from dis_lightning.priors.checkpoints.cards import file_cards, repository_cards
from dis_lightning.priors.checkpoints.diffusers_config import arguments_from
from dis_lightning.priors.checkpoints.diffusers_format import CONFIG, WEIGHTS, from_diffusers
from dis_lightning.priors.checkpoints.nvlabs_format import NVlabsFile
from dis_lightning.weights import FileCard, fetch_from_hub, is_hub_id, missing, read_json, read_metadata, read_tensors

__all__ = ["KINDS", "PICKLES", "File", "Folder", "Pickle", "Published", "Repository", "Source", "find"]

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
        """The arguments of the network, as `loading.build` takes them, known without reading the weights."""

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
