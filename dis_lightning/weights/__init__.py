"""Published weights: where they are, how their files are read without running anything, how a network is filled."""

from dis_lightning.weights.cards import FileCard, check_source, fetch, fetch_from_hub, file_cards, read_cards
from dis_lightning.weights.checkpoint_files import read_checkpoint
from dis_lightning.weights.filling import fill
from dis_lightning.weights.tensor_files import read_metadata, read_tensors

__all__ = [
    "FileCard",
    "check_source",
    "fetch",
    "fetch_from_hub",
    "file_cards",
    "fill",
    "read_cards",
    "read_checkpoint",
    "read_metadata",
    "read_tensors",
]
