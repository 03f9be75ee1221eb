"""The command `dis-lightning convert FILE OUT.safetensors`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dis_lightning.arguments.parser import Parser
from dis_lightning.arguments.reading import read_arguments
from dis_lightning.errors import InvalidValueError, MissingFileError, UnusablePathError
from dis_lightning.files import expanded
from dis_lightning.priors.checkpoints.guided_format import AttentionOrder
from dis_lightning.priors.checkpoints.loading import agreed, load_network, save_network
from dis_lightning.priors.checkpoints.sources import find
from dis_lightning.priors.vp import VP, Prediction
from dis_lightning.schedules import Schedule
from dis_lightning.streams import quieten

__all__ = ["convert_command"]

USAGE = "dis-lightning convert FILE OUT.safetensors"


def convert_command(args: Sequence[str]) -> None:
    """Write a network to a plain file that says how it is built, and say what it is.

    Args:
        args: the arguments after `convert`.

    Raises:
        FileNotFoundError: if there is no such network, or no folder to write to.
        ConnectionError: if a download fails.
        OSError: if the output is there already, or cannot be written.
        ValueError: if the output is no safetensors file by its name, or the network cannot be read.
    """
    quieten()
    about = (
        "Write a network to a plain file of tensors that says how the network is built; nothing in FILE is executed."
    )
    parser = Parser(prog="dis-lightning convert", usage=USAGE, description=about)
    parser.add_argument(
        "file", type=str, metavar="FILE", help="a file, such as NVlabs' .pkl, a folder, a card or a hub id: any network"
    )
    parser.add_argument("output", type=expanded, metavar="OUT", help="the file to write, OUT.safetensors")
    parser.add_argument(
        "--arguments", type=dict[str, Any] | None, help="how the network is built, where FILE does not say it"
    )
    parser.add_argument(
        "--attention_order",
        type=AttentionOrder | None,
        help="of a file of guided-diffusion, whose attention has one of two orders that it does not say",
    )
    parser.add_argument(
        "--schedule", type=Schedule | None, help="of a network for VP: what it was trained on, if FILE does not say it"
    )
    parser.add_argument(
        "--prediction", type=Prediction | None, help="of a network for VP: what it predicts, if FILE does not say it"
    )
    options = read_arguments(parser, args)
    _check(options.output)
    source = find(options.file)
    kind, told = source.kind(), {"schedule": options.schedule, "prediction": options.prediction}
    known = source.training()
    training = {name: agreed(options.file, name, value, known.get(name)) for name, value in told.items()}
    if options.attention_order or any(told.values()):
        kind = _of_vp(options.file, kind)
    network = load_network(options.file, arguments=options.arguments, attention_order=options.attention_order)
    save_network(network, options.output, kind, **training)
    words = [type(network).__name__, "x".join(map(str, network.shape)), f"time input {network.time_input}"]
    words += [f"{network.num_classes} classes"] if network.num_classes else []
    words += [f"gives the {kind}"] if kind else []
    words += [f"{name} {value}" for name, value in training.items() if value]
    print(f"Network:  {options.output} ({', '.join(words)})")


def _of_vp(source: str, kind: str | None) -> str:
    """The kind of networks for VP, as all files of guided-diffusion are; refused of one that is known to be another."""
    if kind not in (None, VP.gives):
        raise InvalidValueError(
            f"{source} gives a {kind}: a schedule, a prediction and an order of the attention are of networks for VP."
        )
    return VP.gives


def _check(output: Path) -> None:
    """Refuse a place before anything is read."""
    if output.suffix != ".safetensors":
        raise InvalidValueError(f"{output} must end in .safetensors: that is what is written.")
    if output.exists():
        raise UnusablePathError(f"{output} is there already and is not overwritten: choose another name, or delete it.")
    if not output.parent.is_dir():
        raise MissingFileError(f"{output.parent} is no folder: make it, or choose another for {output.name}.")
