"""Every solver on measurements of rooms that are networks: the first paper's tables 1 to 3 in miniature.

    python -m studies.rooms_semantic table      makes every row a run, a page per problem to look at, and the table
    python -m studies.rooms_semantic tune       chooses the step sizes; about 35 minutes of one core
    python -m studies.rooms_semantic settings --problem layout --solver DPS > dps.yaml
    dis-lightning predict --config dps.yaml --writer.folder outputs/dps

The first takes about 30 minutes of one core; what is broken off goes on where it stopped. The last two lines run one
row from the command line.

Xu et al., "Consistency Models Improve Diffusion Inverse Solvers", 2024, https://arxiv.org/abs/2403.12063. What network
A reads off a room is the measurement, and A guides; whether the samples agree with it is asked of A, of A on samples
with noise, and of network B, which guided nobody. Sample quality is the Fréchet distance to other rooms in the features
of B. Step sizes are tuned to what B says of other rooms. After the tables each comparison that the paper makes is made
again.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image
from torch import Tensor

from dis_lightning.images import dequantise
from dis_lightning.rooms import rooms_reader_b
from dis_lightning.runs import Run
from studies.rooms_rows import Study
from studies.rooms_table import Column, Runs, commands, table_of
from studies.rooms_verdicts import COLUMNS, Comparison, Read, verdicts

__all__ = ["STUDY", "features", "read", "text"]

STUDY = Path(__file__).with_suffix(".yaml")
"""The rows of the table."""

ENDS = ("", "_noisy", "_judge")
"""How the names end of agreement by the network that guided, by it on samples with noise, and by the other."""

NOTE = (
    "Agreement with the measurement, which A made of the true room, over {images} rooms: mean IoU (maps), share of the "
    "six facts (captions), accuracy (classes), with standard errors. A guided, B did not; noise: standard deviation "
    "0.2 on the sample. Fréchet distance: {images} samples to {reference} other rooms in {depth} features of B. Step "
    "sizes are tuned to the distance by B."
)


def text(study: Study, runs: Runs, file: Path = STUDY) -> str:
    """The tables, one per problem, and the comparisons with the paper, as Markdown.

    Args:
        study: the rows.
        runs: the finished rows.
        file: of the study, which holds what the paper reports and compares.
    """
    paper = yaml.safe_load(file.read_text())
    reference = features(sorted(Path(study.reference["folder"], "images").glob("*.png")))
    tables, seen = [], {}
    for problem, row in runs.items():
        stem = paper["agreement"][problem]
        metrics = (*(stem + end for end in ENDS), "fid_rooms")
        columns = {heading: Column(metric) for heading, metric in zip(COLUMNS.values(), metrics, strict=True)}
        tables.append(table_of(study, problem, row, columns))
        seen[problem] = {solver: read(run, stem) for solver, run in row.items()}
    images = study.data["init_args"]["num_images"]
    note = NOTE.format(images=images, reference=len(reference), depth=reference.shape[1])
    comparisons = [Comparison(*pair) for pair in paper["comparisons"]]
    return "\n".join([*tables, note, "", verdicts(comparisons, paper["reported"], seen, reference)])


def read(run: Run, stem: str) -> Read:
    """What was read off the samples of a run, image by image.

    Args:
        run: a finished row, with one sample per image.
        stem: name of the agreement by the network that guided.
    """
    guide, noisy, judge = (
        torch.tensor([values[stem + end] for values in run.values.values()], dtype=torch.float64) for end in ENDS
    )
    return Read(guide, noisy, judge, features(run.folder.sample(index, 0) for index in run.records))


@torch.no_grad()
def features(files: Iterable[Path]) -> Tensor:
    """What the reader that judges sees in pictures: `(N, D)`."""
    reader = rooms_reader_b()
    pictures = torch.stack([torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1) for file in files])
    return torch.cat([reader.features(dequantise(batch)) for batch in pictures.split(250)])


if __name__ == "__main__":
    commands(STUDY, text)
