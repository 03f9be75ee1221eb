"""Pickles of whole objects: what they hold is read, what they ask for is not run."""

import contextlib
import io
import os
import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nvlabs_files import SOURCE, EasyDict, ModuleDict, Saved, write
from torch import nn

from dis_lightning.errors import UserError
from dis_lightning.weights import SavedObject, read_objects


class Call:
    """A pickle that calls a function when it is executed."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> Any:
        return self.reduced


def test_plain_values_tensors_and_objects_come_out(tmp_path: Path) -> None:
    shared = torch.arange(12.0)
    tensors = {
        "view": shared.view(3, 4).T[1:],
        "same": shared,
        "half": torch.ones(2, dtype=torch.float16),
        "bfloat16": torch.ones(2, dtype=torch.bfloat16),
        "whole": torch.tensor(2**40),
        "empty": torch.empty(0, 3),
    }
    child = Saved("Linear", weight=torch.eye(2))
    wanted = {"scalar": np.float64(0.1), "count": np.int32(-7), "yes": np.bool_(True), "inf": float("inf")}
    more = {"options": EasyDict(path="x.zip", inner=EasyDict(a=[1, 2])), "kinds": {1, 2}, "size": torch.Size([2, 3])}
    outer = Saved(
        "Outer", {"rate": 3}, modules={"list": ModuleDict({"first": child}), "one": child}, array=np.arange(3)
    )
    content = {"ema": outer, "tensors": tensors, "numbers": wanted, "type": torch.float16, **more}
    found = read_objects(write(tmp_path / "a.pkl", content))

    for name, tensor in tensors.items():
        assert found["tensors"][name].dtype == tensor.dtype
        assert torch.equal(found["tensors"][name], tensor), name
    assert found["numbers"] == wanted
    assert {type(number) for number in found["numbers"].values()} == {float, int, bool}
    assert found["options"] == more["options"]
    assert found["kinds"] == more["kinds"]
    ema = found["ema"]
    assert (ema.kind, ema.attributes["_init_kwargs"]) == ("Outer", {"rate": 3})
    assert list(ema.children) == ["list", "one"]
    assert [part.kind for part in ema.within()] == ["Outer", "ModuleDict", "Linear", "Linear"]
    assert [name for name, _ in ema.tensors()] == ["list.first.weight", "one.weight"]
    assert all(torch.equal(tensor, torch.eye(2)) for _, tensor in ema.tensors())
    assert isinstance(ema, SavedObject)
    assert "module_src" not in ema.attributes
    light = read_objects(tmp_path / "a.pkl", tensors=False)
    assert set(light["tensors"].values()) == {None}
    assert list(light["ema"].tensors()) == []


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_every_protocol_of_python_3_is_read(protocol: int, tmp_path: Path) -> None:
    content = {"ema": Saved("Linear", weight=torch.eye(2)), "kinds": {1}}
    found = read_objects(write(tmp_path / "a.pkl", content, protocol))
    assert found["kinds"] == {1}
    assert torch.equal(dict(found["ema"].tensors())["weight"], torch.eye(2))


def attacks(trap: Path) -> dict[str, tuple[object, str]]:
    """Each with what it is refused for."""
    touch = f"touch {trap}"
    inner = io.BytesIO()
    torch.save(Call(os.system, touch), inner, _use_new_zipfile_serialization=False)
    return {
        "system": (Call(os.system, touch), "posix.system"),
        "popen": (Call(subprocess.Popen, ["touch", str(trap)]), "subprocess.Popen"),
        "eval": (Call(eval, f"open({str(trap)!r}, 'w').close()"), "builtins.eval"),
        "exec": (Call(exec, f"open({str(trap)!r}, 'w').close()"), "builtins.exec"),
        "method": (Call(Path.touch, trap), "pathlib"),
        "getattr": (Call(getattr, "", "join"), "builtins.getattr"),
        "loads": (Call(pickle.loads, pickle.dumps(Call(os.system, touch))), "_pickle.loads"),
        "hub": (Call(torch.hub.load, "owner/name", "model"), "torch.hub.load"),
        "load": (Call(torch.load, str(trap)), "torch.serialization.load"),
        "numpy": (Call(np.load, str(trap)), "numpy.load"),
        "class": (nn.functional.relu, "torch.nn.functional.relu"),
        "storage": (Call(torch.storage._load_from_bytes, inner.getvalue()), "posix.system"),
    }


@pytest.mark.parametrize("where", ["beside", "inside", "first"])
@pytest.mark.parametrize("name", list(attacks(Path("trap"))))
def test_what_no_network_needs_is_refused_by_name_and_nothing_is_executed(
    name: str, where: str, tmp_path: Path
) -> None:
    attack, told = attacks(tmp_path / "executed")[name]
    network = Saved("EDMPrecond", sigma_data=attack if where == "inside" else 0.5)
    content = {"trap": attack, "ema": network} if where == "first" else {"ema": network, "trap": attack}
    file = write(tmp_path / "trap.pkl", content)
    with pytest.raises(ValueError, match=rf"trap.pkl asks for {told}[\w.]*, which is no part of a network") as refused:
        read_objects(file)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "executed").exists()


def test_the_traps_do_work(tmp_path: Path) -> None:
    for name in ("system", "eval", "exec", "loads"):
        pickle.loads(pickle.dumps(attacks(tmp_path / name)[name][0]))
        assert (tmp_path / name).exists()


@pytest.mark.parametrize(
    "program",
    [
        b"cos\nsystem\n(S'touch executed'\ntR.",  # by the oldest opcodes
        b"(cos\nsystem\nS'touch executed'\no.",
        b"(S'touch executed'\nios\nsystem\n.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0etouch executed\x85R.",
    ],
)
def test_every_way_to_name_a_function_is_refused(
    program: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trap.pkl").write_bytes(program)
    with pytest.raises(ValueError, match=r"asks for os\.system"):
        read_objects(tmp_path / "trap.pkl")
    assert not (tmp_path / "executed").exists()
    pickle.loads(program)
    assert (tmp_path / "executed").exists()


def test_the_source_in_a_file_is_not_executed_and_its_modules_are_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch_utils").mkdir()
    (tmp_path / "torch_utils" / "__init__.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')")
    monkeypatch.syspath_prepend(str(tmp_path))
    file = write(tmp_path / "a.pkl", {"ema": Saved("EDMPrecond")})
    assert SOURCE.encode() in file.read_bytes()
    assert read_objects(file)["ema"].kind == "EDMPrecond"
    assert not (tmp_path / "imported").exists()


def test_a_file_cannot_change_what_the_next_one_is_read_with(tmp_path: Path) -> None:
    # BUILD sets attributes of whatever is on the stack: here of the stand-ins themselves.
    program = (
        b"\x80\x04\x8c\x19torch.nn.modules.container\x8c\nModuleDict\x93N}\x8c\x04kind\x8c\x05Other\x73\x86b"
        b"0\x8c\x0bcollections\x8c\x0bOrderedDict\x93N}\x8c\x04keys\x8c\x05Other\x73\x86b."
    )
    (tmp_path / "first.pkl").write_bytes(program)
    with contextlib.suppress(UserError):
        read_objects(tmp_path / "first.pkl")
    assert SavedObject.kind == ""
    found = read_objects(write(tmp_path / "b.pkl", {"ema": ModuleDict({}), "more": EasyDict(a=1)}))
    assert (found["ema"].kind, list(found["more"].keys())) == ("ModuleDict", ["a"])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html><html></html>", "damaged"),
        (b"a line of text\n", "damaged"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "damaged"),
        (None, "damaged"),
    ],
)
def test_what_is_no_such_pickle_is_refused(content: bytes | None, told: str, tmp_path: Path) -> None:
    file = write(tmp_path / "a.pkl", {"ema": Saved("Linear", weight=torch.ones(100, 100))})
    whole = file.read_bytes()
    for broken in [content] if content is not None else [whole[:n] for n in (1, 30, 1000, len(whole) - 1)]:
        file.write_bytes(broken)
        with pytest.raises(ValueError, match=rf"a.pkl cannot be read as a pickle of a network.*{told}") as refused:
            read_objects(file)
        assert "\n" not in str(refused.value)


def test_numbers_from_a_gpu_are_read_without_one(tmp_path: Path) -> None:
    content = io.BytesIO()
    torch.save(torch.arange(4.0)._typed_storage(), content, _use_new_zipfile_serialization=False)
    here, there = (b"X" + len(place).to_bytes(4, "little") + place for place in (b"cpu", b"cuda:0"))
    assert here in content.getvalue()
    numbers = Call(torch.storage._load_from_bytes, content.getvalue().replace(here, there))
    tensor = Call(torch._utils._rebuild_tensor_v2, numbers, 0, (2, 2), (2, 1), False, {})
    assert torch.equal(read_objects(write(tmp_path / "a.pkl", tensor)), torch.arange(4.0).view(2, 2))


def test_a_tensor_that_reaches_beyond_its_numbers_is_refused(tmp_path: Path) -> None:
    numbers = torch.ones(4)
    rebuilt = torch._utils._rebuild_tensor_v2, (numbers._typed_storage(), 0, (1000,), (1,), False, {})
    with pytest.raises(ValueError, match="damaged"):
        read_objects(write(tmp_path / "a.pkl", Call(rebuilt[0], *rebuilt[1])))


def test_a_file_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(OSError, match="may not be read"):
        read_objects(tmp_path / "a.pkl")
