"""Networks of `open_clip`, which finds and fills them itself; what is missing, and what does not fit, is said here."""

import re

from torch import nn

from dis_lightning.errors import InvalidValueError, UnreachableError
from dis_lightning.weights.filling import misfits

__all__ = ["read_clip"]

FILES = "open_clip_model.safetensors (or open_clip_pytorch_model.bin)"
"""What `open_clip` looks for in a repository of the hub where its tag names no file."""


def read_clip(name: str, pretrained: str | None) -> nn.Module:
    """Read a network, on the CPU and in float32.

    Args:
        name: an architecture of `open_clip`, or "local-dir:" and a folder.
        pretrained: a tag of its published weights, or a file of them; None where the name is a folder.

    Raises:
        ConnectionError: if published weights are not here and cannot be downloaded, or anything else cannot be read.
        ValueError: if the weights are those of another network.
    """
    import open_clip  # takes seconds

    card = open_clip.get_pretrained_cfg(name, pretrained) if pretrained else {}
    try:
        if card:
            open_clip.download_pretrained(card)  # looked for before a large network is built
    except (OSError, RuntimeError) as error:
        raise UnreachableError(_where(name, pretrained, card["hf_hub"], error)) from error
    try:
        network: nn.Module = open_clip.create_model(name, pretrained, require_pretrained=True)
    except Exception as error:  # A damaged pickle fails in any way it likes.
        reason, _, report = str(error).partition("\n")
        if "loading state_dict" in reason:
            raise InvalidValueError(
                f"The weights {pretrained or 'in the folder'} are those of another network than {name} of open_clip: "
                f"{_misfits(report)}."
            ) from error
        raise UnreachableError(
            f"The network {name} of open_clip with the weights {pretrained!r} could not be read "
            f"({type(error).__name__}: {reason}). Check the names (open_clip.list_pretrained() has all), and that the "
            "files are whole."
        ) from error
    return network


def _where(name: str, pretrained: str | None, source: str, error: Exception) -> str:
    from huggingface_hub.constants import HF_HUB_CACHE

    # What follows the last slash is a file, or nothing.
    repository, _, file = source.rpartition("/")
    return (
        f"The weights {pretrained!r} of CLIP {name} could not be had from the hub ({type(error).__name__}). Without a "
        f"network, download {file or FILES} of https://huggingface.co/{repository} elsewhere, and copy the folder "
        f"models--{repository.replace('/', '--')} of the cache there to {HF_HUB_CACHE}."
    )


def _misfits(report: str) -> str:
    """What PyTorch reports on keys, in short."""
    missing, strange = (
        [key for line in re.findall(rf"{kind} key\(s\).*", report) for key in re.findall(r'"(.+?)"', line)]
        for kind in ("Missing", "Unexpected")
    )
    shapes = r"size mismatch for (\S+): .*?Size\(\[(.*?)\]\).*?Size\(\[(.*?)\]\)"
    other = [f"{key} ({came}) instead of ({needed})" for key, came, needed in re.findall(shapes, report)]
    return misfits(missing, strange, other)
