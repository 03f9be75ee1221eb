"""Changes of size against PyTorch's own: values and gradients."""

from itertools import product
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from dis_lightning.images.resizing import interpolated, pooled
from dis_lightning.solvers.functional.proximity import _median

X = torch.randn(2, 3, 13, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def assert_same(ours: Any, theirs: Any) -> None:
    x = X.clone().requires_grad_()
    found, expected = ours(x), theirs(x)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    slope = torch.randn_like(expected)
    gradients = [torch.autograd.grad(each, x, slope)[0] for each in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("size", "interpolation", "antialias"),
    [*product([(13, 20), (7, 9), (26, 40), (31, 5)], ["bicubic", "bilinear"], [True, False])],
)
def test_a_picture_is_resized_as_pytorch_does_it(size: Any, interpolation: Any, antialias: bool) -> None:
    assert_same(
        lambda x: interpolated(x, size, interpolation, antialias),
        lambda x: F.interpolate(x, size, mode=interpolation, antialias=antialias),
    )


@pytest.mark.parametrize("size", [1, 2, 3, 6, 13])
def test_means_of_fields_are_those_of_pytorch(size: int) -> None:
    assert_same(lambda x: pooled(x, size), lambda x: F.adaptive_avg_pool2d(x, size))


def test_matrices_that_were_first_asked_for_in_inference_mode_serve_gradients() -> None:
    with torch.inference_mode():
        interpolated(X, (5, 6), "bicubic", True)
        pooled(X, 5)
    for change in (lambda x: interpolated(x, (5, 6), "bicubic", True), lambda x: pooled(x, 5)):
        x = X.clone().requires_grad_()
        torch.autograd.grad(change(x).sum(), x)


def test_the_median_is_that_of_pytorch() -> None:
    rows = torch.randn(200, 9, generator=torch.Generator().manual_seed(1))
    rows[rows.abs() > torch.linspace(0, 3, 200)[:, None]] = torch.nan  # from all to nearly none of a row
    assert rows.isnan().all(dim=1).any()
    torch.testing.assert_close(_median(rows), rows.nanmedian(dim=1).values, rtol=0, atol=0, equal_nan=True)
