"""The commands of `dis-lightning`: the meaning of their arguments. What they do is done elsewhere."""

from typing import TYPE_CHECKING

from dis_lightning.late import late

if TYPE_CHECKING:
    from dis_lightning.commands.predict import run

__all__ = ["run"]

# Reports and their like do not wait for what predictions import.
__getattr__ = late(__name__, run="dis_lightning.commands.predict")
