"""How long does a whole job take? `python tests/benchmarks/jobs.py`; see README.md beside it.

The jobs of which the papers tell the cost, as `configs/papers` has them, for one image and with random weights:
Table 5 of Xu et al. 2024 (DPS, Proposed I, Proposed II), and Fig. 2 of Purohit et al. 2024, time against the number of
posterior samples.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any, Literal

import torch
import yaml
from jsonargparse import auto_cli
from networks import NetworkName
from report import RESULTS, machine
from rich import print as show
from rich.table import Table
from work import WARM_UP

from dis_lightning.arguments.building import build_solver
from dis_lightning.arguments.choices import find
from dis_lightning.meters import CostMeter
from dis_lightning.noise import NoiseSource
from dis_lightning.priors import Denoiser
from dis_lightning.priors.networks.computing import Compile
from dis_lightning.progress import counted
from dis_lightning.solvers import Solver
from dis_lightning.types import Cost, repeat

__all__ = ["FIGURE_2", "TABLE_5", "Job", "cost_of", "jobs", "prepare"]

XU, PUROHIT = "papers/xu2024/lsun_bedroom/down_sampling_x4/cost", "papers/purohit2024/lsun_bedroom/super_resolution_x8"


@dataclass(frozen=True)
class Job:
    """What one image costs.

    Attributes:
        name: what the paper calls it.
        file: its configuration.
        num_samples: posterior samples of the image; None for those of the configuration.
    """

    name: str
    file: str
    num_samples: int | None = None

    @property
    def configuration(self) -> dict[str, Any]:
        """What its file holds."""
        content: dict[str, Any] = yaml.safe_load(find(self.file).read_text())
        return content

    @property
    def reported(self) -> float | None:
        """The seconds that the paper reports, on an A100."""
        return self.configuration["writer"].get("reported", {}).get("seconds")


TABLE_5 = [
    Job("DPS", f"{XU}/dps"),
    Job("Proposed I", f"{XU}/proposed_1"),
    Job("Proposed II", f"{XU}/proposed_2"),
]
FIGURE_2 = [
    Job("DPS, 100 steps", f"{PUROHIT}/diversity/dps_dm"),
    Job("Langevin, one step", f"{PUROHIT}/diversity/langevin_one_step"),
    Job("Langevin, two steps", f"{PUROHIT}/diversity/langevin_two_steps"),
]


def prepare(job: Job, network: NetworkName, dtype: torch.dtype, compile: Compile | None, fused: bool) -> Solver:
    """The solver of a job, with random weights of some network in place of the published ones."""
    configuration = job.configuration
    parts = {key: configuration[key] for key in ("operator", "model")}
    if job.num_samples is not None:
        parts["model"]["init_args"]["num_samples"] = job.num_samples
    for key in {"denoiser", "consistency"} & configuration.keys():
        prior = configuration[key]
        ways = {"kind": prior["class_path"], "clip": prior["init_args"]["clip"], "compile": compile, "fused": fused}
        parts[key] = {
            "class_path": "networks.random_prior",
            "init_args": {**ways, "network": network, "dtype": str(dtype)},
        }
    return build_solver(parts)


def jobs(
    of: Sequence[Literal["table_5", "figure_2"]] = ("table_5", "figure_2"),
    samples: Sequence[int] = (1, 5, 10, 25),
    network: NetworkName | None = None,
    device: str | None = None,
    dtype: torch.dtype | None = None,
    compile: Compile | None = None,
    fused: bool = False,
    save: str | None = None,
) -> None:
    """Time whole jobs for one image, from its measurement to its samples.

    Args:
        of: which jobs.
        samples: numbers of posterior samples for Fig. 2.
        network: "bedroom", at 256 px, "small", of the rooms at 32 px, or "tiny", to try this script; by default the
            first on a GPU, else the second.
        device: by default "cuda" where there is one, else "cpu".
        dtype: precision of the networks; by default float16 on a GPU, as in the papers, else bfloat16.
        compile: see a prior's argument of that name.
        fused: likewise.
        save: name of a file in `results/`, without its ending, to keep all numbers in.
    """
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    on_gpu = place.type == "cuda"
    chosen = TABLE_5 if "table_5" in of else []
    if "figure_2" in of:
        chosen = chosen + [replace(job, num_samples=number) for job in FIGURE_2 for number in samples]
    name: NetworkName = network or ("bedroom" if on_gpu else "small")
    precision = dtype or (torch.float16 if on_gpu else torch.bfloat16)
    found = {job: cost_of(prepare(job, name, precision, compile, fused), place) for job in counted(chosen, "Sampling")}
    show(_table(found, name))
    if save:
        facts = {"machine": machine(place), "network": name, "precision": str(precision), "compile": compile}
        results = [{**asdict(job), **cost._asdict(), "reported": job.reported} for job, cost in found.items()]
        path = RESULTS / f"{save}.json"
        path.write_text(json.dumps({**facts, "fused": fused, "jobs": results}, indent=1) + "\n")
        show(f"Written: {path}")


def cost_of(solver: Solver, device: torch.device) -> Cost:
    """What one image costs, all its samples together."""
    solver.load(device)
    solver.to(device)
    noise = NoiseSource(0, [0], device)
    y = solver.operator.measure(torch.zeros(1, *solver.denoiser.shape, device=device), noise)
    networks = [part for part in solver.children() if isinstance(part, Denoiser)]
    rows = solver.rows_per_image
    for _ in islice(solver.iterate(repeat(y, rows), noise.samples(rows)), WARM_UP):
        pass
    with CostMeter(networks, device) as meter:
        solver.solve(y, noise)
    return meter.per_image(1)


def _table(found: dict[Job, Cost], network: str) -> Table:
    table = Table(title=f"Whole jobs of one image with the {network} network")
    table.add_column("job", no_wrap=True)
    for column in ("samples", "evaluations", "gradients", "seconds", "a sample", "GiB", "paper (A100)"):
        table.add_column(column, justify="right")
    for job, cost in found.items():
        number = job.num_samples or 1
        each = (
            f"{cost.evaluations:.0f}",
            f"{cost.gradients:.0f}",
            f"{cost.seconds:.3g}",
            f"{cost.seconds / number:.3g}",
        )
        reported = "" if job.reported is None else f"{job.reported:g}"
        table.add_row(job.name, str(number), *each, f"{cost.memory:.2f}", reported)
    return table


if __name__ == "__main__":
    auto_cli(jobs, as_positional=False)
