"""`python -m dis_lightning.rooms export --folder DIR --num-images 16`: one subcommand per function below."""

import re
import sys
from pathlib import Path
from typing import Literal

import torch
from jsonargparse import auto_cli

from dis_lightning.errors import InvalidValueError, UserError
from dis_lightning.rooms.export import write_folder, write_lmdb
from dis_lightning.rooms.training.examine import examine
from dis_lightning.rooms.training.fit import fit
from dis_lightning.rooms.training.retrieval import retrieve
from dis_lightning.rooms.training.score import score
from dis_lightning.streams import quieten

__all__ = ["export", "main"]


def export(
    folder: Path | None = None,
    lmdb: Path | None = None,
    num_images: int = 16,
    split: str = "test",
    size: int = 64,
    seed: int = 0,
    image_format: Literal["webp", "jpeg"] = "webp",
) -> None:
    """Write rooms as a folder of PNG with labels, as an LMDB laid out as LSUN, or both.

    Args:
        folder: empty or new folder for `images/`, `segmentation/`, `layout/` and `captions.csv`.
        lmdb: empty or new folder for the LMDB.
        num_images: how many rooms.
        split: which rooms: train, val, tune, test or reference.
        size: height and width in pixels.
        seed: number of the world.
        image_format: how the LMDB's images are encoded; "webp" is lossless.

    Raises:
        ValueError: if neither target is given.
    """
    if folder is None and lmdb is None:
        raise InvalidValueError("export needs a target: --folder DIR, --lmdb DIR or both.")
    if folder is not None:
        write_folder(folder, num_images, split, size, seed)
    if lmdb is not None:
        write_lmdb(lmdb, num_images, split, size, seed, image_format)


def main(arguments: list[str] | None = None) -> None:
    """Run the subcommand named by the arguments; `--a-b` may be written `--a_b`.

    Args:
        arguments: by default those of the process.

    Raises:
        SystemExit: with one message on a user's mistake.
    """
    quieten()
    given = sys.argv[1:] if arguments is None else arguments
    names = [re.sub(r"^--[\w-]+", lambda name: "--" + name[0][2:].replace("-", "_"), word) for word in given]
    torch.manual_seed(0)  # networks that are to be trained are built while the arguments are read
    try:
        auto_cli(
            {"export": export, "fit": fit, "score": score, "examine": examine, "retrieve": retrieve},
            args=names,
            as_positional=False,
        )
    except UserError as error:
        sys.exit(f"dis_lightning.rooms: {error}")


if __name__ == "__main__":
    main()
