"""Rooms measured by the networks that ship with the package: the truth about each room is known."""

import functools
import re

import pytest
import torch
from torch.nn import functional as F

from dis_lightning.images import dequantise
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import LabelOperator, Operator
from dis_lightning.rooms import (
    Room,
    RoomsCaption,
    RoomsClass,
    RoomsLayout,
    RoomsSegmentation,
    render_room,
    rooms_captioner_a,
    rooms_captioner_b,
    rooms_reader_a,
    rooms_reader_b,
)
from dis_lightning.rooms.captions import tokens
from dis_lightning.rooms.world import ROOM_CLASSES

NUMBER = 24
LABELS = {RoomsSegmentation: "segmentation", RoomsLayout: "layout", RoomsClass: "label"}


def rooms(number: int = NUMBER) -> list[Room]:
    return [render_room("test", 20_000 + index) for index in range(number)]


def images(number: int = NUMBER) -> torch.Tensor:
    return dequantise(torch.stack([torch.from_numpy(room.image) for room in rooms(number)])).permute(0, 3, 1, 2)


def noise(number: int = NUMBER) -> NoiseSource:
    return NoiseSource(0, range(number))


def kinds() -> list[type[Operator]]:
    return [*LABELS, RoomsCaption]


@functools.cache  # all captions are read once
def ready(kind: type[Operator]) -> Operator:
    return kind()


@pytest.mark.parametrize("reader", [None, rooms_reader_b])
@pytest.mark.parametrize("kind", LABELS)
def test_what_is_measured_of_a_clean_room_is_nearly_its_truth(kind, reader) -> None:
    operator = kind(reader() if reader else None)
    y = operator.measure(images(), noise())
    truth = torch.stack([torch.as_tensor(getattr(room, LABELS[kind])) for room in rooms()])
    assert y.shape == truth.shape
    assert (y == truth).float().mean() > 0.95


@pytest.mark.parametrize("kind", LABELS)
def test_the_distance_is_the_mean_cross_entropy_of_the_readers_logits_and_the_energy_its_sum(kind) -> None:
    operator, x = kind(), images(3)
    y = operator.measure(x.flip(0), noise(3))
    logits = getattr(rooms_reader_a()(x), LABELS[kind])
    log_p = logits.double().log_softmax(dim=1).gather(1, y.unsqueeze(1)).flatten(1)
    torch.testing.assert_close(operator.distance(x, y).double(), -log_p.mean(dim=1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(operator.energy(x, y).double(), -log_p.sum(dim=1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("captioner", [None, rooms_captioner_b])
def test_most_captions_of_clean_rooms_are_true(captioner) -> None:
    operator = RoomsCaption(captioner()) if captioner else ready(RoomsCaption)
    y = operator.measure(images(), noise())
    true = [caption == room.caption for caption, room in zip(y, rooms(), strict=True)]
    assert sum(true) >= 0.6 * NUMBER
    assert sum(ROOM_CLASSES[room.label] in caption for room, caption in zip(rooms(), y, strict=True)) >= 0.95 * NUMBER


def test_the_distance_of_a_caption_is_minus_the_log_probability_of_a_match() -> None:
    operator, x, captioner = ready(RoomsCaption), images(4), rooms_captioner_a()
    captions = [room.caption for room in rooms(4)]
    match = captioner(x, tokens(captions)).diagonal().double().sigmoid()
    torch.testing.assert_close(operator.distance(x, captions).double(), -match.log(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(operator.energy(x, captions), operator.distance(x, captions))


def test_the_best_caption_is_nearer_than_any_with_another_bed() -> None:
    operator, x = ready(RoomsCaption), images(8)
    y = operator.measure(x, noise(8))
    nearest = operator.distance(x, y)
    for bed in ROOM_CLASSES:
        other = [re.sub(r"\w+ bed\b", bed, caption) for caption in y]
        same = torch.tensor([mine == yours for mine, yours in zip(other, y, strict=True)])
        distance = operator.distance(x, other)
        assert (distance[~same] > nearest[~same]).all()
        assert torch.equal(distance[same], nearest[same])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("kind", kinds())
def test_there_is_a_gradient_towards_another_room_in_the_type_of_the_image(kind, dtype) -> None:
    operator, x = ready(kind), images(3).to(dtype).requires_grad_()
    y = operator.measure(images(3).flip(0), noise(3))
    distance = operator.distance(x, y)
    assert distance.dtype == dtype
    distance.sum().backward()
    assert x.grad.isfinite().all()
    assert (x.grad[[0, 2]].flatten(1).norm(dim=1) > 1e-4).all()


@pytest.mark.parametrize("kind", kinds())
def test_steps_against_the_gradient_bring_the_measurement_nearer(kind) -> None:
    operator = ready(kind)
    y = operator.measure(images(4).flip(0), noise(4))
    x = images(4)
    before = operator.distance(x, y).sum()
    for _ in range(20):
        slope = torch.func.grad(lambda x: operator.distance(x, y).sum())(x)
        x = x - 0.05 * F.normalize(slope.flatten(1)).view_as(x) * 3
    assert operator.distance(x, y).sum() < 0.7 * before


@pytest.mark.parametrize("kind", kinds())
def test_an_operator_used_in_inference_mode_still_has_gradients(kind) -> None:
    operator, x = kind(), images(2).requires_grad_()
    with torch.inference_mode():
        y = operator.measure(images(2), noise(2))
    y = y.clone() if isinstance(y, torch.Tensor) else y
    operator.distance(x, y).sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("kind", kinds())
def test_a_measurement_can_be_shown(kind) -> None:
    operator = ready(kind)
    picture = operator.picture(operator.measure(images(6), noise(6)))
    assert picture.shape[:2] == (6, 3)
    assert picture.abs().max() <= 1
    assert not torch.equal(picture, picture[:1].expand_as(picture))


def test_nothing_is_read_before_it_is_used() -> None:
    assert all(kind().reader.network is None for kind in LABELS)
    assert RoomsCaption().captioner.network is None


@pytest.mark.parametrize("kind", kinds())
def test_pictures_that_the_networks_cannot_take_are_refused(kind) -> None:
    with pytest.raises(
        ValueError, match=rf"{kind.__name__} needs pictures whose sides are multiples of 8, but got 30 x"
    ):
        kind()(torch.zeros(1, 3, 30, 32))


def test_measurements_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"a class for each of \(32, 32\) positions of 2 images"):
        RoomsSegmentation().distance(images(2), torch.zeros(2, 16, 16, dtype=torch.long))
    with pytest.raises(ValueError, match="2 images and 1 texts"):
        RoomsCaption().distance(images(2), ["a red bed"])
    with pytest.raises(ValueError, match="with zebra"):
        RoomsCaption().distance(images(1), ["a bedroom with a zebra"])
    assert issubclass(RoomsClass, LabelOperator)
