"""The commands of `dis-lightning`: the meaning of their arguments. What they do is done elsewhere."""

from dis_lightning.commands.convert import convert_command
from dis_lightning.commands.evaluate import evaluate_command
from dis_lightning.commands.predict import predict_command, run
from dis_lightning.commands.report import report_command

__all__ = ["convert_command", "evaluate_command", "predict_command", "report_command", "run"]
