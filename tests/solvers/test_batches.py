"""What solvers take for a batch: everything else is one clear error, before anything is sampled."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
import torch
from lightning import Trainer
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from dis_lightning.data import FolderData, ImageData, ImageNetData
from dis_lightning.errors import InvalidTypeError, InvalidValueError, UserError
from dis_lightning.images import quantise
from dis_lightning.levels import KarrasLevels
from dis_lightning.operators import AveragePool
from dis_lightning.priors import Denoiser
from dis_lightning.solvers import DPS

pytestmark = pytest.mark.filterwarnings("ignore:Grey.forward changes its input")

SHAPE = (3, 8, 8)
TRIED = 4
"""How often a prior of one's own is asked before a run begins."""


class Grey(Denoiser):
    """Every image is grey. Counts how often it is asked."""

    def __init__(self, num_classes: int | None = None, shape: tuple[int, ...] = SHAPE) -> None:
        super().__init__()
        self.shape, self.num_classes, self.calls = shape, num_classes, 0

    def given(self, labels: Tensor) -> Self:
        return self

    def forward(self, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        self.calls += 1
        return 0 * x_t


def batch(**changes: Any) -> dict[str, Any]:
    whole = {"image": torch.linspace(-1, 1, 384).reshape(2, *SHAPE), "index": torch.tensor([3, 1]), "name": ["a", "b"]}
    return {key: value for key, value in (whole | changes).items() if value is not None}


def predicted(batches: Any, prior: Denoiser) -> Any:
    """What a plain Trainer makes of anybody's DataLoader, or of data."""
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    solver = DPS(AveragePool(2), prior, KarrasLevels(2), scale=1.0)
    if isinstance(batches, ImageData):
        return trainer.predict(solver, datamodule=batches)
    return trainer.predict(solver, DataLoader(batches, batch_size=None))


def refused(batches: Any, kind: type[UserError], message: str, num_classes: int | None = None) -> None:
    prior = Grey(num_classes)
    with pytest.raises(kind, match=message):
        predicted(batches, prior)
    assert prior.calls <= TRIED


IMAGE = batch()["image"]
NOT_IN_RANGE = {
    "8 bit as numbers": ((IMAGE + 1) * 127.5, "`image` has values from 0 to 255; .* u / 127.5 - 1"),
    "half as far again": (1.5 * IMAGE, r"`image` has values from -1\.5 to 1\.5"),
    "normalised for a classifier": ((IMAGE + 1) / 2 / 0.225 - 0.485 / 0.225, "`image` has values from -2.* to 2"),
    "a hole": (IMAGE.where(IMAGE < 0.9, torch.nan), "`image` has values from nan to nan"),
    "infinite": (IMAGE.where(IMAGE < 0.9, torch.inf), "`image` has values from -1 to inf"),
    "one image": (IMAGE[0], r"shape \(3, 8, 8\), but the data has \(8, 8\)"),
    "channels last": (IMAGE.permute(0, 2, 3, 1), r"shape \(3, 8, 8\), but the data has \(8, 8, 3\)"),
    "no image": (IMAGE[:0], "`image` holds no image"),
}


@pytest.mark.parametrize(("image", "message"), NOT_IN_RANGE.values(), ids=NOT_IN_RANGE)
def test_images_of_another_range_or_shape_are_refused(image: Tensor, message: str) -> None:
    refused([batch(image=image)], InvalidValueError, message)


@pytest.mark.parametrize(
    "image", [((IMAGE + 1) * 127.5).byte(), IMAGE.numpy().tolist(), IMAGE > 0, IMAGE.long(), "a.png"], ids=type
)
def test_images_that_are_no_real_numbers_are_refused(image: object) -> None:
    refused(
        [batch(image=image)], InvalidTypeError, r"^`image` is a .*; 8-bit values u become u / 127\.5 - 1\. A batch of B"
    )


@pytest.mark.parametrize(
    "given", [(IMAGE, torch.zeros(2)), [IMAGE], IMAGE, [IMAGE, IMAGE, IMAGE]], ids=["tuple", "list", "tensor", "three"]
)
def test_a_batch_that_is_no_dictionary_is_refused(given: object) -> None:
    refused(
        [given], InvalidTypeError, r"^The batch is a (list|tuple|Tensor)\. A batch of B images is a dictionary: `image`"
    )


@pytest.mark.parametrize("key", ["image", "index", "name"])
def test_a_batch_without_one_of_its_keys_is_refused(key: str) -> None:
    refused(
        [batch(**{key: None})], InvalidValueError, f"^The batch has no `{key}`. A batch of B images is a dictionary"
    )


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("index", [0, 1], "`index` is no tensor of whole numbers"),
        ("index", torch.tensor([0.0, 1.0]), "`index` is no tensor of whole numbers"),
        ("index", torch.tensor([0, 1, 2]), r"`index` has the shape \(3,\), but there are 2 images"),
        ("index", torch.tensor(0), r"`index` has the shape \(\), but there are 2 images"),
        ("index", torch.tensor([-1, 0]), r"`index` is \[-1, 0\], but each image needs one of its own"),
        ("index", torch.tensor([4, 4]), r"`index` is \[4, 4\], but each image needs one of its own"),
        ("name", "ab", "`name` is no list of 2 strings"),
        ("name", ["a"], "`name` is no list of 2 strings"),
    ],
)
def test_keys_and_names_that_are_not_one_for_each_image_are_refused(key: str, value: object, message: str) -> None:
    refused([batch(**{key: value})], UserError, message)  # type: ignore[type-abstract]


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (None, "Grey is conditional on one of 3 classes, but the data has no labels"),
        (torch.tensor([0, 3]), r"`label` is \[0, 3\], but the classes of Grey are 0 \.\. 2"),
        (torch.tensor([-1, 0]), r"`label` is \[-1, 0\], but the classes"),
        (torch.tensor([0]), r"`label` has the shape \(1,\), but there are 2 images"),
        (torch.tensor([0.0, 1.0]), "`label` is no tensor of whole numbers"),
        (["cat", "dog"], "`label` is no tensor of whole numbers"),
    ],
)
def test_labels_that_the_prior_does_not_know_are_refused(label: object, message: str) -> None:
    refused([batch(label=label)], UserError, message, num_classes=3)  # type: ignore[type-abstract]


@pytest.mark.parametrize(
    "whole",
    [
        batch(),
        batch(image=(1 + 2 / 256) * IMAGE, name=("a", "b")),
        batch(image=IMAGE.nextafter(2 * IMAGE), index=torch.tensor([3, 1], dtype=torch.int32)),
        batch(label=torch.tensor([7, 7]), more="of the user's own"),
    ],
)
def test_a_batch_a_hair_out_of_range_or_with_more_is_taken(whole: dict[str, Any]) -> None:
    (found,) = predicted([whole], Grey())
    assert found.indices.tolist() == [3, 1]
    assert torch.equal(found.source, quantise(whole["image"]))


@pytest.fixture
def tree(tmp_path: Path) -> Callable[..., Path]:
    """A tree of classes, with one image each."""

    def plant(*names: str, size: int = 8) -> Path:
        for name in names:
            (tmp_path / name).mkdir()
            Image.fromarray(np.zeros((size, size, 3), dtype=np.uint8)).save(tmp_path / name / "0.png")
        return tmp_path

    return plant


def test_data_of_other_classes_than_the_prior_is_refused_before_anything_is_read(tree: Callable[..., Path]) -> None:
    root = tree("abbey", "zoo")
    refused(ImageNetData(root, num_images=2), InvalidValueError, "own 2 classes .* prior's 1000", num_classes=1000)
    refused(FolderData(root, num_images=2), InvalidValueError, "one of 2 classes, but the data has no labels", 2)
    found = predicted(ImageNetData(root, num_images=2, batch_size=2), Grey(2))
    assert found[0].names == ["abbey/0.png", "zoo/0.png"]


def test_a_label_that_comes_late_is_refused_before_the_first_is_sampled(tree: Callable[..., Path]) -> None:
    root = tree("0", "1", "10")
    refused(ImageNetData(root, num_images=3), InvalidValueError, r"10/0\.png has the label 10, but", num_classes=10)
    predicted(ImageNetData(root, num_images=3), Grey(11))


def test_a_prior_of_grey_images_takes_grey_data(tree: Callable[..., Path]) -> None:
    root, prior = tree("a"), Grey(shape=(1, 8, 8))
    (found,) = predicted(FolderData(root, num_images=1, channels=1), prior)
    assert found.draws.samples.shape == (1, 1, 1, 8, 8)
    assert found.source.shape == (1, 1, 8, 8)
    with pytest.raises(
        InvalidValueError, match=r"shape \(1, 8, 8\), but the data has \(3, 8, 8\); .*--data\.channels=1"
    ):
        predicted(FolderData(root, num_images=1), prior)
