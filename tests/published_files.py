"""Files as they were published, made from what is known of them, and small networks in the place of the published."""

import argparse
import atexit
import functools
import json
import math
import tempfile
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from dis_lightning.operators.networks import KernelWizard, MobileNetC1
from dis_lightning.operators.networks.published import PublishedNetwork, cards

__all__ = ["manifest", "mobilenet", "randomised", "small_layout", "small_wizard", "write_published"]

MANIFESTS = Path(__file__).parent / "data" / "manifests"
"""A file per published file: the name of each tensor and its shape."""

Network = TypeVar("Network", bound=nn.Module)


def manifest(name: str) -> dict[str, list[int]]:
    shapes: dict[str, list[int]] = json.loads((MANIFESTS / f"{name}.json").read_text())
    return shapes


def write_published(name: str, path: Path | None = None) -> Path:
    """A file with the tensors of a published one, each of a single number (its place, by hundredths) in its shape."""
    tensors = {
        key: torch.tensor(place / 100, dtype=torch.int64 if key.endswith("_tracked") else torch.float32).expand(shape)
        for place, (key, shape) in enumerate(manifest(name).items())
    }
    content: object = tensors
    if name.startswith("room_layout"):
        content = {"state_dict": tensors, "hyper_parameters": argparse.Namespace(lr=1e-3), "epoch": 3}
    path = path or cards()[name].path
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path


def randomised(network: Network, seed: int = 0) -> Network:
    """Give a network weights under which its maps stay of order 1, and frozen statistics without symmetry."""
    generator = torch.Generator().manual_seed(seed)

    def value(key: str, tensor: Tensor) -> Tensor:
        if tensor.ndim > 1:
            return torch.randn(tensor.shape, generator=generator) * math.sqrt(2 / tensor[0].numel())
        if key.endswith(("running_var", "weight")):
            return torch.rand(tensor.shape, generator=generator) + 0.5
        return 0.1 * torch.randn(tensor.shape, generator=generator)

    state = {key: value(key, tensor).to(tensor.dtype) for key, tensor in network.state_dict().items()}
    network.load_state_dict(state)
    return network.requires_grad_(False).eval()


@functools.cache
def small_wizard() -> KernelWizard:
    """A blurring network for images of 8 pixels."""
    return randomised(KernelWizard((8, 8), feature_blocks=1, trunk_blocks=1))


def mobilenet() -> MobileNetC1:
    """The smaller network for segmentation, of its own width, with random weights in two files."""
    return MobileNetC1(*_mobilenet_files())


@functools.cache
def small_layout() -> PublishedNetwork:
    """Logits of five surfaces for images of any size."""
    return randomised(_SmallLayout())


class _SmallLayout(PublishedNetwork):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Tanh(), nn.Conv2d(8, 5, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.body(x.to(self.dtype))
        return logits.to(x.dtype)


@functools.cache
def _mobilenet_files() -> tuple[str, str]:
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    files = Path(folder.name, "encoder.pth"), Path(folder.name, "decoder.pth")
    for file, build in zip(files, (MobileNetC1.build_encoder, MobileNetC1.build_decoder), strict=True):
        torch.save(randomised(build()).state_dict(), file)
    return str(files[0]), str(files[1])
