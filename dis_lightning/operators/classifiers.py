"""Published classifiers of torchvision and of timm: known by name, read when they are needed."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision import models

from dis_lightning.described import Described
from dis_lightning.errors import InvalidValueError, MissingPackageError
from dis_lightning.files import expanded
from dis_lightning.spelling import nearest
from dis_lightning.weights import fill, missing, reached_hub, read_tensors, unreachable

__all__ = ["Classifier", "TimmClassifier", "TorchvisionClassifier"]


HUB_FILES = "model.safetensors (or pytorch_model.bin)"
"""What timm looks for in a repository of the hub."""


class Classifier(Described, ABC):
    """A network that gives logits `(B, K)` for prepared images `(B, 3, H, W)`.

    Attributes:
        classes: names of the K classes, known without the weights.
    """

    classes: tuple[str, ...]

    @abstractmethod
    def build(self, device: torch.device | str = "cpu") -> nn.Module:
        """Read the network, frozen and in evaluation mode, in float32.

        Raises:
            ConnectionError: if the weights are not here and cannot be downloaded.
            FileNotFoundError: if the weights were given as a file that is not here.
            ValueError: if the file is damaged or holds another network.
        """


class TorchvisionClassifier(Classifier):
    """A classifier of torchvision, over the 1000 classes of ImageNet.

    Args:
        name: its name there, such as "resnet50"; see `torchvision.models.list_models`.
        weights: a name of its published weights, such as "IMAGENET1K_V2", or a file of the same tensors.

    Raises:
        ValueError: if torchvision has no such classifier.
    """

    def __init__(self, name: str = "resnet50", weights: str | Path = "IMAGENET1K_V2") -> None:
        _check_name(name, models.list_models(models), "torchvision")
        self.name = name
        self.weights = weights
        self._published = models.get_model_weights(name)
        self.classes = tuple(self._published.DEFAULT.meta["categories"])

    def build(self, device: torch.device | str = "cpu") -> nn.Module:
        """See `Classifier`."""
        with torch.device("meta"):
            network: nn.Module = models.get_model(self.name, weights=None)
        return fill(network, self._state(), self.weights, repr(self), device)

    def _state(self) -> dict[str, Any]:
        if self.weights not in self._published.__members__:
            return read_tensors(_file(self.weights, self._published.__members__))
        weights = self._published[str(self.weights)]
        try:
            state: dict[str, Any] = weights.get_state_dict(progress=True, check_hash=True)
        except OSError as error:
            kept = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2]
            place = f"put it at {kept}, or give its path as `weights`"
            raise unreachable(f"The weights {self.weights} of {self.name}", error, weights.url, place) from error
        return state


class TimmClassifier(Classifier):
    """A classifier of timm.

    Args:
        name: its name there, such as "resnet50.a1_in1k"; see `timm.list_models`.
        weights: a file of its tensors; by default the published ones are downloaded.

    Raises:
        ModuleNotFoundError: if timm is not installed.
        ValueError: if timm has no such classifier, or has no weights for it and none are given.
    """

    def __init__(self, name: str, weights: Path | None = None) -> None:
        timm = _timm()
        _check_name(name, [*timm.list_models(), *timm.list_models(pretrained=True)], "timm")
        if weights is None and not timm.is_model_pretrained(name):
            raise InvalidValueError(f"timm has no weights for {name}; give a file of them, or take another classifier.")
        self.name = name
        self.weights = weights
        card = timm.get_pretrained_cfg(name)
        count = card.num_classes if card else 1000
        # The classes of ImageNet are in torchvision's order.
        names = models.ResNet50_Weights.DEFAULT.meta["categories"]
        self.classes = tuple(names) if count == len(names) else tuple(f"class {number}" for number in range(count))

    def build(self, device: torch.device | str = "cpu") -> nn.Module:
        """See `Classifier`."""
        timm = _timm()
        if self.weights is not None:
            state = read_tensors(_file(self.weights))
            network: nn.Module = timm.create_model(self.name, num_classes=len(self.classes))
            return fill(network, state, self.weights, repr(self), device)
        try:
            with reached_hub():
                network = timm.create_model(self.name, pretrained=True)
        except (OSError, RuntimeError) as error:
            card = timm.get_pretrained_cfg(self.name)
            get = f"{HUB_FILES} of https://huggingface.co/{card.hf_hub_id}" if card.hf_hub_id else card.url
            place = "give its path as `weights`"
            raise unreachable(f"The weights of {self.name}", type(error).__name__, get, place) from error
        return network.to(device).requires_grad_(False).eval()


def _timm() -> Any:
    try:
        import timm  # Only for those who ask for its networks.
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            "Classifiers of timm need another package: pip install timm; or take a TorchvisionClassifier."
        ) from error
    return timm


def _check_name(name: str, known: Iterable[str], package: str) -> None:
    known = sorted(set(known))
    if name not in known:
        instead = nearest(name, known, at_most=3).strip() or f"It has {len(known)} others: see its list_models."
        raise InvalidValueError(f"{package} has no classifier {name!r}. {instead}")


def _file(path: str | Path, published: Collection[str] = ()) -> Path:
    if not expanded(path).is_file():
        raise missing(path, published, "published weight")
    return expanded(path)
