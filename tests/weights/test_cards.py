"""Cards and sources. That downloads are recorded, checked and explained, `test_checkpoints.py` shows for priors."""

import urllib.request
from pathlib import Path

import pytest
import torch

from dis_lightning.weights import FileCard, check_source, fetch


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileCard:
    """A card of a file on this file system, with an empty cache."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    (tmp_path / "remote.bin").write_bytes(b"weights")
    return FileCard("tiny_network", (tmp_path / "remote.bin").as_uri(), suffix=".ckpt")


def test_a_file_is_kept_under_the_name_of_its_card(card: FileCard) -> None:
    assert fetch("tiny_network", {"tiny_network": card}) == Path(
        torch.hub.get_dir(), "checkpoints", "tiny_network.ckpt"
    )
    assert card.path.read_bytes() == b"weights"


def test_a_file_that_somebody_put_there_is_taken_and_recorded(card: FileCard) -> None:
    Path(card.url.removeprefix("file://")).unlink()
    card.path.parent.mkdir(parents=True)
    card.path.write_bytes(b"by hand")
    assert fetch("tiny_network", {"tiny_network": card}).read_bytes() == b"by hand"
    card.path.write_bytes(b"another")
    with pytest.raises(ValueError, match="is damaged or is not tiny_network"):
        card.fetch()


def test_a_local_file_is_taken_as_it_is(card: FileCard, tmp_path: Path) -> None:
    assert fetch(tmp_path / "remote.bin", {"tiny_network": card}) == tmp_path / "remote.bin"
    assert fetch(str(tmp_path / "remote.bin"), {}) == tmp_path / "remote.bin"
    assert not card.path.parent.exists()


def test_a_page_in_the_place_of_a_file_is_not_kept(
    card: FileCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "page.html").write_text("<html>Too many downloads today</html>")
    opened = urllib.request.urlopen
    monkeypatch.setattr(urllib.request, "urlopen", lambda _: opened((tmp_path / "page.html").as_uri()))
    with pytest.raises(ConnectionError, match="web page instead of the file") as refusal:
        card.fetch()
    assert f"get {card.url} elsewhere and put it at {card.path}" in str(refusal.value)
    assert not card.path.exists()


def test_the_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "n.pt").touch()
    check_source("~/n.pt", {})
    assert fetch("~/n.pt", {}) == tmp_path / "n.pt"


def test_a_cache_that_cannot_be_written_is_named_with_what_to_do(
    card: FileCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file"))
    with pytest.raises(OSError, match=f"is kept at {card.path}, which cannot be written .* set TORCH_HOME to a folder"):
        card.fetch()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("tiny_netwrk", "'tiny_netwrk' is no file and no card. Did you mean `tiny_network`?"),
        ("weights/other.pt", "the cards are tiny_network."),
    ],
)
def test_an_unknown_source_is_refused_without_a_download(card: FileCard, source: str, message: str) -> None:
    with pytest.raises(FileNotFoundError, match=message):
        check_source(source, {"tiny_network": card})
    assert not card.path.exists()
