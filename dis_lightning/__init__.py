"""Training-free diffusion inverse solvers as a PyTorch Lightning framework."""

from typing import TYPE_CHECKING

from dis_lightning.late import late

if TYPE_CHECKING:
    from dis_lightning.reconstructor import as_deepinv as as_deepinv

__version__ = "0.1.0"

__getattr__ = late(__name__, as_deepinv="dis_lightning.reconstructor")
