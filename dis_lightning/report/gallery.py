"""The images of a report: truth, measurement, and what every run makes of it.

Mean and standard deviation are those of `dis_lightning.runs.spread`; the colours of all standard deviations have one
scale. Runs share an entry where their clean images are equal, or, where nobody knows these, their names.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dis_lightning.report.columns import describe
from dis_lightning.report.pictures import Encoder, Picture, choose_encoder, colour
from dis_lightning.report.tables import Column, best
from dis_lightning.runs.finished import Image, Run, defined_differently
from dis_lightning.runs.pictures import read_legend
from dis_lightning.runs.spread import PixelSpread, spread

__all__ = ["Entry", "Gallery", "Strip", "Value", "make_gallery"]


class Value(NamedTuple):
    """A number of an image."""

    column: str
    """Its name in `results.csv`."""
    value: float
    """The number."""
    best: bool
    """Whether no run has a better one for this image and some have a worse one, and all mean the same by it."""


class Strip(NamedTuple):
    """What one run makes of an image."""

    run: int
    """Position of the run."""
    pictures: list[Picture | None]
    """Its samples, None where one diverged, then their mean and standard deviation where there are several."""
    hidden: int
    """Number of samples that are not shown."""
    values: list[Value]
    """Its numbers."""


class Entry(NamedTuple):
    """An image."""

    number: int
    """Position in the data set."""
    name: str
    """Where it came from."""
    given: list[Picture]
    """The clean image, where it is known, and its measurement, or the measurements, where the runs have different ones;
    none in words."""
    texts: list[str]
    """Measurements in words."""
    strips: list[Strip]
    """One for every run that has the image."""


class Gallery(NamedTuple):
    """All images that are shown."""

    entries: list[Entry]
    """One per image."""
    columns: list[Column]
    """The metrics by which they can be put in order."""
    total: int
    """Number of images, of which some may not be shown."""
    largest: float
    """The standard deviation of the brightest colour, in grey levels."""
    scale: Picture
    """The colours from 0 to there."""
    shrunk: bool
    """Whether pictures were made smaller to save space."""
    legend: dict[str, str]
    """Colours of the classes in the measurements, by their names."""


def make_gallery(runs: Sequence[Run], max_images: int, max_samples: int) -> Gallery:
    """Collect the first images of the runs.

    Args:
        runs: the runs to compare.
        max_images: number of images to show.
        max_samples: number of posterior samples of each to show; mean and standard deviation are over all.
    """
    images = sorted({image for run in runs for image in run.images})
    shown = images[:max_images]
    spreads = {
        (n, image): spread(run.ledger, run.records[image[0]])
        for image in shown
        for n, run in enumerate(runs)
        if image in run.images
    }
    largest = max((float(found.std.max()) for found in spreads.values() if found), default=0.0) or 1.0
    files = {
        file for image in shown for run in runs if image in run.images for file in _files(run, image[0], max_samples)
    }
    encoder = choose_encoder(files, drawn=2 / (1 + min(max_samples, min(run.samples for run in runs))))
    maps = {place: _draw(found, largest, encoder) for place, found in spreads.items()}
    entries = [_entry(runs, image, maps, max_samples, encoder) for image in shown]
    names = dict.fromkeys(value.column for entry in entries for strip in entry.strips for value in strip.values)
    scale = Encoder(side=None).array(colour(np.linspace(0, 1, 64)[None], 1.0), "colours of the standard deviation")
    columns = [Column(name, describe(name, runs)) for name in names]
    maps_of_classes = [run.ledger.measurement(image[0]) for image in shown for run in runs if image in run.images]
    legend = {name: f"rgb{found}" for file in maps_of_classes for name, found in read_legend(file).items()}
    return Gallery(entries, columns, len(images), largest, scale, encoder.side is not None, legend)


def _entry(
    runs: Sequence[Run],
    image: Image,
    maps: dict[tuple[int, Image], list[Picture]],
    max_samples: int,
    encoder: Encoder,
) -> Entry:
    index, _ = image
    having = [(number, run) for number, run in enumerate(runs) if image in run.images]
    first = having[0][1]
    # Runs with the same operator and seed have the same measurement.
    measured = {run.ledger.measurement(index).read_bytes(): run for _, run in having}
    truth = first.ledger.source(index)
    given = [encoder.file(truth, "truth")] if truth.exists() else []
    for run in measured.values():
        title = "measurement" if len(measured) == 1 else f"measurement of {run.label}"
        if not run.ledger.measurement(index).with_suffix(".txt").exists():  # words are shown as such
            given.append(encoder.file(run.ledger.measurement(index), title))
    captions = {run.ledger.measurement(index).with_suffix(".txt") for _, run in having}
    texts = sorted({caption.read_text() for caption in captions if caption.exists()})
    values = _values([run for _, run in having], index)
    strips = [
        Strip(
            number,
            [*_samples(run, index, max_samples, encoder), *maps[number, image]],
            max(0, run.samples - max_samples),
            row,
        )
        for (number, run), row in zip(having, values, strict=True)
    ]
    return Entry(index, first.records[index]["name"], given, texts, strips)


def _values(runs: Sequence[Run], index: int) -> list[list[Value]]:
    """The numbers of an image, a row per run; its cost, often a batch's, stands in the tables alone."""
    left = {"diverged", *(name for run in runs for name in run.sections.get("cost", {}))}
    names = dict.fromkeys(name for run in runs for name in run.values[index] if name not in left)
    marks = {
        name: [False] * len(runs)
        if defined_differently(runs, name)
        else best([run.values[index].get(name) for run in runs], describe(name, runs).better)  # infinity is best, too
        for name in names
    }
    return [
        [Value(name, run.values[index][name], marks[name][row]) for name in names if name in run.values[index]]
        for row, run in enumerate(runs)
    ]


def _samples(run: Run, index: int, max_samples: int, encoder: Encoder) -> list[Picture | None]:
    return [
        None if diverged else encoder.file(run.ledger.sample(index, number), f"sample {number}")
        for number, diverged in enumerate(run.records[index]["diverged"][:max_samples])
    ]


def _draw(found: PixelSpread | None, largest: float, encoder: Encoder) -> list[Picture]:
    if found is None:
        return []
    mean = np.broadcast_to(found.mean.round(), (3, *found.mean.shape[1:])).transpose(1, 2, 0).astype(np.uint8)
    return [encoder.array(mean, "mean"), encoder.array(colour(found.std, largest), "std")]


def _files(run: Run, index: int, max_samples: int) -> list[Path]:
    gone = run.records[index]["diverged"][:max_samples]
    samples = [run.ledger.sample(index, number) for number, diverged in enumerate(gone) if not diverged]
    truth = run.ledger.source(index)
    return [*([truth] if truth.exists() else []), run.ledger.measurement(index), *samples]
