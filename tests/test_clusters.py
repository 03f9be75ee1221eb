"""Machines of clusters: the suite is green where Slurm is installed, though Lightning wishes to be started by it."""

from pathlib import Path

import pytest
from small_run import SMALL

from dis_lightning.main import main


@pytest.mark.usefixtures("in_project")
def test_a_run_on_a_machine_with_slurm_needs_no_srun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    srun = tmp_path / "srun"
    srun.write_text("#!/bin/sh\nexit 1\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    main(["predict", *SMALL, f"--writer.folder={tmp_path / 'run'}"])  # a warning would be an error
    assert (tmp_path / "run" / "metrics.json").exists()
