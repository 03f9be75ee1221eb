"""What the table in the terminal says beside numbers."""

from pathlib import Path
from typing import Any

import pytest

from dis_lightning.runs import RunFolder
from dis_lightning.runs.table import clamped, print_summary


def summary(**more: Any) -> dict[str, Any]:
    value = {"mean": 0.25, "standard_error": 0.01, "images": 4, "infinite": 0}
    definitions = {"coverage": {"level": 0.6}, "psnr": {"unit": "dB"}}
    whole = {"images": 4, "samples_per_image": 4, "diverged": {"count": 0, "samples": []}, "clamped": {}}
    return {**whole, "metrics": {"psnr": value}, "set": {"coverage": value}, "definitions": definitions, **more}


def test_a_coverage_stands_beside_what_it_should_be(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    print_summary(summary(), RunFolder(tmp_path))
    lines = {line.split()[1]: line for line in capsys.readouterr().out.splitlines() if "0.25" in line}
    assert "should be 0.6" in lines["coverage"]
    assert "dB" in lines["psnr"]


@pytest.mark.parametrize(("share", "spoken"), [(None, False), (0.04, False), (0.25, True)])
def test_only_many_clamped_values_are_spoken_of(share: float | None, spoken: bool) -> None:
    said = clamped(summary(clamped={} if share is None else {"mean": share, "largest": share}))
    assert said.startswith("25% of the values of the samples lay outside [-1, 1]") == spoken == bool(said)
