"""Every solver on super-resolution and inpainting of rooms: fidelity beside cost.

    python -m studies.rooms_classical table      makes every row a run, a page per problem to look at, and the table
    python -m studies.rooms_classical tune       chooses the step sizes, by the energy score; about 30 minutes
    python -m studies.rooms_classical settings --problem "inpainting, 20 % seen" --solver DPS > dps.yaml
    dis-lightning predict --config dps.yaml --writer.folder outputs/dps

The first takes about 30 minutes of one core; what is broken off goes on where it stopped. The last two lines run one
row from the command line.

"Proposed I" is that of Xu et al. 2024, and DPS and LGD are its two cells without a consistency model; those named "-CM"
and Langevin are of Purohit et al. 2024. What is blind to the measurement is there to be beaten.
"""

from pathlib import Path

from studies.rooms_rows import Study
from studies.rooms_table import Column, Runs, commands, table_of

__all__ = ["STUDY", "text"]

STUDY = Path(__file__).with_suffix(".yaml")
"""The rows of the table."""

COLUMNS = {
    "energy score": Column("energy_score"),
    "PSNR": Column("psnr"),
    "PSNR of the mean": Column("psnr_of_mean"),
    "coverage": Column("coverage", error=False),
    "SSIM": Column("ssim", ".3f"),
    "evaluations": Column("evaluations", "g", error=False),
    "gradients": Column("gradients", "g", error=False),
    "seconds": Column("seconds", error=False),
}
NOTE = (
    "Energy score (lower is better; the posterior has the lowest on average), PSNR (dB) of the samples and of their "
    "mean, and SSIM: means over {images} rooms (and each room's samples) with standard errors. "
    "Coverage: share of the pixels within the range of the five samples, which should be 0.67 where these are "
    "independent; of chains (Langevin, MALA, HMC) they are successive samples, which cover less and score worse even "
    "where a chain is exact. Evaluations, "
    "gradients and seconds (one CPU core): for one room, all its samples together."
)


def text(study: Study, runs: Runs) -> str:
    """The tables, one per problem, as Markdown."""
    tables = [table_of(study, problem, row, COLUMNS) for problem, row in runs.items()]
    return "\n".join([*tables, NOTE.format(images=study.data["init_args"]["num_images"])])


if __name__ == "__main__":
    commands(STUDY, text)
