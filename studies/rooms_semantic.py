"""Every solver on measurements of rooms that are networks: the first paper's tables 1 to 3 in miniature.

    python -m studies.rooms_semantic table      runs all rows; about 25 minutes of one core
    python -m studies.rooms_semantic tune       chooses the step sizes; about 35 minutes
    python -m studies.rooms_semantic pages      makes every row a run, and a page per problem to look at
    python -m studies.rooms_semantic settings --problem layout --solver DPS > dps.yaml
    dis-lightning predict --config dps.yaml --writer.folder outputs/dps

Xu et al., "Consistency Models Improve Diffusion Inverse Solvers", 2024, https://arxiv.org/abs/2403.12063. What network
A reads off a room is the measurement, and A guides; whether the samples agree with it is asked of A, of A on samples
with noise, and of network B, which guided nobody. Sample quality is the Fréchet distance to other rooms in the features
of B. Step sizes are tuned to what B says of other rooms. After the tables each comparison that the paper makes is made
again.
"""

from pathlib import Path

import torch
import yaml
from torch import Tensor

from dis_lightning.images import dequantise
from dis_lightning.rooms.pair import rooms_reader_b
from dis_lightning.rooms.training.album import album
from dis_lightning.rooms.training.score import frechet_distance
from studies.rooms_reading import NOISE_STD, Read, read, score
from studies.rooms_rows import Study
from studies.rooms_table import commands, markdown_table, number, step_sizes
from studies.rooms_verdicts import COLUMNS, Comparison, verdicts

__all__ = ["STUDY", "reference", "rows", "text"]

STUDY = Path(__file__).with_suffix(".yaml")
"""The rows of the table."""

HEADINGS = ("solver", "step size", *COLUMNS.values())
TRUTH = "the rooms themselves"
REFERENCE_ROOMS = 2000
NOTE = (
    "Agreement with the measurement, which A made of the true room, over {images} rooms: mean IoU (maps), share of the "
    "six facts (captions), accuracy (classes), with standard errors. A guided, B did not; noise: standard deviation "
    "{noise} on the sample. Fréchet distance: {images} samples to {reference} other rooms in {depth} features of B. "
    "Step sizes are tuned to the distance by B."
)


def rows(study: Study, problem: str) -> dict[str, Read]:
    """Run all solvers on a problem; first come the true images themselves."""
    found: dict[str, Read] = {}
    for solver in study.solvers:
        samples, truth = read(study.configuration(problem, solver))
        found = {TRUTH: truth} | found | {solver: samples}
        print(problem, solver, *(number(values) for values in samples[:3]), sep=" | ", flush=True)
    return found


@torch.no_grad()
def reference(num_images: int = REFERENCE_ROOMS) -> Tensor:
    """Features of rooms that are neither trained on nor reconstructed, `(N, D)`."""
    pictures = torch.from_numpy(album("reference", num_images).images.copy())
    reader = rooms_reader_b()
    return torch.cat([reader.features(dequantise(batch)) for batch in pictures.split(250)])


def text(study: Study, file: Path = STUDY, num_reference: int = REFERENCE_ROOMS) -> str:
    """The tables, one per problem, and the comparisons with the paper, as Markdown."""
    others, parts, found = reference(num_reference), [], {}
    for problem in study.problems:
        found[problem] = rows(study, problem)
        table = []
        for name, row in found[problem].items():
            size = "-" if name == TRUTH else step_sizes(study, problem, name)
            distance = f"{frechet_distance(others, row.features):.2f}"
            table.append((name, size, *(number(values) for values in row[:3]), distance))
        parts.append(f"**{problem}**\n\n{markdown_table(HEADINGS, table)}")
    images, depth = study.data["init_args"]["num_images"], others.shape[1]
    note = NOTE.format(images=images, noise=NOISE_STD, reference=num_reference, depth=depth)
    paper = yaml.safe_load(file.read_text())
    comparisons = [Comparison(*pair) for pair in paper["comparisons"]]
    return "\n".join([*parts, note, "", verdicts(comparisons, paper["reported"], found, others)])


if __name__ == "__main__":
    commands(STUDY, score, text)
