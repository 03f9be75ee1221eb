"""The commands of `dis-lightning`: the meaning of their arguments. What they do is done elsewhere."""

from typing import TYPE_CHECKING

from dis_lightning.late import late

if TYPE_CHECKING:
    from dis_lightning.commands.convert import convert_command
    from dis_lightning.commands.evaluate import evaluate_command
    from dis_lightning.commands.predict import predict_command, run
    from dis_lightning.commands.report import report_command
    from dis_lightning.commands.sweep import sweep_command

__all__ = ["convert_command", "evaluate_command", "predict_command", "report_command", "run", "sweep_command"]

# One command does not wait for what another imports.
__getattr__ = late(
    __name__,
    convert_command="dis_lightning.commands.convert",
    evaluate_command="dis_lightning.commands.evaluate",
    predict_command="dis_lightning.commands.predict",
    report_command="dis_lightning.commands.report",
    run="dis_lightning.commands.predict",
    sweep_command="dis_lightning.commands.sweep",
)
