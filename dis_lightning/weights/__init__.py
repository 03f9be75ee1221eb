"""Published weights: where they are, how their files are read without running anything, how a network is filled."""

from dis_lightning.weights.cards import (
    FileCard,
    check_source,
    fetch,
    fetch_from_hub,
    file_cards,
    file_sha256,
    read_cards,
)
from dis_lightning.weights.checkpoint_files import read_checkpoint
from dis_lightning.weights.clip import read_clip
from dis_lightning.weights.filling import fill, misfits
from dis_lightning.weights.tensor_files import read_metadata, read_tensors

__all__ = [
    "FileCard",
    "check_source",
    "fetch",
    "fetch_from_hub",
    "file_cards",
    "file_sha256",
    "fill",
    "misfits",
    "read_cards",
    "read_checkpoint",
    "read_clip",
    "read_metadata",
    "read_tensors",
]
