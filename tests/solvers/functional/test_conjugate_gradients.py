import pytest
import torch
from torch import Tensor

from dis_lightning.solvers.functional.conjugate_gradients import conjugate_gradients


def systems(number: int = 3, size: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(number, size, size, generator=generator, dtype=torch.float64)
    matrices = root @ root.mT + 0.2 * torch.eye(size)
    return matrices, torch.randn(number, size, generator=generator, dtype=torch.float64)


def test_as_many_steps_as_unknowns_solve_each_row() -> None:
    matrices, b = systems()
    found = conjugate_gradients(lambda p: (torch.einsum("nij,nj->ni", matrices, p), p), b, 5)
    torch.testing.assert_close(found, torch.linalg.solve(matrices, b))


def test_a_linear_image_of_the_solution_is_summed_on_the_way() -> None:
    matrices, b = systems()
    image = torch.randn(7, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = conjugate_gradients(lambda p: (torch.einsum("nij,nj->ni", matrices, p), p @ image.T), b, 5)
    torch.testing.assert_close(found, torch.linalg.solve(matrices, b) @ image.T)


def test_more_steps_than_needed_and_rows_without_anything_to_solve_change_nothing() -> None:
    matrices, b = systems()
    b[1] = 0
    found = conjugate_gradients(lambda p: (torch.einsum("nij,nj->ni", matrices, p), p), b, 20)
    torch.testing.assert_close(found, torch.linalg.solve(matrices, b))
    assert not found[1].any()


@pytest.mark.parametrize("number", [3, 12, 60])
def test_a_singular_matrix_is_solved_where_it_can_be_in_as_many_steps_as_one_likes(number: int) -> None:
    """In float32, whose rounding would otherwise be followed along directions that the matrix takes to nothing."""
    generator = torch.Generator().manual_seed(0)
    wide = torch.randn(9, 3, generator=generator)
    b = torch.randn(4, 3, generator=generator) @ wide.T
    found = conjugate_gradients(lambda p: (p @ wide @ wide.T, p), b, number)
    torch.testing.assert_close(found @ wide @ wide.T, b, rtol=1e-4, atol=1e-4)
    assert (found.norm(dim=1) <= 1.01 * (b @ torch.linalg.pinv(wide @ wide.T, rtol=1e-4)).norm(dim=1)).all()


def test_one_step_is_the_steepest_descent() -> None:
    matrices, b = systems()
    found = conjugate_gradients(lambda p: (torch.einsum("nij,nj->ni", matrices, p), p), b, 1)
    length = (b * b).sum(1) / torch.einsum("ni,nij,nj->n", b, matrices, b)
    torch.testing.assert_close(found, length[:, None] * b)
