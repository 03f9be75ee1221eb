import pytest
import torch
from torch import Tensor

from dis_lightning.metrics.functional import stein_discrepancy

LENGTH = 1.3


def by_autograd(x: Tensor, y: Tensor, s: Tensor, t: Tensor) -> float:
    """The Stein kernel of two points by the definition, its derivatives by autograd."""

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (1 + ((a - b) / LENGTH).square().sum()).rsqrt()

    x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
    k = kernel(x, y)
    gradient_x, gradient_y = torch.autograd.grad(k, (x, y), create_graph=True)
    mixed = torch.stack([torch.autograd.grad(g, y, retain_graph=True)[0] for g in gradient_x])
    u = s @ t * k + s @ gradient_y + t @ gradient_x + mixed.trace()
    return float(u.detach()) * LENGTH**2


def test_it_is_the_mean_of_the_definition_over_pairs() -> None:
    generator = torch.Generator().manual_seed(0)
    x, s = torch.randn(2, 4, 3, generator=generator, dtype=torch.float64)
    pairs = [(i, j) for i in range(4) for j in range(4) if i != j]
    expected = sum(by_autograd(x[i], x[j], s[i], s[j]) for i, j in pairs) / len(pairs)
    assert float(stein_discrepancy(x, s, LENGTH)) == pytest.approx(expected)


def discrepancies(width: float, shift: float, sets: int = 200) -> Tensor:
    """Of sets of normal samples, from the standard normal law of eight values."""
    generator = torch.Generator().manual_seed(1)
    x = shift + width * torch.randn(sets, 20, 8, generator=generator)
    return torch.stack([stein_discrepancy(each, -each, 4.0) for each in x])


def test_it_is_nothing_for_exact_samples_and_something_for_others() -> None:
    exact = discrepancies(1.0, 0.0)
    error = float(exact.std() / len(exact) ** 0.5)
    assert abs(float(exact.mean())) < 4 * error
    for width, shift in [(0.1, 0.0), (0.5, 0.0), (2.0, 0.0), (1.0, 0.7)]:
        assert float(discrepancies(width, shift).mean()) > 10 * error
