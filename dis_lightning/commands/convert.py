"""The command `dis-lightning convert FILE OUT.safetensors`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dis_lightning.commands.parser import Parser
from dis_lightning.commands.quiet import quieten
from dis_lightning.commands.reading import read_arguments
from dis_lightning.errors import InvalidValueError, MissingFileError, UnusablePathError
from dis_lightning.files import expanded
from dis_lightning.priors.checkpoints import find, load_network, save_network
from dis_lightning.priors.guided_format import AttentionOrder
from dis_lightning.priors.vp import VP

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
    options = read_arguments(parser, args)
    _check(options.output)
    source = find(options.file)
    kind, card = source.kind(), source.card()
    network = load_network(options.file, arguments=options.arguments, attention_order=options.attention_order)
    if kind is None and options.attention_order is not None:
        kind = VP.gives  # as all files of guided-diffusion
    save_network(network, options.output, kind, **({"schedule": card.schedule} if card and card.schedule else {}))
    words = [type(network).__name__, "x".join(map(str, network.shape)), f"time input {network.time_input}"]
    words += [f"{network.num_classes} classes"] if network.num_classes else []
    words += [f"gives the {kind}"] if kind else []
    print(f"Network:  {options.output} ({', '.join(words)})")


def _check(output: Path) -> None:
    """Refuse a place before anything is read."""
    if output.suffix != ".safetensors":
        raise InvalidValueError(f"{output} must end in .safetensors: that is what is written.")
    if output.exists():
        raise UnusablePathError(f"{output} is there already and is not overwritten: choose another name, or delete it.")
    if not output.parent.is_dir():
        raise MissingFileError(f"{output.parent} is no folder: make it, or choose another for {output.name}.")
