"""Measurement by a given matrix, against NumPy."""

import numpy as np
import pytest
import torch

from dis_lightning.operators import MatrixOperator

SHAPE = (3, 2, 2)


@pytest.fixture
def matrix() -> torch.Tensor:
    """Five numbers of rank 3, so that the pseudo-inverse is neither a left nor a right inverse."""
    left, right = torch.randn(2, 12, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return left[:5] @ right.T


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_it_multiplies_the_values_of_an_image_in_their_order(matrix: torch.Tensor, images: torch.Tensor) -> None:
    y = MatrixOperator(matrix, shape=SHAPE)(images)
    np.testing.assert_allclose(y, np.einsum("md,nd->nm", matrix, images.numpy().reshape(4, -1)), rtol=1e-12)


def test_adjoint_and_pseudo_inverse_are_those_of_the_matrix(matrix: torch.Tensor) -> None:
    operator = MatrixOperator(matrix, shape=SHAPE)
    y = torch.randn(4, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    np.testing.assert_allclose(operator.adjoint(y).flatten(1), y.numpy() @ matrix.numpy(), rtol=1e-12)
    # The float64 cut-off of NumPy's `pinv` leaves this matrix of rank 3 all its directions.
    expected = y.numpy() @ np.linalg.pinv(matrix.numpy(), rcond=1e-10).T
    np.testing.assert_allclose(operator.pseudo_inverse(y).flatten(1), expected, rtol=1e-8, atol=1e-10)
    assert operator.adjoint(y).shape == operator.pseudo_inverse(y).shape == (4, *SHAPE)


def test_it_is_its_own_dense_matrix(matrix: torch.Tensor) -> None:
    assert torch.equal(MatrixOperator(matrix, shape=SHAPE).matrix(SHAPE), matrix)


def test_lists_and_plain_vectors_do_as_well() -> None:
    operator = MatrixOperator([[1.0, 2.0], [0.0, 3.0]])
    assert operator(torch.tensor([[10.0, 1.0]])).tolist() == [[12.0, 3.0]]
    assert operator.adjoint(torch.tensor([[1.0, 1.0]])).tolist() == [[1.0, 5.0]]


def test_it_computes_in_the_type_of_the_images(matrix: torch.Tensor, images: torch.Tensor) -> None:
    operator = MatrixOperator(matrix, shape=SHAPE)
    assert operator(images.float()).dtype == torch.float32
    torch.testing.assert_close(operator(images.float()), operator(images).float(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("size", "shape"), [((12,), None), ((5, 12), (3, 2, 3)), ((2, 5, 12), None)])
def test_a_matrix_that_does_not_fit_is_refused_with_both_shapes(
    size: tuple[int, ...], shape: tuple[int, ...] | None
) -> None:
    with pytest.raises(ValueError, match="does not act on images of shape"):
        MatrixOperator(torch.zeros(size), shape=shape)


def test_the_pseudo_inverse_of_a_rank_deficient_matrix_in_single_precision_does_not_return_noise(
    matrix: torch.Tensor,
) -> None:
    """Rounding gives such a matrix full rank; directions that only rounding sees must not be inverted."""
    operator = MatrixOperator(matrix.float(), shape=SHAPE)
    y = torch.randn(4, 5, generator=torch.Generator().manual_seed(2))
    expected = y.double() @ torch.linalg.pinv(matrix, rtol=1e-10).T
    np.testing.assert_allclose(operator.pseudo_inverse(y).flatten(1), expected, rtol=0, atol=1e-5)
