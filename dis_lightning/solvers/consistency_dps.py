"""Consistency-guided DPS: "Proposed I" of the first paper.

Xu et al., "Consistency Models Improve Diffusion Inverse Solvers", 2024, https://arxiv.org/abs/2403.12063, algorithm 2
and equations 25 and 26.
"""

from typing import Any, cast

from dis_lightning.errors import InvalidValueError
from dis_lightning.levels import Levels
from dis_lightning.operators.base import Operator
from dis_lightning.posteriors import ConsistencyPosterior, GaussianPosterior, PosteriorModel, Spread
from dis_lightning.priors.base import Denoiser, require_kind, require_levels
from dis_lightning.solvers.dps import DPS

__all__ = ["ConsistencyDPS"]


class ConsistencyDPS(DPS):
    """DPS that compares a posterior sample with the measurement: the output of a consistency model.

        x_0    = D(x_t, sigma)                          posterior mean, without gradient
        s      = f(x_t, sigma) + spread n               consistency sample
        x_next = transition(x_t, x_0) - scale sigma grad_{x_t} d(A(s), y)

    A sample looks like an image where a mean is blurred, which matters to operators that are networks; the noise keeps
    such an operator from being overfitted. The paper's ablation (its table 2) is in two arguments:

        use_consistency   spread
        False             0.0      DPS
        False             0.2      LGD with M = 1
        True              0.0      consistency model alone; in the authors' code also all operators that give images
        True              0.2      consistency model and randomness

    One evaluation of each network and one gradient, through the consistency model, per step and sample. Without
    consistency model, one evaluation and one gradient.

    Args:
        operator: what is measured.
        denoiser: the prior, a posterior mean.
        levels: the noise levels; the paper takes 1000 Karras levels.
        consistency: consistency model f of the same prior.
        scale: guidance strength ζ, >= 0.
        spread: standard deviation of the noise on the consistency sample, or a rule for it; finite and >= 0.
        use_consistency: whether the consistency sample is compared, or else the posterior mean, for which no
            consistency model is needed.
        convention: what the scale is measured in: `SigmaScale()`, the papers' and the default, `VPScale()`, that of the
            DPS paper itself, or `LikelihoodScale()`, in which 1 means the likelihood.
        transition: how to go to the next level; ancestral Euler if not given.
        num_samples: number of posterior samples per image.
        seed: the run's seed.

    Raises:
        TypeError: if the consistency model is needed and missing.
        ValueError: if `scale` or `spread` is out of range, if the consistency model is known to be a posterior mean, or
            if the two networks are for different images or classes.
    """

    def __init__(
        self,
        operator: Operator,
        denoiser: Denoiser,
        levels: Levels,
        *,
        consistency: Denoiser | None = None,
        scale: float,
        spread: float | Spread = 0.2,
        use_consistency: bool = True,
        **common: Any,
    ) -> None:
        super().__init__(operator, denoiser, levels, scale=scale, **common)
        self.spread = spread
        self.consistency = consistency if use_consistency else None
        if use_consistency:
            self._require("consistency", consistency, Denoiser)
            require_kind(self, "consistency", cast(Denoiser, consistency), "consistency map")
            require_levels(self, cast(Denoiser, consistency), levels)
            self._check_networks()
        self.posterior_model()  # refuses its arguments now rather than at the first step
        self.requires_grad_(False).eval()  # the consistency model too

    def posterior_model(self) -> PosteriorModel:
        """The sample of the consistency model with noise, or draws around the posterior mean."""
        if self.consistency is None:
            return GaussianPosterior(self.denoiser, self.spread)
        return ConsistencyPosterior(self.denoiser, self.consistency, self.spread)

    def _check_networks(self) -> None:
        kinds = {(tuple(network.shape), network.num_classes) for network in self._networks()}
        if len(kinds) > 1:
            raise InvalidValueError(
                "The denoiser and the consistency model must belong to one prior, but they are for images of these "
                f"shapes and numbers of classes: {', '.join(map(str, kinds))}."
            )
