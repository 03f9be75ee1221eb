"""Kernels: how the noise of a generator moves so that its image explains the measurement.

A generator Phi makes images of standard normal noise `z`. Given a measurement the noise has the density

    pi(z) ~ exp(-U(z)),    U(z) = E(z) + |z|^2 / 2,    E(z) = -log p(y | Phi(z))

(Purohit et al. 2024, equation 7). A target gives `E` and its gradient `g = grad E`; the kernels of samplers add the
prior's part `z` themselves. With n standard normal:

    Adam                    descends E, or any other value
    Euler-Maruyama          z' = z - tau (z + g) + sqrt(2 tau) n
    exponential integrator  z' = e^-tau z - (1 - e^-tau) g + sqrt(1 - e^(-2 tau)) n
    HMC                     L leapfrog steps under U from momentum n, then accepted or not
    MALA                    HMC with one leapfrog step of size sqrt(2 tau)

A kernel is pure: all that changes is in the point and the state that it takes and gives. Every row is a chain of its
own, with its own noise, its own acceptance and its own failures.
"""

from dis_lightning.kernels.adam import Adam, AdamState
from dis_lightning.kernels.base import Kernel, KernelState, Point, Target, differentiate, walk
from dis_lightning.kernels.langevin import EulerMaruyama, ExponentialIntegrator
from dis_lightning.kernels.metropolis import HMC, MALA, metropolis

__all__ = [
    "HMC",
    "MALA",
    "Adam",
    "AdamState",
    "EulerMaruyama",
    "ExponentialIntegrator",
    "Kernel",
    "KernelState",
    "Point",
    "Target",
    "differentiate",
    "metropolis",
    "walk",
]
