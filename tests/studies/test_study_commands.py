"""Every study is a command that says what it takes."""

import runpy
import sys

import pytest
from small_run import ROOT

STUDIES = [f.stem for f in sorted((ROOT / "studies").glob("*.py")) if 'if __name__ == "__main__"' in f.read_text()]


@pytest.mark.filterwarnings("ignore:.*found in sys.modules after import of package")
@pytest.mark.parametrize("name", STUDIES)
def test_a_study_explains_itself(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"studies.{name}", run_name="__main__")
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: ")
