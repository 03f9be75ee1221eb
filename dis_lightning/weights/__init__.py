"""Weights: where they are, how files are read without running anything, and networks that are read when needed."""

from dis_lightning.weights.cards import FileCard, check_source, fetch, file_cards, read_cards
from dis_lightning.weights.checkpoint_files import read_checkpoint
from dis_lightning.weights.clip import CLIP
from dis_lightning.weights.filling import fill, misfits
from dis_lightning.weights.hub import fetch_from_hub, reached_hub
from dis_lightning.weights.json_files import read_json
from dis_lightning.weights.lazy import LazyNetwork, load_networks
from dis_lightning.weights.object_files import SavedObject, read_objects
from dis_lightning.weights.precision import Precision, as_dtype
from dis_lightning.weights.sources import (
    did_you_mean,
    existing_file,
    is_hub_id,
    is_path,
    missing,
    unreachable,
)
from dis_lightning.weights.tensor_files import read_metadata, read_tensors, write_tensors

__all__ = [
    "CLIP",
    "FileCard",
    "LazyNetwork",
    "Precision",
    "SavedObject",
    "as_dtype",
    "check_source",
    "did_you_mean",
    "existing_file",
    "fetch",
    "fetch_from_hub",
    "file_cards",
    "fill",
    "is_hub_id",
    "is_path",
    "load_networks",
    "misfits",
    "missing",
    "reached_hub",
    "read_cards",
    "read_checkpoint",
    "read_json",
    "read_metadata",
    "read_objects",
    "read_tensors",
    "unreachable",
    "write_tensors",
]
