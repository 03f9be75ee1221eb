"""Priors: networks and closed forms behind `(x_t, sigma) -> x_0`."""

from dis_lightning.priors.base import Denoiser
from dis_lightning.priors.checkpoints.diffusers_format import save_diffusers
from dis_lightning.priors.checkpoints.loading import load_network, save_network
from dis_lightning.priors.consistency import ConsistencyModel
from dis_lightning.priors.deepinv_denoiser import DeepInvDenoiser
from dis_lightning.priors.diffusers_denoiser import DiffusersDenoiser
from dis_lightning.priors.edm import EDM
from dis_lightning.priors.exact.atoms import FiniteAtomPrior
from dis_lightning.priors.exact.base import ExactPrior
from dis_lightning.priors.exact.gaussian import GaussianConsistencyMap, GaussianPrior
from dis_lightning.priors.exact.mixture import GaussianMixturePrior
from dis_lightning.priors.flow import FlowMap
from dis_lightning.priors.networks.song_unet import SongUNet
from dis_lightning.priors.networks.unet import UNet
from dis_lightning.priors.vp import VP

__all__ = [
    "EDM",
    "VP",
    "ConsistencyModel",
    "DeepInvDenoiser",
    "Denoiser",
    "DiffusersDenoiser",
    "ExactPrior",
    "FiniteAtomPrior",
    "FlowMap",
    "GaussianConsistencyMap",
    "GaussianMixturePrior",
    "GaussianPrior",
    "SongUNet",
    "UNet",
    "load_network",
    "save_diffusers",
    "save_network",
]
