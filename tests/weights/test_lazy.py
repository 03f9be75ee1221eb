"""A network that is read when it is needed: once, frozen, in any mode."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from dis_lightning.priors import EDM, FlowMap, UNet, save_network
from dis_lightning.weights import LazyNetwork, load_networks, read_tensors, tensor_files, write_tensors


class Reader:
    """Counts how often it is asked."""

    def __init__(self, fails: int = 0) -> None:
        self.times, self.fails = 0, fails

    def __call__(self) -> nn.Module:
        self.times += 1
        if self.times <= self.fails:
            raise FileNotFoundError
        return nn.Sequential(nn.Linear(3, 3), nn.Dropout())


def test_nothing_is_read_before_it_is_needed_and_then_once() -> None:
    read = Reader()
    network = LazyNetwork(read, "somewhere")
    assert (network.network, list(network.parameters()), read.times) == (None, [], 0)
    x = torch.ones(2, 3)
    first = network(x)
    assert torch.equal(network(x), first)
    assert network.load() is network.ready(x) is network.network
    assert read.times == 1
    assert not network.network.training
    assert not any(weight.requires_grad for weight in network.parameters())


def test_a_network_that_is_given_is_used_as_it_is_and_frozen() -> None:
    given = nn.Linear(3, 3)
    network = LazyNetwork(given)
    assert network.load() is given
    assert not given.training
    assert not given.weight.requires_grad


def test_it_is_called_the_same_before_and_after_it_is_read() -> None:
    network = LazyNetwork(Reader(), "somewhere")
    before = repr(network)
    network.load()
    assert repr(network) == before == "LazyNetwork(somewhere)"
    assert repr(LazyNetwork(nn.ReLU())) == "LazyNetwork(ReLU)"


def test_what_could_not_be_read_is_read_once_it_is_there() -> None:
    network = LazyNetwork(Reader(fails=1))
    with pytest.raises(FileNotFoundError):
        network.load()
    assert isinstance(network.load(), nn.Sequential)


def test_weights_that_are_read_in_inference_mode_serve_gradients() -> None:
    network, x = LazyNetwork(Reader()), torch.ones(2, 3, requires_grad=True)
    with torch.inference_mode():
        network.load()
        network(torch.ones(2, 3))
    network(x).sum().backward()
    assert x.grad is not None


def test_it_is_read_to_where_it_is_needed_and_moved_when_that_changes() -> None:
    network = LazyNetwork(Reader())
    assert network(torch.ones(2, 3, device="meta")).is_meta  # a device without numbers
    assert network.load("meta") is network.network
    assert network.load().get_parameter("0.weight").is_meta  # to ask for it does not move it
    assert {weight.device.type for weight in LazyNetwork(nn.Linear(3, 3)).load("meta").parameters()} == {"meta"}


def test_all_networks_of_a_part_are_read_however_deep() -> None:
    readers = [Reader(), Reader()]
    part = nn.ModuleDict({"a": LazyNetwork(readers[0]), "b": nn.Sequential(LazyNetwork(readers[1]))})
    for _ in range(2):
        load_networks(part)
        assert [read.times for read in readers] == [1, 1]


def test_a_prior_within_a_prior_is_read_before_it_is_used(tmp_path: Path) -> None:
    save_network(UNet(8, 32, 1, [8], [1], num_head_channels=32), tmp_path / "n.safetensors")
    flow = FlowMap(EDM(str(tmp_path / "n.safetensors")), steps=1)
    flow.load()
    assert flow.denoiser.network.network is not None
    (tmp_path / "n.safetensors").unlink()
    assert flow(torch.zeros(1, 3, 8, 8), 1.0).shape == (1, 3, 8, 8)


def test_a_file_is_written_into_its_folder_for_whom_the_umask_says(tmp_path: Path) -> None:
    write_tensors({"a": torch.arange(6.0).reshape(2, 3).T}, tmp_path / "new" / "w.safetensors", {"b": "c"})
    assert torch.equal(read_tensors(tmp_path / "new" / "w.safetensors")["a"], torch.arange(6.0).reshape(2, 3).T)
    (tmp_path / "other").touch()
    assert (tmp_path / "new" / "w.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize(
    "damage", [lambda old: old[:-1], lambda old: old[:20], lambda old: b"", lambda old: b"\xff" * 8 + old[8:]]
)
def test_a_damaged_safetensors_file_is_named(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    save_file({"a": torch.zeros(100)}, tmp_path / "w.safetensors")
    (tmp_path / "w.safetensors").write_bytes(damage((tmp_path / "w.safetensors").read_bytes()))
    with pytest.raises(ValueError, match=r"w\.safetensors cannot be read .*: it is damaged"):
        read_tensors(tmp_path / "w.safetensors")


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tensor_files, "load_file", refuse)
    with pytest.raises(OSError, match=r"w\.safetensors may not be read \(Permission denied\): change its permissions"):
        read_tensors(tmp_path / "w.safetensors")
