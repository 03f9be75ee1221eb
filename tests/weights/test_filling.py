"""A network is filled as a whole or not at all."""

import pytest
import torch
from torch import Tensor, nn

from dis_lightning.weights import fill


def network() -> nn.Sequential:
    with torch.device("meta"):
        return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).to(torch.bfloat16)


def weights() -> dict[str, Tensor]:
    return {key: torch.full(tensor.shape, 0.5, dtype=torch.float64) for key, tensor in network().state_dict().items()}


def test_weights_take_the_precision_of_the_network_and_are_frozen() -> None:
    filled = fill(network(), weights(), "file", "tiny")
    assert {key: tensor.dtype for key, tensor in filled.state_dict().items()} == {
        key: tensor.dtype for key, tensor in network().state_dict().items()
    }
    assert torch.equal(filled[0].weight, torch.full((4, 3, 1, 1), 0.5, dtype=torch.bfloat16))
    assert not filled.training
    assert not any(parameter.requires_grad for parameter in filled.parameters())


def test_weights_that_fit_are_used_in_place() -> None:
    given = {key: tensor.bfloat16() for key, tensor in weights().items() if not key.endswith("_tracked")}
    given["1.num_batches_tracked"] = torch.tensor(3)
    assert fill(network(), given, "file", "tiny")[0].weight.data_ptr() == given["0.weight"].data_ptr()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"0.weight": None, "0.bias": None}, r"2 weights are missing \(0.weight, 0.bias\)"),
        ({"2.weight": torch.ones(1)}, r"1 are not known \(2.weight\)"),
        ({"0.weight": torch.ones(4, 3)}, r"1 differ in shape \(0.weight \(4, 3\) instead of \(4, 3, 1, 1\)\)"),
    ],
)
def test_the_first_weights_that_differ_are_named(change: dict[str, Tensor | None], message: str) -> None:
    changed = {key: tensor for key, tensor in (weights() | change).items() if tensor is not None}
    with pytest.raises(ValueError, match=f"some file holds another network than a tiny one, which has 7 .*{message}"):
        fill(network(), changed, "some file", "a tiny one")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.full((4,), torch.nan), r"some file holds values in 0.bias that are no numbers \(NaN\)"),
        (torch.ones(4, dtype=torch.int8), "some file holds 0.bias as torch.int8, but floating-point"),
        (torch.ones(4, dtype=torch.complex64), "some file holds 0.bias as torch.complex64"),
    ],
)
def test_values_that_cannot_be_right_are_refused(value: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fill(network(), weights() | {"0.bias": value}, "some file", "a tiny one")
