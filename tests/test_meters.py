"""What a meter shows, in the units that it names."""

import resource
import sys
from types import SimpleNamespace

import pytest
import torch

from dis_lightning.meters import CostMeter


@pytest.mark.parametrize(("platform", "peak"), [("linux", 3 * 2**20), ("darwin", 3 * 2**30)])
def test_memory_is_in_gibibytes(platform: str, peak: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(resource, "getrusage", lambda _: SimpleNamespace(ru_maxrss=peak))  # in KiB, and in bytes
    with CostMeter((), torch.device("cpu")) as meter:
        pass
    assert meter.memory == 3.0
    assert meter.per_image(4).memory == 3.0
