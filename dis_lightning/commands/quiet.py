"""What the libraries below say of themselves, and a user can do nothing about."""

import logging
import os
import warnings

__all__ = ["quieten"]


def quieten() -> None:
    """Leave it out: Lightning's tips, that it finds no TPU or could use Slurm, and calls in old ways."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    # lightning 2.6 still calls torch 2.15 and jsonargparse 4.53 in old ways.
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    warnings.filterwarnings("ignore", "`isinstance\\(treespec, LeafSpec\\)` is deprecated")
    # Runs are started from other programs too, which have arguments of their own.
    warnings.filterwarnings("ignore", "LightningCLI's args parameter is intended")
    # Nor is it a mistake to try a run where Slurm is installed; tasks that do not fit the run are refused.
    warnings.filterwarnings("ignore", "The `srun` command is available on your system")
