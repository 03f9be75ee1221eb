"""What tells tensors and the weights of networks from others: their SHA-256."""

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn

from dis_lightning.files import file_sha256

__all__ = ["tensor_digest", "weights_digest", "weights_hashes"]


def weights_hashes(network: nn.Module, file: Path) -> dict[str, str]:
    """What tells weights from others, for a definition: the SHA-256 of their tensors, and of their file."""
    return {"weights_tensors_sha256": weights_digest(network), "weights_file_sha256": file_sha256(file)}


def weights_digest(network: nn.Module) -> str:
    """SHA-256 of all tensors of a network, in the order of their names; not that of the file that they came from."""
    digest = hashlib.sha256()
    for name, tensor in sorted([*network.named_parameters(), *network.named_buffers()]):
        digest.update(name.encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def tensor_digest(tensor: Tensor) -> str:
    """SHA-256 of the values of a tensor; one without values (device `meta`) has that of none."""
    return hashlib.sha256(b"" if tensor.is_meta else _bytes(tensor)).hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
