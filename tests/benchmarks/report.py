"""What came out: a table, a verdict and a file."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import torch
from networks import Floor
from profiles import Share
from rich.markup import escape
from rich.table import Table
from settings import Setting

__all__ = ["RESULTS", "Report", "Result", "machine", "write"]

RESULTS = Path(__file__).parent / "results"

STEPS = 1000
"""Steps of DPS for one image in Xu et al. 2024."""


@dataclass(frozen=True)
class Result:
    """How fast a setting was.

    Attributes:
        setting: the setting.
        seconds: per guided step and image, one per repetition.
        speedup: median of the ratios of the plain setting's seconds to these.
        fraction: median of the floor's rate over the rate of matrix products in the same precision.
        memory: peak memory in GiB.
        first: seconds until the first step, compiling included.
    """

    setting: Setting
    seconds: list[float]
    speedup: float
    fraction: float
    memory: float
    first: float

    def facts(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {**vars(self.setting), "dtype": self.setting.precision} | {**vars(self), "setting": self.setting.label}


@dataclass(frozen=True)
class Report:
    """All results of one network.

    Attributes:
        network: its name.
        floor: floating-point operations per image.
        rates: of matrix products, in FLOP per second, by precision.
        results: one per setting.
        profiles: which kernels take the time of the plain setting and of the best, by setting and batch size.
    """

    network: str
    floor: Floor
    rates: dict[str, float]
    results: Sequence[Result]
    profiles: dict[str, list[Share]] = field(default_factory=dict)

    def table(self) -> Table:
        """One row per setting."""
        rates = ", ".join(f"{rate / 1e12:.3g} TFLOP/s in {precision}" for precision, rate in self.rates.items())
        forward, guided = (f"{flop / 1e9:,.4g}" for flop in self.floor)
        table = Table(
            title=f"Guided steps of the {self.network} network",
            caption=f"Floor: {guided} GFLOP per step and image ({forward} forward). Matrix products: {rates}.",
        )
        table.add_column("setting")
        for column in ("batch", "ms per step and image", "speedup", "of the floor", "GiB", "first step s"):
            table.add_column(column, justify="right")
        for result in self.results:
            numbers = f"{1e3 * median(result.seconds):.3g}", f"{result.speedup:.2f}", f"{result.fraction:.1%}"
            table.add_row(
                result.setting.label, str(result.setting.batch), *numbers, f"{result.memory:.2f}", f"{result.first:.2f}"
            )
        return table

    @property
    def best(self) -> Result:
        """What is fastest, per image."""
        return max(self.results, key=lambda result: result.speedup)

    def profile_tables(self) -> list[Table]:
        """One table per profile."""
        return [_profile_table(f"{self.network}: {title}", rows) for title, rows in self.profiles.items()]

    def verdict(self) -> str:
        """Which setting is best, by how much, and what an image then takes."""
        best = self.best
        return (
            f"{self.network}: best is {best.setting.label} at batch {best.setting.batch}, {best.speedup:.2f} times as "
            f"fast per image as plain float32 at batch 1. {STEPS} steps of DPS then take "
            f"{STEPS * median(best.seconds):.3g} s per image."
        )

    def facts(self) -> dict[str, Any]:
        """All of it, for JSON."""
        results = [result.facts() for result in self.results]
        profiles = {title: [share._asdict() for share in rows] for title, rows in self.profiles.items()}
        known = {"floor": self.floor._asdict(), "results": results, "profiles": profiles, "verdict": self.verdict()}
        return {**vars(self), **known}


def _profile_table(title: str, rows: Sequence[Share]) -> Table:
    table = Table(title=f"{title}: where a step's time goes")
    table.add_column("kernel, or a kind of them")
    for column in ("share", "ms a step"):
        table.add_column(column, justify="right")
    for label, share, ms in rows:
        table.add_row(escape(label), f"{share:.1%}", f"{ms:.3f}")
    return table


def machine(device: torch.device) -> dict[str, Any]:
    """What the times belong to: device, threads and versions."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "device": gpu or f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": platform.system(),
        "cuda": torch.version.cuda if gpu else None,
        "cudnn": torch.backends.cudnn.version() if gpu else None,
        "cudnn_benchmark": torch.backends.cudnn.benchmark if gpu else None,
        "python": platform.python_version(),
        **{package: version(package) for package in ("torch", "lightning", "dis-lightning")},
    }


def write(name: str, facts: dict[str, Any], reports: Sequence[Report]) -> Path:
    """Write `results/NAME.json`."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": facts, "networks": [report.facts() for report in reports]}, indent=1) + "\n")
    return path
