"""Pictures of measurements: colours of classes that a person can tell apart."""

import pytest
import torch

from dis_lightning.operators.pictures import distinct_colours


@pytest.mark.parametrize("number", [8, 40, 150])
def test_colours_are_clearly_apart(number: int) -> None:
    colours = distinct_colours(number)
    assert colours.dtype == torch.uint8
    assert colours.shape == (number, 3)
    assert torch.pdist(colours.float()).min() > 45


def test_a_class_keeps_its_colour_however_many_there_are() -> None:
    colours = distinct_colours(150)
    for number in (1, 5, 12, 13, 80):
        assert torch.equal(distinct_colours(number), colours[:number])
    assert colours[:3].tolist() == [[242, 109, 109], [38, 83, 191], [98, 128, 57]]


def test_a_thousand_classes_have_a_thousand_colours() -> None:
    assert len(distinct_colours(1000).unique(dim=0)) == 1000
