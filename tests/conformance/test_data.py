"""What every data set keeps to. A new one is found by itself and needs an entry in `catalogue.py`, no test here."""

import importlib
import inspect
import pickle
import pkgutil
import typing
from collections.abc import Callable
from pathlib import Path
from types import NoneType, SimpleNamespace
from typing import Any

import pytest
import torch
from catalogue import DATA, IMAGES, SHAPE, concrete
from torch import Tensor

from dis_lightning import data, rooms
from dis_lightning.data import ImageData, ImageSet, Item
from dis_lightning.errors import InvalidTypeError, InvalidValueError
from dis_lightning.types import Batch

KINDS = {kind.__name__: kind for package in (data, rooms) for kind in concrete(package, ImageData)}

for_all_data = pytest.mark.parametrize("name", [name for name in KINDS if name in DATA])


def numbers(name: str) -> dict[str, bool]:
    """The arguments of a data set that are whole numbers, and whether they may be None."""
    hints = typing.get_type_hints(KINDS[name].__init__)
    kinds = {key: set(typing.get_args(hint)) or {hint} for key, hint in hints.items()}
    return {key: NoneType in kind for key, kind in kinds.items() if int in kind}


@pytest.fixture
def build(name: str, tmp_path: Path) -> Callable[..., ImageData]:
    """Data by their entry, all of one folder; an argument has the last word."""
    arguments = DATA[name](tmp_path)

    def with_(**changes: Any) -> ImageData:
        built: ImageData = KINDS[name](**arguments | {"num_images": IMAGES} | changes)
        return built

    return with_


def images(built: ImageData) -> ImageSet:
    built.setup()
    return built.images


def batches(built: ImageData, rank: int = 0, processes: int = 1) -> list[Batch]:
    """The batches of one of several processes."""
    built.trainer = SimpleNamespace(world_size=processes, global_rank=rank)  # type: ignore[assignment]
    built.setup()
    return list(built.predict_dataloader())


def same(one: Any, other: Any) -> bool:
    """Whether two items are equal, bit by bit."""
    return one.keys() == other.keys() and all(
        torch.equal(value, other[key]) if isinstance(value, Tensor) else value == other[key]
        for key, value in one.items()
    )


def shown(item: Item) -> Tensor:
    """The clean image or, where nobody knows it, what was measured."""
    return next(item[key] for key in ("image", "measurement", "y") if key in item)  # type: ignore[literal-required]


def items(batch: Batch) -> list[Item]:
    """What a batch holds, one by one."""
    rows = [{key: values[row] for key, values in batch.items()} for row in range(len(batch["name"]))]
    whole = ("index", "label")
    return [{key: int(value) if key in whole else value for key, value in row.items()} for row in rows]  # type: ignore[misc]


def test_every_data_set_has_an_entry() -> None:
    missing = sorted(set(KINDS) - set(DATA))
    assert not missing, f"Give {missing} an entry in DATA of tests/conformance/catalogue.py: what it reads."


def test_every_data_set_in_the_folder_is_public() -> None:
    homes = [
        f"{package.__name__}.{file.name}"
        for package in (data, rooms)
        for file in pkgutil.iter_modules(package.__path__)
    ]
    found = [
        value for home in homes if "__main__" not in home for value in vars(importlib.import_module(home)).values()
    ]
    kinds = {kind for kind in found if inspect.isclass(kind) and issubclass(kind, ImageData)}
    hidden = {kind.__name__ for kind in kinds if not inspect.isabstract(kind)} - set(KINDS)
    assert not hidden, f"Import {sorted(hidden)} in the `__init__.py` of its folder and name them in `__all__`."


@for_all_data
def test_an_item_is_an_image_in_range_with_its_place_and_its_name(build: Callable[..., ImageData]) -> None:
    built = build()
    found = images(built)
    assert (len(found), built.shape, found.shape) == (IMAGES, SHAPE, SHAPE)
    for index in range(IMAGES):
        item = found[index]
        assert shown(item).dtype == torch.float32
        assert shown(item).shape == SHAPE
        assert shown(item).abs().max() <= 1
        assert ((shown(item) + 1) * 127.5 - ((shown(item) + 1) * 127.5).round()).abs().max() < 1e-3  # of 8 bit
        assert item["index"] == index
        assert item["name"] == found.names[index]
        assert isinstance(item.get("label", 0), int)
    assert len({shown(found[index]).numpy().tobytes() for index in range(IMAGES)}) == IMAGES
    assert len(set(found.names)) == len(found.names) == IMAGES


@for_all_data
def test_reading_again_gives_the_same_bits(build: Callable[..., ImageData]) -> None:
    first, second = images(build()), images(build())
    for index in (4, 0, 2, 4):
        assert same(first[index], second[index])
        assert same(first[index], first[index])


@for_all_data
@pytest.mark.parametrize(("batch_size", "processes"), [(1, 1), (2, 1), (5, 1), (1, 3), (2, 2), (2, 3)])
def test_an_image_is_the_same_in_any_batch_and_process(
    build: Callable[..., ImageData], batch_size: int, processes: int
) -> None:
    truth = images(build())
    dealt = [batches(build(batch_size=batch_size), rank, processes) for rank in range(processes)]
    seen = [item for share in dealt for batch in share for item in items(batch)]
    assert sorted(item["index"] for item in seen) == list(range(IMAGES))
    assert all(same(item, truth[item["index"]]) for item in seen)
    sizes = [len(batch["name"]) for share in dealt for batch in share]
    assert max(sizes) <= batch_size
    for batch in (batch for share in dealt for batch in share):
        assert batch["index"].tolist() == list(range(batch["index"][0], batch["index"][0] + len(batch["name"])))
        assert batch["index"][0] % batch_size == 0


@for_all_data
def test_fewer_images_are_the_first_and_null_takes_all(name: str, build: Callable[..., ImageData]) -> None:
    some, all_of_them = images(build(num_images=2)), images(build())
    assert len(some) == 2
    assert all(same(some[index], all_of_them[index]) for index in range(2))
    if numbers(name)["num_images"]:
        everything = images(build(num_images=None))
        assert everything.names == all_of_them.names


# On one core torch finds a worker too many.
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@for_all_data
def test_images_can_be_sent_to_workers_that_read_the_same(build: Callable[..., ImageData]) -> None:
    found = images(build())
    sent = pickle.loads(pickle.dumps(found))
    assert sent.shape == found.shape
    assert all(same(sent[index], found[index]) for index in range(IMAGES))
    assert len(pickle.dumps(found)) < 20_000  # places, not pictures
    read = [item for batch in batches(build(batch_size=2, num_workers=1)) for item in items(batch)]
    assert [item["index"] for item in read] == list(range(IMAGES))
    assert all(same(item, found[item["index"]]) for item in read)


@for_all_data
def test_numbers_that_are_none_or_too_small_are_refused_by_their_names(
    name: str, build: Callable[..., ImageData]
) -> None:
    assert {"num_images", "batch_size", "num_workers"} <= numbers(name).keys()
    for argument, may_be_none in numbers(name).items():
        for wrong in [-1, 0.5, "two", *([] if may_be_none else [None])]:
            with pytest.raises((InvalidTypeError, InvalidValueError), match=rf"{name} needs .*{argument}.*but got "):
                build(**{argument: wrong})
    for argument in ("num_images", "batch_size"):
        with pytest.raises(InvalidValueError, match=rf"{argument} >= 1, .* got {argument}=0"):
            build(**{argument: 0})


@for_all_data
def test_labels_are_all_or_none_and_refused_for_a_prior_of_other_classes(build: Callable[..., ImageData]) -> None:
    found = images(build())
    labels = [found[index].get("label") for index in range(IMAGES)]
    if labels == [None] * IMAGES:
        with pytest.raises(InvalidValueError, match="the data has no labels"):
            found.require_labels(1000)
        return
    known = found.classes or range(1 + max(labels))
    assert set(labels) <= set(range(len(known)))
    found.require_labels(len(known))
    with pytest.raises(InvalidValueError, match="label"):
        found.require_labels(max(labels))
