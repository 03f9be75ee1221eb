"""Random walks whose increments have heavy tails: their Gibbs sampler, and the denoiser that it makes.

    x_0 = cumsum(u),    u_i ~ N(0, s_i),    y = A x_0 + noise_std n

with a law of the variances s that makes the increments Laplacian (s exponential; Park and Casella, "The Bayesian
Lasso", 2008) or Student (1 / s gamma; Geweke, "Bayesian Treatment of the Independent Student-t Linear Model", 1993).
Given s the walk is Gaussian, and given the walk each s_i has a law of its own from which one can draw. Taking turns
gives the posterior of any linear measurement; that of `x_t = x_0 + sigma n` is the denoiser:

    D(x_t, sigma) = mean over sweeps of E[x_0 | x_t, s],    J = Cov[x_0 | x_t] / sigma^2
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor

from dis_lightning.priors import Denoiser
from dis_lightning.priors.base import Kind, per_image

SMALLEST, LARGEST = 1e-12, 1e12
"""Bounds of variances, so that precisions can be factored."""

__all__ = ["GibbsDenoiser", "Increments", "Laplace", "Student", "gibbs", "log_density", "walks"]


class Increments(ABC):
    """A law of increments, as a Gaussian whose variance is drawn first."""

    name: str

    @abstractmethod
    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Draw increments, in float64."""

    @abstractmethod
    def variances(self, u: Tensor, generator: torch.Generator) -> Tensor:
        """Draw the variances given the increments, same shape."""

    @abstractmethod
    def log_density(self, u: Tensor) -> Tensor:
        """Logarithm of the density, up to a constant, same shape."""


class Laplace(Increments):
    """`p(u) = exp(-|u|) / 2`: variance 2."""

    name = "Laplace"

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """See `Increments.draw`."""
        variances = -2 * torch.rand(shape, generator=generator, dtype=torch.float64).log()
        return variances.sqrt() * torch.randn(shape, generator=generator, dtype=torch.float64)

    def variances(self, u: Tensor, generator: torch.Generator) -> Tensor:
        """`1 / s` is inverse Gaussian with mean `1 / |u|` and shape 1; see `Increments.variances`."""
        # Michael, Schucany and Haas, "Generating Random Variates Using Transformations with Multiple Roots", 1976,
        # divided by the mean m so that nothing cancels: 1 / s = m r or m / r.
        m = 1 / u.abs().clamp(min=1e-12)
        half = m * torch.randn(u.shape, generator=generator, dtype=u.dtype).square() / 2
        root = 1 / (1 + half + (half * (2 + half)).sqrt())
        first = torch.rand(u.shape, generator=generator, dtype=u.dtype) * (1 + root) <= 1
        return torch.where(first, 1 / root, root) / m

    def log_density(self, u: Tensor) -> Tensor:
        """See `Increments.log_density`."""
        return -u.abs()


class Student(Increments):
    """Student's law.

    Args:
        freedom: degrees of freedom, >= 1; up to 2 the variance is infinite, at 1 it is Cauchy's.
    """

    def __init__(self, freedom: int) -> None:
        self.freedom = freedom
        self.name = f"Student {freedom}"

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """See `Increments.draw`."""
        variances = self.freedom / _chi_square(self.freedom, shape, generator)
        return variances.sqrt() * torch.randn(shape, generator=generator, dtype=torch.float64)

    def variances(self, u: Tensor, generator: torch.Generator) -> Tensor:
        """`(nu + u^2) / s` is chi-square with `nu + 1` degrees of freedom; see `Increments.variances`."""
        return (self.freedom + u.square()) / _chi_square(self.freedom + 1, u.shape, generator)

    def log_density(self, u: Tensor) -> Tensor:
        """See `Increments.log_density`."""
        return -(self.freedom + 1) / 2 * (u.square() / self.freedom).log1p()


def _chi_square(freedom: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn((freedom, *shape), generator=generator, dtype=torch.float64).square().sum(0).clamp(min=1e-12)


def log_density(law: Increments, x: Tensor) -> Tensor:
    """Logarithm of the prior's density of walks `(..., D)`, up to a constant, `(...,)`."""
    return law.log_density(_increments(x.double())).sum(-1)


def gibbs(
    law: Increments, matrix: Tensor, y: Tensor, noise_std: Tensor, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Take turns between walks and variances for ever, from variances 1.

    Args:
        law: of the increments.
        matrix: A, `(M, D)`.
        y: measurements, `(N, M)`.
        noise_std: of each, `(N,)`.
        generator: where the numbers come from.

    Yields:
        A draw of the walks `(N, D)`, their mean given the variances `(N, D)`, and the inverse Cholesky factor `F^-1` of
        their precision `F F^T` given them, `(N, D, D)`. All in float64.
    """
    size = matrix.shape[1]
    a, y, precision = matrix.double(), y.double(), noise_std.double().square().reciprocal()[:, None]
    difference = torch.eye(size, dtype=torch.float64) - torch.diag(torch.ones(size - 1, dtype=torch.float64), -1)
    seen, pull = a.T @ a, precision * (y @ a)
    variances = torch.ones(len(y), size, dtype=torch.float64)
    while True:
        within = (difference.T / variances[:, None]) @ difference + precision[..., None] * seen
        factor = torch.linalg.cholesky(within)
        inverse = torch.linalg.solve_triangular(factor, torch.eye(size, dtype=torch.float64), upper=False)
        white = torch.einsum("nij, nj -> ni", inverse, pull)
        fresh = torch.randn(white.shape, generator=generator, dtype=torch.float64)
        mean, x = (torch.einsum("nij, ni -> nj", inverse, part) for part in (white, white + fresh))
        yield x, mean, inverse
        variances = law.variances(_increments(x), generator).clamp(SMALLEST, LARGEST)


class GibbsDenoiser(Denoiser):
    """The posterior mean of noisy walks by a Gibbs sampler, and its products with the Jacobian.

    The numbers it draws are the same at every call, so that the same batch of noisy walks has the same means; what the
    sampler misses falls with the root of the sweeps.

    Args:
        law: of the increments.
        size: D, length of a walk.
        sweeps: how many are averaged, >= 1.
        burn_in: how many are thrown away before.
    """

    kind: ClassVar[Kind] = "posterior mean"

    def __init__(self, law: Increments, size: int, sweeps: int = 100, burn_in: int = 25) -> None:
        super().__init__()
        self.shape = (size,)
        self.law = law
        self.sweeps = sweeps
        self.burn_in = burn_in

    def forward(self, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        """See `Denoiser.forward`; differentiable with respect to `x_t`. A walk that is not finite has no mean."""
        levels = torch.as_tensor(per_image(sigma, x_t), dtype=x_t.dtype).expand(len(x_t), 1)[:, 0]
        lost = ~x_t.isfinite().all(dim=1, keepdim=True)
        found: Tensor = _Mean.apply(x_t.masked_fill(lost, 0.0), levels, self)
        return found.masked_fill(lost, torch.nan)

    def moments(self, x_t: Tensor, sigma: Tensor, jacobian: bool) -> tuple[Tensor, Tensor | None]:
        """Mean `(N, D)` and, if wanted, covariance `(N, D, D)` of the clean walks, in float64.

        Args:
            x_t: noisy walks, `(N, D)`.
            sigma: their levels, `(N,)`.
            jacobian: whether the covariance is wanted.
        """
        sweeps = gibbs(self.law, torch.eye(self.shape[0]), x_t, sigma, torch.Generator().manual_seed(0))
        for _ in range(self.burn_in):
            next(sweeps)
        mean = torch.zeros_like(x_t, dtype=torch.float64)
        square = torch.zeros(*mean.shape, self.shape[0], dtype=torch.float64)
        for _ in range(self.sweeps):
            _, given, inverse = next(sweeps)
            mean += given / self.sweeps
            if jacobian:
                off = given - x_t  # small where the level is low, and so are the squares of their differences
                square += (inverse.mT @ inverse + off[:, :, None] * off[:, None]) / self.sweeps
        off = mean - x_t
        return mean, square - off[:, :, None] * off[:, None] if jacobian else None


class _Mean(torch.autograd.Function):
    """`E[x_0 | x_t]`, whose Jacobian is `Cov[x_0 | x_t] / sigma^2`."""

    @staticmethod
    def forward(ctx: Any, x_t: Tensor, sigma: Tensor, denoiser: GibbsDenoiser) -> Tensor:
        mean, covariance = denoiser.moments(x_t, sigma, jacobian=ctx.needs_input_grad[0])
        if covariance is not None:
            ctx.save_for_backward(covariance / sigma.double().square()[:, None, None])
        return mean.to(x_t.dtype)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:
        (jacobian,) = ctx.saved_tensors
        (slope,) = slopes
        return torch.einsum("nij, nj -> ni", jacobian, slope.double()).to(slope.dtype), None, None


def _increments(x: Tensor) -> Tensor:
    return torch.diff(x, dim=-1, prepend=torch.zeros_like(x[..., :1]))


def walks(law: Increments, count: int, size: int, seed: int = 0) -> Tensor:
    """Draw walks, `(count, size)`, in float64."""
    return law.draw((count, size), torch.Generator().manual_seed(seed)).cumsum(-1)
