"""Segmentation and room layout: from pictures in [-1, 1] to labels, and the two distances."""

import math

import pytest
import torch
from published_files import randomised
from torch import Tensor, nn
from torch.nn import functional as F

from dis_lightning.noise import NoiseSource
from dis_lightning.operators import RoomLayout, Segmentation
from dis_lightning.operators.networks import MobileNetC1, PlanarLayout, ResNetPPM, SegmentationNetwork
from dis_lightning.weights import LazyNetwork


def images(size: int, batch: int = 2) -> Tensor:
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def filled(network: SegmentationNetwork, dtype: torch.dtype = torch.float32) -> SegmentationNetwork:
    network.network = nn.Sequential(
        *(LazyNetwork(randomised(build()).to(dtype)) for build in (network.build_encoder, network.build_decoder))
    )
    network.dtype = dtype
    return network


def segmentation(softmax_twice: bool = False) -> Segmentation:
    return Segmentation(filled(MobileNetC1()), softmax_twice)


def test_the_network_sees_the_picture_normalised_and_its_logits_are_raised_to_the_size_of_the_picture() -> None:
    operator, x = segmentation(), images(48)
    u = (x + 1) / 2
    channels = zip(u.unbind(1), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)
    small = operator.network.network(torch.stack([(c - mean) / std for c, mean, std in channels], 1))
    assert small.shape == (2, 150, 6, 6)
    wanted = F.interpolate(small, (48, 48), mode="bilinear", align_corners=False)
    torch.testing.assert_close(operator(x), wanted, rtol=1e-4, atol=1e-4)
    assert torch.equal(operator.measure(x, NoiseSource(0, [0, 1])), operator(x).argmax(1))


def test_the_distance_is_the_mean_cross_entropy_of_the_logits_unless_the_authors_is_asked_for() -> None:
    x, y = images(32), torch.randint(150, (2, 32, 32), generator=torch.Generator().manual_seed(0))
    once, twice = segmentation(), segmentation(softmax_twice=True)
    probabilities = once(x).softmax(1)
    chosen = probabilities.gather(1, y[:, None]).squeeze(1)
    torch.testing.assert_close(once.distance(x, y), -chosen.log().mean((1, 2)), rtol=1e-4, atol=1e-4)
    again = probabilities.exp().sum(1).log() - chosen
    torch.testing.assert_close(twice.distance(x, y), again.mean((1, 2)), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(twice.energy(x, y), once.energy(x, y))


@pytest.mark.parametrize("twice", [False, True])
def test_a_map_of_another_size_or_of_other_classes_is_refused(twice: bool) -> None:
    operator, x = segmentation(twice), images(16)
    with pytest.raises(ValueError, match=r"\(16, 16\) positions of 2 images, but got labels .*: resize the label map"):
        operator.distance(x, torch.zeros(2, 8, 8).long())
    operator.distance(x, torch.zeros(2, 16, 16).long())  # one good map says nothing of the next
    for label, told in ((150, "0 to 150"), (-1, "-1 to 0"), (-100, "-100 to 0")):
        y = torch.zeros(2, 16, 16).long()
        y[1, 3, 5] = label
        for compare in (operator.distance, operator.energy):
            with pytest.raises(ValueError, match=rf"needs classes 0 \.\. 149, but got labels from {told}"):
                compare(x, y)


def test_the_authors_distance_is_confined_as_the_documentation_says() -> None:
    class Certain(SegmentationNetwork):
        build_encoder = build_decoder = staticmethod(nn.Identity)  # type: ignore[assignment]

        def forward(self, x_0: Tensor) -> Tensor:
            return 1e4 * F.one_hot(torch.zeros(len(x_0), *x_0.shape[-2:]).long(), 150).movedim(3, 1).float()

    operator = Segmentation(
        Certain("ade20k_mobilenetv2_c1_encoder", "ade20k_mobilenetv2_c1_decoder"), softmax_twice=True
    )
    x = images(8, batch=1)
    right, wrong = (operator.distance(x, torch.full((1, 8, 8), label)).item() for label in (0, 7))
    assert right == pytest.approx(math.log(149 + math.e) - 1, abs=1e-5)
    assert wrong == pytest.approx(math.log(149 + math.e), abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("kind", "size"),
    [(MobileNetC1, 32), (ResNetPPM, 16), (PlanarLayout, 64)],
)
def test_the_gradient_with_respect_to_the_image_is_finite_and_not_zero(
    kind: type[nn.Module], size: int, dtype: torch.dtype
) -> None:
    x = images(size, batch=1).requires_grad_()
    if kind is PlanarLayout:
        operator: Segmentation | RoomLayout = RoomLayout(randomised(PlanarLayout()).to(dtype))
    else:
        operator = Segmentation(filled(kind(), dtype))  # type: ignore[arg-type]
    y = torch.randint(len(operator.classes), (1, size, size), generator=torch.Generator().manual_seed(0))
    operator.distance(x, y).sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == torch.float32
    assert x.grad.isfinite().all()
    assert x.grad.abs().max() > 0


def test_the_layout_is_the_surface_with_the_largest_logit() -> None:
    network = randomised(PlanarLayout())
    operator, x = RoomLayout(network), images(64, batch=1)
    y = operator.measure(x, NoiseSource(0, [0]))
    logits = network(x)
    assert torch.equal(y, logits.argmax(1))
    nll = -logits.log_softmax(1).gather(1, y[:, None])
    torch.testing.assert_close(operator.distance(x, y), nll.mean((1, 2, 3)))
    assert operator.classes == ("frontal wall", "left wall", "right wall", "floor", "ceiling")


def test_a_room_of_a_size_that_the_layout_network_cannot_take_is_refused_when_it_is_measured() -> None:
    with pytest.raises(ValueError, match="multiples of 64, but got 32 x 32"):
        RoomLayout(PlanarLayout()).measure(images(32), NoiseSource(0, [0, 1]))


def test_there_is_a_name_for_each_of_the_150_classes() -> None:
    classes = Segmentation().classes
    assert len(set(classes)) == 150
    assert [classes[place] for place in (0, 3, 5, 7, 8, 149)] == [
        "wall",
        "floor",
        "ceiling",
        "bed",
        "windowpane",
        "flag",
    ]
