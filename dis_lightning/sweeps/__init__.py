"""Sweeps over parameters of a command, as W&B writes them, without its server."""

from dis_lightning.sweeps.definition import Sweep, read_sweep
from dis_lightning.sweeps.results import write_results
from dis_lightning.sweeps.trials import Trial, run_trials, sweep_folder

__all__ = ["Sweep", "Trial", "read_sweep", "run_trials", "sweep_folder", "write_results"]
