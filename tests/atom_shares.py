"""How often each of finitely many images is found, against how probable it is."""

import torch
from torch import Tensor

from dis_lightning.levels import KarrasLevels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import Operator
from dis_lightning.priors import FiniteAtomPrior
from dis_lightning.solvers import Unguided

__all__ = ["assert_recovered", "assert_shares"]


def assert_shares(samples: Tensor, atoms: Tensor, weights: Tensor) -> None:
    """Each atom is the nearest of about as many samples as its weight says: its share is a binomial's."""
    count = len(samples)
    nearest = torch.cdist(samples.flatten(1), atoms.flatten(1)).argmin(dim=1)
    shares = torch.bincount(nearest, minlength=len(weights)) / count
    assert ((shares - weights).abs() < 5 * (weights * (1 - weights) / count).sqrt() + 1 / count).all()


def assert_recovered(operator: Operator, atoms: Tensor, count: int = 1000) -> None:
    """The exact conditional denoiser finds the exact posterior of 16 atoms, of which number 5 was measured."""
    y = operator.measure(atoms[5:6], NoiseSource(3, [0]))
    posterior = FiniteAtomPrior(atoms).posterior(operator, y)
    assert 1.5 < 1 / posterior.weights.square().sum() < 12  # neither known nor unknown
    levels = KarrasLevels(50, sigma_min=0.02, sigma_max=20)
    samples = Unguided(operator, posterior, levels, num_samples=count).solve(y, NoiseSource(0, [0]))[0]
    assert_shares(samples, atoms, posterior.weights)
