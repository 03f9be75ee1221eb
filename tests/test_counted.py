"""A long task says how far it is; a quick one says nothing."""

import pytest

from dis_lightning import progress
from dis_lightning.progress import counted


class Clock:
    """Time that passes when it is told to."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_lines_come_as_time_passes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    seen = []
    for item in counted(range(5000, 6250), "Counting", every=4.0):
        seen.append(item)
        clock.now += 0.008
    assert seen == list(range(5000, 6250))
    assert capsys.readouterr().err.splitlines() == ["Counting: 500 of 1,250", "Counting: 1,000 of 1,250"]


def test_a_quick_task_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(counted("abc", "Spelling")) == ["a", "b", "c"]
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
