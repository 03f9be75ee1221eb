"""Networks of open_clip: what comes with the wrong weights, or with none that can be read."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_networks import clip_folder

from dis_lightning.weights import read_clip


def folder(path: Path, change: dict[str, Any]) -> str:
    shutil.copytree(clip_folder(), path, dirs_exist_ok=True)
    weights = torch.load(path / "open_clip_pytorch_model.bin") | change
    kept = {key: value for key, value in weights.items() if value is not None}
    torch.save(kept, path / "open_clip_pytorch_model.bin")
    return f"local-dir:{path}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text_projection": None, "logit_scale": None}, r"2 weights are missing \(text_projection, logit_scale\)\.$"),
        ({f"{n}.weight": torch.ones(1) for n in range(4)}, r"4 are not known \(0.weight, 1.weight, 2.weight, ...\)\.$"),
        ({"text_projection": torch.ones(2, 3)}, r"1 differ in shape \(text_projection \(2, 3\) instead of \(16, 16\)"),
        ({"logit_scale": None, "x": torch.ones(1)}, r"1 weights are missing \(logit_scale\); 1 are not known \(x\)\.$"),
    ],
)
def test_weights_of_another_network_are_told_by_keys(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"another network than local-dir:.* of open_clip: {message}"):
        read_clip(folder(tmp_path, change), None)


def test_a_damaged_file_is_said_to_be_unreadable(tmp_path: Path) -> None:
    name = folder(tmp_path, {})
    (tmp_path / "open_clip_pytorch_model.bin").write_bytes(b"broken off")
    with pytest.raises(ConnectionError, match=r"could not be read \(.*\)\. Check the names .* the files are whole"):
        read_clip(name, None)
