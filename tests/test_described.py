"""What an object is made of, in plain values that mean the same in every process."""

import copy
import functools
import hashlib
import inspect
import json
import pickle
import subprocess
import sys
from abc import ABC
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dis_lightning.data import base
from dis_lightning.described import Described, description
from dis_lightning.levels import KarrasLevels
from dis_lightning.operators import AveragePool, LinearOperator
from dis_lightning.posteriors import PosteriorSpread


class Colour(Enum):
    RED = 1


class Base(Described, ABC):
    """A parent with arguments of its own."""

    def __init__(self, seed: int = 0, *, name: str = "a") -> None:
        self.seed = seed
        self.name = name


class Part(Base):
    """A child that passes arguments on."""

    def __init__(self, weight: Any, *rest: Any, rate: float = 0.5, **common: Any) -> None:
        super().__init__(**common)
        self.weight = weight


class Nothing(Described):
    """What takes no arguments."""


class Plain:
    """What knows nothing of descriptions."""

    def __init__(self, gain: float) -> None:
        self.gain = gain
        self._cache = object()


@dataclass
class Fields:
    """A dataclass."""

    gain: float
    inner: Plain


class Network(nn.Module):
    """A module that knows nothing of descriptions."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.inner = nn.Linear(2, 2)
        self.shape = Plain(slope)
        nn.init.constant_(self.inner.weight, 0.5)
        nn.init.zeros_(self.inner.bias)


class Net(Described, nn.Module):
    """A module that does."""

    def __init__(self, width: int, inner: nn.Module | None = None) -> None:
        super().__init__()
        self.inner = inner


class Lit(Described, lightning.LightningModule):
    """A module of Lightning."""

    def __init__(self, rate: float = 0.1) -> None:
        super().__init__()


def double(x: Tensor) -> Tensor:
    return 2 * x


def arguments(value: object) -> Any:
    return description(value)["init_args"]


def test_arguments_have_their_names_and_defaults_those_of_parents_too() -> None:
    assert description(Part(3)) == {
        "class_path": f"{__name__}.Part",
        "init_args": {"weight": 3, "rate": 0.5, "seed": 0, "name": "a"},
    }
    assert arguments(Part(3, rate=1, name="b", seed=7)) == {"weight": 3, "rate": 1, "seed": 7, "name": "b"}
    assert arguments(Part(3, 4, 5))["rest"] == [4, 5]
    assert description(Nothing()) == {"class_path": f"{__name__}.Nothing", "init_args": {}}


def test_a_class_of_the_package_is_called_as_it_is_offered() -> None:
    assert description(AveragePool) == "dis_lightning.operators.AveragePool"
    assert description(nn.Linear) == "torch.nn.modules.linear.Linear"  # others may offer theirs late
    assert description(AveragePool.measure) == "dis_lightning.operators.base.GaussianOperator.measure"
    assert description(len) == "builtins.len"
    assert description(base.data_of) == "dis_lightning.data.base.data_of"  # which the package does not offer


def test_what_is_called_wrongly_says_so_as_before() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'weight'"):
        Part()
    with pytest.raises(TypeError, match=r"Nothing\(\) takes no arguments"):
        Nothing(1)
    with pytest.raises(TypeError, match="abstract"):
        LinearOperator()


def test_signatures_are_those_of_constructors() -> None:
    assert list(inspect.signature(Part).parameters) == ["weight", "rest", "rate", "common"]
    assert list(inspect.signature(AveragePool).parameters) == ["factor", "noise_std"]


@pytest.mark.parametrize("value", [Part([1, Base()]), Net(3), Lit(0.2), KarrasLevels(5), PosteriorSpread()])
def test_copies_are_described_alike(value: Described) -> None:
    expected = description(value)
    for same in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert description(same) == expected


def test_what_is_changed_later_does_not_change_the_description() -> None:
    tensor, names = torch.zeros(2), ["a", ["b"]]
    part = Part(tensor, rate=names)  # type: ignore[arg-type]
    before = arguments(part)
    tensor += 1
    names[1].append("c")  # type: ignore[attr-defined]
    assert arguments(part) == before
    assert tensor.sum() == 2
    assert not any(isinstance(value, Tensor) for value in part._arguments.values())


def test_tensors_and_arrays_are_known_by_their_content() -> None:
    numbers = np.arange(6, dtype=np.float32).reshape(2, 3)
    digest = hashlib.sha256(numbers.tobytes()).hexdigest()
    for value in (
        numbers,
        torch.from_numpy(numbers),
        torch.from_numpy(numbers.T.copy()).T,
        nn.Parameter(torch.tensor(numbers)),
    ):
        assert description(value) == {"shape": [2, 3], "sha256": digest}
        assert arguments(Part(value))["weight"] == {"shape": [2, 3], "sha256": digest}
    assert description(torch.tensor(numbers).bfloat16()) != description(torch.tensor(numbers))
    assert description(np.array(["a", "b"])) == ["a", "b"]


def test_plain_values_stay_and_others_become_plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    given = {
        "none": None,
        "numbers": (1, 2.5, True, np.float64(0.5), np.int64(3), float("nan")),
        "enum": Colour.RED,
        "paths": [Path("a"), Path("~/a")],
        "dtype": torch.bfloat16,
        "device": torch.device("cpu"),
        "functions": [double, Path.exists, str.upper, len],
        "class": Part,
        "partial": functools.partial(double, x=3),
        "set": {2, 1},
        "exact": Decimal("0.1"),
        4: slice(1, 2),
    }
    expected = {
        "none": None,
        "numbers": [1, 2.5, True, 0.5, 3, "nan"],
        "enum": "RED",
        "paths": [str(tmp_path / "a")] * 2,
        "dtype": "torch.bfloat16",
        "device": "cpu",
        "functions": [f"{__name__}.double", "pathlib.Path.exists", "str.upper", "builtins.len"],
        "class": f"{__name__}.Part",
        "partial": {
            "class_path": "functools.partial",
            "init_args": {"func": f"{__name__}.double", "args": [], "keywords": {"x": 3}},
        },
        "set": [1, 2],
        "exact": "Decimal('0.1')",
        "4": "slice(1, 2, None)",
    }
    assert description(given) == expected
    assert json.loads(json.dumps(expected)) == expected
    assert description(torch.tanh) != description(torch.relu)


def test_objects_that_know_nothing_of_it_are_described_by_their_attributes() -> None:
    gain = {"class_path": f"{__name__}.Plain", "init_args": {"gain": 0.5}}
    assert description(Plain(0.5)) == gain
    assert description(Fields(1.0, Plain(0.5))) == {
        "class_path": f"{__name__}.Fields",
        "init_args": {"gain": 1.0, "inner": gain},
    }
    circle = Plain(0.5)
    circle.gain = circle  # type: ignore[assignment]
    assert description(circle) == {**gain, "init_args": {"gain": {"class_path": f"{__name__}.Plain"}}}


def test_modules_that_know_nothing_of_it_are_described_by_all_that_is_in_them() -> None:
    network = Network(0.5)
    described = description(network)
    assert described.keys() == {"class_path", "sha256"}
    assert description(Network(0.5).eval()) == described
    assert description(Network(0.6)) != described  # a number, and no tensor
    with torch.no_grad():
        network.inner.weight[0, 0] += 1
    assert description(network) != described
    assert arguments(Net(3, network)) == {"width": 3, "inner": description(network)}


def test_there_is_no_address_in_any_description_and_another_process_gives_the_same() -> None:
    values = [Part(Plain(0.5)), Net(3, Network(0.5)), Part([object(), torch.Generator(), lambda x: x, iter([])])]
    text = json.dumps([description(value) for value in values])
    assert "0x" not in text
    code = f"import json, {__name__} as t; from dis_lightning.described import description\n"
    code += "print(json.dumps([description(t.Part(t.Plain(0.5))), description(t.Net(3, t.Network(0.5)))]))"
    other = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
    )
    assert json.loads(other.stdout) == json.loads(text)[:2]


def test_repr_shows_the_arguments() -> None:
    assert repr(Nothing()) == "Nothing()"
    assert repr(KarrasLevels(5)) == "KarrasLevels(steps=5, sigma_min=0.002, sigma_max=80.0, rho=7.0)"
    assert repr(Part(torch.zeros(2, 3))) == "Part(weight=tensor of shape (2, 3), rate=0.5, seed=0, name='a')"
    assert repr(Part(Base(1))).startswith("Part(weight=Base(seed=1, name='a'), rate=0.5")
    assert repr(Part(list(range(20)))).startswith("Part(weight=[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, ...], ")
    assert repr(AveragePool(4)) == "AveragePool(factor=4, noise_std=0.0)"
    assert repr(Net(3, nn.ReLU())) == "Net(\n  width=3, inner=ReLU\n  (inner): ReLU()\n)"
