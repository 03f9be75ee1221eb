"""Sweeps over parameters of a command, as W&B writes them, without its server."""

from dis_lightning.sweeps.definition import Sweep, read_sweep
from dis_lightning.sweeps.results import write_results
from dis_lightning.sweeps.trials import Trial, plan, run_trials

__all__ = ["Sweep", "Trial", "plan", "read_sweep", "run_trials", "write_results"]
