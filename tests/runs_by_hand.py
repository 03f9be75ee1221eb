"""Run folders written by hand, so that every number and every pixel of a report is known."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

__all__ = ["repaint", "write_run"]


def write_run(
    folder: Path,
    values: Mapping[str, Sequence[float]],
    *,
    samples: int = 2,
    seconds: float = 1.0,
    diverged: tuple[int, int] | None = None,
    world: int = 0,
    side: int = 8,
    grey: int = 0,
    section: str = "metrics",
    truth: bool = True,
    configuration: Mapping[str, Any] | None = None,
    **more: Any,
) -> Path:
    """Write a finished run.

    Args:
        folder: where.
        values: a number per image by metric.
        samples: posterior samples of each image.
        seconds: cost of an image.
        diverged: image and sample that diverged.
        world: number of the data set; images of different ones differ.
        side: height and width of the images.
        grey: colour of the first measurement.
        section: where the metrics stand in `metrics.json`.
        truth: whether the clean images are known.
        configuration: more of the configuration.
        more: more of `metrics.json`.
    """
    count = len(next(iter(values.values())))
    for index in range(count):
        _write_image(folder, index, samples, seconds, diverged, world, side, grey, truth)
    names = list(values)
    table = [",".join(["index", "name", *names, "seconds", "diverged"])]
    table += [
        ",".join(map(str, [index, f"test/{index}", *(values[name][index] for name in names), seconds, 0]))
        for index in range(count)
    ]
    results = ("\n".join(table) + "\n").encode()
    (folder / "results.csv").write_bytes(results)
    summary = {
        "images": count,
        "samples_per_image": samples,
        "diverged": {
            "count": int(diverged is not None),
            "samples": [f"{diverged[0]:05d}_{diverged[1]:02d}"] if diverged else [],
        },
        section: {name: _mean(numbers) for name, numbers in values.items()},
        "cost": {"seconds": _mean([seconds] * count), "evaluations": _mean([10.0 * samples] * count)},
        "clamped": {},
        "definitions": {name: {} for name in names},
        "results_sha256": hashlib.sha256(results).hexdigest(),
        **more,
    }
    _seal(folder / "metrics.json", summary)
    model = {"class_path": "dis_lightning.solvers.DPS", "init_args": {"num_samples": samples, "scale": 1.0}}
    whole = {"model": model, "writer": {"folder": str(folder)}, **(configuration or {})}
    (folder / "config.yaml").write_text(yaml.safe_dump(whole))
    return folder


def _write_image(
    folder: Path,
    index: int,
    samples: int,
    seconds: float,
    diverged: tuple[int, int] | None,
    world: int,
    side: int,
    grey: int,
    truth: bool,
) -> None:
    lost = [(index, number) == diverged for number in range(samples)]
    random = np.random.default_rng([world, index])
    source = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
    pictures = {f"sources/{index:05d}.png": source} if truth else {}
    pictures[f"measurements/{index:05d}.png"] = np.full((2, 2, 3), grey + index, dtype=np.uint8)
    # Sample s is a picture of the one grey 50 s.
    for number in range(samples):
        if not lost[number]:
            pictures[f"samples/{index:05d}_{number:02d}.png"] = np.full((side, side, 3), 50 * number, dtype=np.uint8)
    for name, pixels in pictures.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / name)
    record = {
        "index": index,
        "name": f"test/{index}",
        "batch": [index],
        "shape": [3, side, side],
        "diverged": lost,
        "clamped": None,
        "cost": {"evaluations": 10.0 * samples, "gradients": 0.0, "seconds": seconds, "memory": 1.0},
        "acceptance": None,
        "sha256": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in pictures},
    }
    (folder / "records").mkdir(exist_ok=True)
    _write_record(folder, record)


def repaint(folder: Path, index: int, *samples: np.ndarray) -> None:
    """Give samples of an image other pixels, `(H, W, 3)` or `(H, W)`, and take its files as they are now."""
    record = json.loads((folder / "records" / f"{index:05d}.json").read_text())
    del record["digest"]
    for number, pixels in enumerate(samples):
        name = f"samples/{index:05d}_{number:02d}.png"
        Image.fromarray(pixels).save(folder / name)
    record["sha256"] = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in record["sha256"]}
    _write_record(folder, record)


def _write_record(folder: Path, record: dict[str, Any]) -> None:
    _seal(folder / "records" / f"{record['index']:05d}.json", record)


def _seal(file: Path, content: dict[str, Any]) -> None:
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    file.write_text(json.dumps({**content, "digest": digest}))


def _mean(numbers: Sequence[float]) -> dict[str, Any]:
    finite = [number for number in numbers if np.isfinite(number)]
    error = float(np.std(finite, ddof=1) / np.sqrt(len(finite))) if len(finite) > 1 else None
    return {
        "mean": float(np.mean(finite)) if finite else None,
        "standard_error": error,
        "images": len(finite),
        "infinite": int(np.isinf(numbers).sum()),
    }
