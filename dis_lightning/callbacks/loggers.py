"""What goes to the loggers beside numbers: pictures."""

from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from torch import Tensor

__all__ = ["log_picture"]


def log_picture(logger: Logger, name: str, picture: Tensor) -> None:
    """Give a logger a picture, if it takes any.

    Args:
        logger: any logger; those of W&B and TensorBoard take pictures.
        name: what the logger calls it.
        picture: 8 bit, `(3, H, W)`.
    """
    if isinstance(logger, WandbLogger):
        logger.log_image(name, [picture.permute(1, 2, 0).numpy()])
    elif isinstance(logger, TensorBoardLogger):
        logger.experiment.add_image(name, picture)
