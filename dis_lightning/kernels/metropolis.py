"""Kernels with an accept step, which leave `pi` exactly invariant.

Duane, Kennedy, Pendleton, Roweth, "Hybrid Monte Carlo", Physics Letters B, 1987; Roberts and Tweedie, "Exponential
convergence of Langevin distributions and their discrete approximations", Bernoulli, 1996. With `U = E + |z|^2 / 2` and
a momentum p, the energy `H = U(z) + |p|^2 / 2` is kept by Hamilton's equations and nearly kept by leapfrog steps

    p <- p - eps / 2 grad U(z),    z <- z + eps p,    p <- p - eps / 2 grad U(z)

whose end is accepted with probability `min(1, exp(H - H'))`.
"""

import math

import torch
from torch import Tensor

from dis_lightning.errors import require_positive, require_whole
from dis_lightning.kernels.base import Kernel, KernelState, Point, Target
from dis_lightning.noise import NoiseSource
from dis_lightning.types import per_row

__all__ = ["HMC", "MALA", "metropolis"]


class HMC(Kernel):
    """Hamiltonian Monte Carlo: follow U with a random momentum, then accept or stay, so that the law of z is exact.

    As many evaluations and gradients per step as leapfrog steps. The length `step_size * leapfrog_steps` should be far
    from half a period `pi / sqrt(lambda)` of a direction with curvature `lambda`: after such a time the chain is at the
    mirror image of its start and hardly mixes.

    Args:
        step_size: size of a leapfrog step, > 0.
        leapfrog_steps: number of leapfrog steps, at least 1.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(self, step_size: float, leapfrog_steps: int = 5) -> None:
        require_positive(self, step_size=step_size)
        require_whole(self, 1, leapfrog_steps=leapfrog_steps)
        self.step_size = step_size
        self.leapfrog_steps = leapfrog_steps

    def step(self, point: Point, state: KernelState, target: Target, noise: NoiseSource) -> tuple[Point, KernelState]:
        """See the class and `Kernel.step`."""
        return metropolis(point, self.step_size, self.leapfrog_steps, target, noise)[0], state


class MALA(Kernel):
    """The Metropolis-adjusted Langevin algorithm: propose an Euler-Maruyama step, then accept or stay.

    The proposal `z' = z - tau (z + g) + sqrt(2 tau) n` is one leapfrog step of size `sqrt(2 tau)` with momentum n, and
    both acceptance rules are the same number. One evaluation and one gradient per step.

    Args:
        step_size: tau, > 0.

    Raises:
        ValueError: if `step_size` is not positive or not finite.
    """

    def __init__(self, step_size: float) -> None:
        require_positive(self, step_size=step_size)
        self.step_size = step_size

    def step(self, point: Point, state: KernelState, target: Target, noise: NoiseSource) -> tuple[Point, KernelState]:
        """See the class and `Kernel.step`."""
        return metropolis(point, math.sqrt(2 * self.step_size), 1, target, noise)[0], state


def metropolis(
    point: Point, step_size: float | Tensor, leapfrog_steps: int, target: Target, noise: NoiseSource
) -> tuple[Point, Tensor]:
    """Leapfrog steps from a fresh momentum, accepted row by row with probability `min(1, e^(H - H'))`.

    Args:
        point: where the chains are.
        step_size: size of a leapfrog step, one for all rows or anything that multiplies them.
        leapfrog_steps: number of leapfrog steps.
        target: evaluates new positions.
        noise: one stream per row.

    Returns:
        The next point, and which rows accepted, boolean `(N,)`.
    """
    start = noise.like(point.z)
    proposal, momentum = point, start
    for _ in range(leapfrog_steps):
        middle = momentum - step_size / 2 * (proposal.z + proposal.gradient)
        proposal = target(proposal.z + step_size * middle)
        momentum = middle - step_size / 2 * (proposal.z + proposal.gradient)
    gain = _hamiltonian(point, start) - _hamiltonian(proposal, momentum)
    uniform = noise.uniform(point.energy.shape, torch.float64)
    # A proposal that is not finite compares as false: the chain stays where it was.
    accepted = uniform.log() < gain
    rows = [per_row(accepted, new) for new in proposal]
    return Point(*(torch.where(row, new, old) for row, new, old in zip(rows, proposal, point, strict=True))), accepted


def _hamiltonian(point: Point, momentum: Tensor) -> Tensor:
    # Large numbers whose difference is of order 1: in double precision.
    squares = (point.z.double().square() + momentum.double().square()).flatten(1).sum(dim=1)
    return point.energy.double() + squares / 2
