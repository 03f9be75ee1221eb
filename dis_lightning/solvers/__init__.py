"""Solvers: two loops, and one file per paper with what the paper changes."""

from dis_lightning.solvers.annealed import AnnealedSolver
from dis_lightning.solvers.base import Solver
from dis_lightning.solvers.cm4ir import CM4IR
from dis_lightning.solvers.cmedit import CMEdit
from dis_lightning.solvers.consistency_dps import ConsistencyDPS
from dis_lightning.solvers.consistency_inversion import ConsistencyInversion
from dis_lightning.solvers.consistency_sampling import ConsistencySampling
from dis_lightning.solvers.daps import DAPS, DecayingReach
from dis_lightning.solvers.ddnm import DDNM
from dis_lightning.solvers.ddrm import DDRM
from dis_lightning.solvers.diffpir import DiffPIR
from dis_lightning.solvers.dps import DPS
from dis_lightning.solvers.freedom import FreeDoM
from dis_lightning.solvers.langevin import NoiseSpaceLangevin
from dis_lightning.solvers.lgd import LGD
from dis_lightning.solvers.mmps import MMPS
from dis_lightning.solvers.mpgd import MPGD
from dis_lightning.solvers.noise_space import NoiseSpaceSolver
from dis_lightning.solvers.noise_space_smc import NoiseSpaceSMC
from dis_lightning.solvers.particle import ParticleSolver
from dis_lightning.solvers.pigdm import PiGDM
from dis_lightning.solvers.pnp_cm import PnPCM
from dis_lightning.solvers.reddiff import REDDiff
from dis_lightning.solvers.tds import TDS
from dis_lightning.solvers.tfg import TFG
from dis_lightning.solvers.tmpd import TMPD
from dis_lightning.solvers.unguided import Unguided

__all__ = [
    "CM4IR",
    "DAPS",
    "DDNM",
    "DDRM",
    "DPS",
    "LGD",
    "MMPS",
    "MPGD",
    "TDS",
    "TFG",
    "TMPD",
    "AnnealedSolver",
    "CMEdit",
    "ConsistencyDPS",
    "ConsistencyInversion",
    "ConsistencySampling",
    "DecayingReach",
    "DiffPIR",
    "FreeDoM",
    "NoiseSpaceLangevin",
    "NoiseSpaceSMC",
    "NoiseSpaceSolver",
    "ParticleSolver",
    "PiGDM",
    "PnPCM",
    "REDDiff",
    "Solver",
    "Unguided",
]
