"""LGD: loss-guided diffusion.

Song, Zhang, Yin, Mardani, Liu, Kautz, Chen, Vahdat, "Loss-Guided Diffusion Models for Plug-and-Play Controllable
Generation", ICML 2023, https://proceedings.mlr.press/v202/song23k.html; as in Xu et al. 2024, algorithm 5 (fixed
spread, M = 1), and Purohit et al. 2024, appendix B.2 (spread by level, M draws).
"""

from typing import Any

from dis_lightning.errors import require_whole
from dis_lightning.guidance import Reduction
from dis_lightning.levels import Levels
from dis_lightning.operators.base import Operator
from dis_lightning.posteriors import GaussianPosterior, PosteriorModel, Spread
from dis_lightning.priors.base import Denoiser
from dis_lightning.solvers.dps import DPS

__all__ = ["LGD"]


class LGD(DPS):
    """Follow the measurement at M draws around the posterior mean, differentiated through the network.

        x_0^(m) = D(x_t, sigma) + r(sigma) n_m,    m = 1 .. M
        x_next  = transition(x_t, D(x_t, sigma)) - scale sigma grad_{x_t} L(x_0^(1), ..., x_0^(M))

    With spread 0 this is DPS. The M draws are not the posterior samples: each of the `num_samples` samples of an image
    draws its own M. One network evaluation and one gradient per step and sample, whatever M; the operator is evaluated
    M times.

    The published scales of Purohit et al. belong to `SumDistance`, which their code follows; with `MeanDistance` the
    same step has M times the scale. A consistency model as denoiser makes this their LGD-CM.

    Args:
        operator: what is measured.
        denoiser: the prior.
        levels: the noise levels.
        scale: guidance strength ζ, >= 0.
        spread: r, finite and >= 0: a number (Xu et al.: 0.2) or a rule (Purohit et al.: `PosteriorSpread()`).
        monte_carlo_samples: number of draws M, >= 1.
        reduction: L, how M draws make one value per image; that of the convention if not given: `MeanDistance`, or
            `LogMeanExp` for the likelihood.
        convention: what the scale is measured in: `SigmaScale()`, the papers' and the default, `VPScale()`, that of the
            DPS paper itself, or `LikelihoodScale()`, in which 1 means the likelihood.
        transition: how to go to the next level; ancestral Euler if not given.
        num_samples: number of posterior samples per image.
        seed: the run's seed.

    Raises:
        ValueError: if `scale`, `spread` or `monte_carlo_samples` is out of range.
    """

    def __init__(
        self,
        operator: Operator,
        denoiser: Denoiser,
        levels: Levels,
        *,
        scale: float,
        spread: float | Spread = 0.2,
        monte_carlo_samples: int = 1,
        reduction: Reduction | None = None,
        **common: Any,
    ) -> None:
        super().__init__(operator, denoiser, levels, scale=scale, **common)
        self.reduction = self.convention.settle(self, operator, reduction)
        require_whole(self, 1, monte_carlo_samples=monte_carlo_samples)
        self.spread = spread
        self.monte_carlo_samples = monte_carlo_samples
        self.posterior_model()  # refuses its arguments now rather than at the first step

    def posterior_model(self) -> PosteriorModel:
        """Draws around the posterior mean."""
        return GaussianPosterior(self.denoiser, self.spread, self.monte_carlo_samples)
