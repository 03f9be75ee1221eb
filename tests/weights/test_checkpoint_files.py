"""Checkpoints with more than tensors in them: the tensors come, nothing else does, and nothing runs."""

import argparse
import pickle
import sys
from collections import Counter, OrderedDict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from lightning.fabric.utilities.data import AttributeDict
from torch import Tensor, nn

from dis_lightning.weights import read_checkpoint


class Trap:
    """A pickle that would write a file if anybody executed it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


class Callback(list[int]):
    """An object that is a list, with attributes, and whose class serves as a key."""


WEIGHTS = {
    "float": torch.arange(6.0).reshape(2, 3),
    "view": torch.arange(12.0).reshape(3, 4).T[1:],
    "parameter": nn.Parameter(torch.ones(2)),
    "double": torch.tensor([1e-300], dtype=torch.float64),
    "half": torch.tensor([0.5], dtype=torch.float16),
    "bfloat16": torch.tensor([3.0], dtype=torch.bfloat16),
    "long": torch.tensor(2**40),
    "bool": torch.tensor([True, False]),
    "bytes": torch.arange(5, dtype=torch.uint8),
    "empty": torch.empty(0, 3),
}


def checkpoint(**more: Any) -> dict[str, Any]:
    optimiser = torch.optim.Adam([nn.Parameter(torch.ones(2))])
    callback = Callback([1, 2, 3])
    callback.patience = 3  # type: ignore[attr-defined]
    return {
        "state_dict": OrderedDict(WEIGHTS),
        "optimizer_states": [optimiser.state_dict()],
        "callbacks": {Callback: {"best": np.float64(0.5), "scores": np.arange(3), "self": callback}},
        "hyper_parameters": AttributeDict(rate=1e-3, phase=argparse.Namespace(path=Path("x"), names={"a"})),
        "counts": Counter("abba"),
    } | more


def same(found: dict[str, Tensor]) -> bool:
    assert list(found) == list(WEIGHTS)
    for key, value in WEIGHTS.items():
        assert found[key].dtype == value.dtype
        assert torch.equal(found[key], value), key
    return True


def test_the_weights_of_a_checkpoint_with_hyper_parameters_are_read(tmp_path: Path) -> None:
    torch.save(checkpoint(), tmp_path / "last.ckpt")
    assert same(read_checkpoint(tmp_path / "last.ckpt"))


def test_no_class_that_the_file_names_needs_to_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = ModuleType("lost_module")
    lost.Config = type("Config", (dict,), {"__module__": "lost_module"})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lost_module", lost)
    torch.save(checkpoint(config=lost.Config(a=1)), tmp_path / "last.ckpt")
    monkeypatch.delitem(sys.modules, "lost_module")
    assert same(read_checkpoint(tmp_path / "last.ckpt"))
    assert "lost_module" not in sys.modules


@pytest.mark.parametrize("where", ["hyper_parameters", "state_dict"])
def test_nothing_in_a_checkpoint_is_executed(tmp_path: Path, where: str) -> None:
    trapped = tmp_path / "executed"
    torch.save(checkpoint(**{where: {"trap": Trap(trapped)}}), tmp_path / "trap.ckpt")
    if where == "state_dict":
        with pytest.raises(ValueError, match="must hold a dictionary of tensors under 'state_dict'"):
            read_checkpoint(tmp_path / "trap.ckpt")
    else:
        assert same(read_checkpoint(tmp_path / "trap.ckpt"))
    assert not trapped.exists()
    torch.load(tmp_path / "trap.ckpt", weights_only=False)
    assert trapped.exists()  # the trap does work


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": {}, "epoch": 3}, "under 'state_dict', but has the entries model, epoch"),
        ([torch.ones(1)], "under 'state_dict', but has no entries"),
        ({"state_dict": torch.ones(1)}, "dictionary of tensors under 'state_dict'"),
    ],
)
def test_another_file_is_refused_with_what_it_has(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match=rf"other.ckpt must hold .*{message}"):
        read_checkpoint(tmp_path / "other.ckpt")


@pytest.mark.parametrize("length", [0, 100, 2000])
def test_a_truncated_checkpoint_is_refused(tmp_path: Path, length: int) -> None:
    torch.save(checkpoint(), tmp_path / "whole.ckpt")
    (tmp_path / "broken.ckpt").write_bytes((tmp_path / "whole.ckpt").read_bytes()[:length])
    with pytest.raises(ValueError, match=r"broken.ckpt cannot be read as a checkpoint: it is damaged"):
        read_checkpoint(tmp_path / "broken.ckpt")


def test_a_plain_pickle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plain.ckpt").write_bytes(pickle.dumps(checkpoint(state_dict=Trap(tmp_path / "executed"))))
    with pytest.raises(ValueError, match=r"plain.ckpt cannot be read as a checkpoint"):
        read_checkpoint(tmp_path / "plain.ckpt")
    assert not (tmp_path / "executed").exists()


def test_a_tensor_larger_than_its_numbers_is_refused(tmp_path: Path) -> None:
    class Greedy:
        def __reduce__(self) -> tuple[Any, ...]:
            return torch._utils._rebuild_tensor_v2, (torch.ones(2).storage(), 0, (1000,), (1,), False, OrderedDict())

    with pytest.warns(UserWarning, match="TypedStorage is deprecated"):
        torch.save({"state_dict": {"w": Greedy()}}, tmp_path / "greedy.ckpt")
    with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
        read_checkpoint(tmp_path / "greedy.ckpt")
