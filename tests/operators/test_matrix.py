"""Measurement by a given matrix, against NumPy."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch.cli import LightningArgumentParser
from safetensors.torch import save_file

from dis_lightning.operators import MatrixOperator, Operator

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


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pt", "_named.pt", ".safetensors"])
def test_a_matrix_comes_from_a_file_that_is_named_on_the_command_line(
    suffix: str, matrix: torch.Tensor, images: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write = {
        ".npy": lambda file: np.save(file, matrix.numpy()),
        ".npz": lambda file: np.savez(file, a=matrix.numpy()),
        ".pt": lambda file: torch.save(matrix, file),
        "_named.pt": lambda file: torch.save({"A": matrix}, file),
        ".safetensors": lambda file: save_file({"A": matrix.contiguous()}, file),
    }[suffix]
    write(tmp_path / f"a{suffix}")
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Operator, "operator")
    for file in (f"{tmp_path}/a{suffix}", f"~/a{suffix}"):
        arguments = ["--operator=MatrixOperator", f"--operator.matrix={file}", "--operator.shape=[3, 2, 2]"]
        operator = parser.instantiate(parser.parse_args(arguments)).operator
        assert torch.equal(operator(images), MatrixOperator(matrix, shape=SHAPE)(images))
        assert f"matrix={file!r}"[:60] in repr(operator)  # long ones are cut short


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no array", "cannot be read as an array of numbers"),
        (np.zeros((2, 3, 4)), r"shape \(2, 3, 4\) does not act"),
        (np.zeros((0, 3)), r"shape \(0, 3\) does not act"),
        (np.full((2, 3), np.nan), "finite real numbers, but got torch.float64 with 6 of 6"),
        (np.zeros((2, 3), complex), "finite real numbers, but got torch.complex128"),
        (np.array([[None]]), "cannot be read as an array of numbers"),
    ],
)
def test_a_file_of_something_else_is_refused(content: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(content) if isinstance(content, bytes) else np.save(path, content, allow_pickle=True)
    with pytest.raises(ValueError, match=message):
        MatrixOperator(path)


def test_a_file_that_is_not_there_or_holds_several_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"a\.npy is no file: put a matrix .* there"):
        MatrixOperator(tmp_path / "a.npy")
    np.savez(tmp_path / "a.npz", a=np.eye(2), b=np.eye(2))
    with pytest.raises(ValueError, match=r"a\.npz must hold one matrix, but holds 2 arrays"):
        MatrixOperator(tmp_path / "a.npz")


def test_whole_numbers_do_as_well() -> None:
    assert MatrixOperator([[1, 2], [0, 3]])(torch.tensor([[10.0, 1.0]])).tolist() == [[12.0, 3.0]]


def test_images_with_another_number_of_values_are_refused_before_anything_is_sampled(matrix: torch.Tensor) -> None:
    MatrixOperator(matrix).accept(SHAPE)
    with pytest.raises(ValueError, match=r"\(5, 12\) does not act on images of shape \(3, 4, 4\), which have 48"):
        MatrixOperator(matrix).accept((3, 4, 4))


def test_images_have_the_shape_of_the_prior_unless_another_was_named(matrix: torch.Tensor) -> None:
    operator = MatrixOperator(matrix)
    operator.accept(SHAPE)
    assert operator.pseudo_inverse(torch.ones(2, 5).double()).shape == (2, *SHAPE)
    with pytest.raises(ValueError, match=r"given for images of shape \(3, 2, 2\), but the prior's are \(12,\)"):
        MatrixOperator(matrix, shape=SHAPE).accept((12,))
