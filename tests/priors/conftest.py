"""The reference vectors of the published U-Net: two tiny networks, made by running the official code."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from safetensors.torch import load_file
from torch import Tensor

from dis_lightning.priors.networks.unet import UNet

VECTORS = Path(__file__).parents[1] / "data" / "vectors"


class Reference(NamedTuple):
    arguments: dict[str, Any]
    weights: dict[str, Tensor]
    io: dict[str, Tensor]

    def network(self, **changes: Any) -> UNet:
        network = UNet(**{**self.arguments, **changes})
        network.load_state_dict(self.weights)
        return network.requires_grad_(False).eval()

    @property
    def labels(self) -> Tensor | None:
        return self.io.get("y")


def read(name: str) -> Reference:
    return Reference(
        json.loads((VECTORS / f"{name}.json").read_text()),
        load_file(VECTORS / f"{name}.weights.safetensors"),
        load_file(VECTORS / f"{name}.io.safetensors"),
    )


@pytest.fixture(params=["adm_lsun_tiny", "adm_imagenet_tiny"])
def reference(request: pytest.FixtureRequest) -> Reference:
    return read(request.param)


@pytest.fixture
def lsun() -> Reference:
    return read("adm_lsun_tiny")


@pytest.fixture
def imagenet() -> Reference:
    return read("adm_imagenet_tiny")


@pytest.fixture
def vectors_folder() -> Path:
    return VECTORS
