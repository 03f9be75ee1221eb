"""The hub: asked once whether it can be reached, and not at all where it is known that it cannot."""

import socket
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from urllib.error import HTTPError, URLError

import huggingface_hub.constants
import pytest

from dis_lightning.operators import Caption
from dis_lightning.priors import EDM
from dis_lightning.weights import CLIP, reached_hub


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No word from the environment that there is no network, and an empty cache."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No network; and which hosts were looked for."""
    asked: list[str] = []

    def nobody(host: str, *_: object, **__: object) -> None:
        asked.append(host)
        raise socket.gaierror("no network")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    return asked


@pytest.mark.usefixtures("online")
def test_without_a_network_the_cache_alone_is_looked_at_while_it_lasts(lookups: list[str]) -> None:
    with reached_hub():
        assert huggingface_hub.constants.HF_HUB_OFFLINE
    assert not huggingface_hub.constants.HF_HUB_OFFLINE
    assert lookups == ["huggingface.co"]


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize(("answer", "offline"), [(200, False), (503, False), (None, True)])
def test_any_answer_will_do(answer: int | None, offline: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(request: urllib.request.Request, timeout: float) -> SimpleNamespace:
        if answer is None:
            raise URLError("no network")
        if answer >= 400:
            raise HTTPError(request.full_url, answer, "busy", None, None)
        return SimpleNamespace(close=lambda: None)

    monkeypatch.setattr(urllib.request, "urlopen", ask)
    with reached_hub():
        assert offline == huggingface_hub.constants.HF_HUB_OFFLINE


def test_nobody_is_asked_where_the_environment_says_that_there_is_no_network(lookups: list[str]) -> None:
    assert huggingface_hub.constants.HF_HUB_OFFLINE
    with reached_hub():
        pass
    assert lookups == []


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: EDM("someone/other"), "get the repository https://huggingface.co/someone/other .*give its folder"),
        (lambda: Caption("someone/other").load(), "get the whole repository .* and give its folder"),
        (lambda: CLIP("ViT-B-32", "openai").load(), "and give its path as `pretrained`"),
        (lambda: CLIP("ViT-B-16-SigLIP", "webli").require(["a"]), "repository https://huggingface.co/timm/ViT-B-16-S"),
    ],
)
def test_what_is_not_here_is_said_after_one_try(build: object, message: str, lookups: list[str]) -> None:
    """The libraries would try six times, for half a minute."""
    with pytest.raises(ConnectionError, match=f"could not be downloaded .* Without a network, .*{message}"):
        build()
    assert set(lookups) == {"huggingface.co"}
    assert len(lookups) == 1
