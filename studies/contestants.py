"""Solvers, ready to be tried: what it is called, how it is built, and what there is to tune.

A sample costs at most `EVALUATIONS` evaluations of a network: a method with two networks or two visits has half the
levels. A chain costs what its trial allows, a quarter of it each for the warm start and the burn-in.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from dis_lightning.guidance import LikelihoodScale
from dis_lightning.kernels import HMC, MALA, EulerMaruyama, ExponentialIntegrator, Kernel
from dis_lightning.levels import Levels
from dis_lightning.operators import LabelOperator, LinearOperator
from dis_lightning.posteriors import PosteriorSpread
from dis_lightning.solvers import (
    CM4IR,
    DAPS,
    DDNM,
    DDRM,
    DPS,
    LGD,
    MMPS,
    MPGD,
    TDS,
    TFG,
    TMPD,
    CMEdit,
    ConsistencyDPS,
    ConsistencyInversion,
    ConsistencySampling,
    DiffPIR,
    FreeDoM,
    NoiseSpaceLangevin,
    NoiseSpaceSMC,
    PiGDM,
    PnPCM,
    REDDiff,
    Solver,
    Unguided,
)
from dis_lightning.transitions import Heun
from studies.trials import Trial

__all__ = ["CONTESTANTS", "Contestant"]

EVALUATIONS, EXACT_LEVELS = 50, 400
LEAPFROG_STEPS = 5

GUIDANCE = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Strengths to choose from."""
STEP_SIZES = (1e-4, 5e-4, 2e-3, 0.01, 0.05, 0.2, 0.7)
"""Step sizes of Langevin kernels to choose from."""
LEAPFROG = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Sizes of a leapfrog step to choose from."""
RATES = (3e-3, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""Adam's learning rates to choose from."""

Build = Callable[[Trial, float], Solver]
"""Makes a solver for a trial, with its one number to tune."""


class Contestant(NamedTuple):
    """A solver that stands in the table."""

    name: str
    """For people, and for the tuned values."""
    build: Build
    """Makes the solver."""
    candidates: tuple[float, ...] = ()
    """Seven values to choose from, ascending; none where nothing is to be tuned, or not here."""
    tuned_as: str = ""
    """Name of the contestant whose value it takes, where that is another."""
    linear: bool = False
    """Whether the measurement must be linear."""
    budget: int = 1
    """How many times as much as the others it may spend."""
    sampler: bool = True
    """Whether it samples without knowing the posterior."""


def _common(trial: Trial) -> dict[str, Any]:
    return {"num_samples": trial.num_samples, "seed": trial.seed}


def _prior(trial: Trial, _: float) -> Solver:
    return Unguided(trial.problem.operator, trial.problem.prior, trial.karras(EVALUATIONS), **_common(trial))


def _oracle(trial: Trial, _: float) -> Solver:
    return Unguided(trial.problem.operator, trial.oracle, trial.karras(EXACT_LEVELS), **_common(trial))


def _guided(
    kind: Callable[..., Solver], trial: Trial, strength: float, by_map: bool = False, per_level: int = 1, **own: Any
) -> Solver:
    denoiser = trial.consistency if by_map else trial.problem.prior
    levels = trial.karras(EVALUATIONS // per_level)
    operator = trial.problem.operator
    # The distance of a map of classes is a mean over its pixels, far smaller than others: a strength is for their sum.
    pixels = trial.problem.y[0].numel() if isinstance(operator, LabelOperator) else 1
    scale = {"variance_scale" if kind is TFG else "scale": strength * pixels}
    return kind(operator, denoiser, levels, **scale, **own, **_common(trial))


def _oracle_at_budget(trial: Trial, _: float) -> Solver:
    return Unguided(trial.problem.operator, trial.oracle, trial.karras(EVALUATIONS), **_common(trial))


def _oracle_by_heun(trial: Trial, _: float) -> Solver:
    steps = trial.karras(EVALUATIONS // 2)
    return Unguided(trial.problem.operator, trial.oracle, steps, transition=Heun(), **_common(trial))


def _plain(
    kind: Callable[..., Solver],
    trial: Trial,
    _: float,
    spread: bool = False,
    levels: int = EVALUATIONS,
    **own: Any,
) -> Solver:
    """A solver of which nothing is to be tuned; its spread, where it has one, is that of the data."""
    beliefs = {"spread": PosteriorSpread(trial.data_std)} if spread else {}
    return kind(trial.problem.operator, trial.problem.prior, trial.karras(levels), **beliefs, **own, **_common(trial))


def _bayes(trial: Trial, _: float) -> Solver:
    # One point for all that the clean image may be: the likelihood is widened by how far off it is.
    return _plain(DPS, trial, _, scale=1.0, convention=LikelihoodScale(PosteriorSpread(trial.data_std)))


def _tfg(trial: Trial, strength: float) -> Solver:
    # Both guidances grow together; draws are a tenth of the data wide.
    unit = 0.1 * trial.data_std
    return _guided(TFG, trial, strength, mean_scale=strength * unit, iterations=4, spread=unit)


def _daps(trial: Trial, _: float) -> Solver:
    # HMC keeps the law of the clean image; linear operators have it in closed form.
    kernel = None if isinstance(trial.problem.operator, LinearOperator) else HMC(0.3, leapfrog_steps=LEAPFROG_STEPS)
    return _plain(DAPS, trial, _, spread=True, flow_steps=1, kernel=kernel, moves=10)


def _reddiff(trial: Trial, rate: float) -> Solver:
    return _plain(REDDiff, trial, rate, learning_rate=rate * trial.data_std)


def _few(kind: Callable[..., Solver], trial: Trial, _: float, evaluations: int) -> Solver:
    return kind(trial.problem.operator, trial.consistency, trial.karras(evaluations), **_common(trial))


def _tds(trial: Trial, _: float, per_sample: int = 1, levels: int = EVALUATIONS) -> Solver:
    return _plain(TDS, trial, _, spread=True, levels=levels, particles=per_sample * trial.num_samples)


def _smc(trial: Trial, _: float) -> Solver:
    stages = (EVALUATIONS - 1) // LEAPFROG_STEPS
    own = {"particles": trial.num_samples, "stages": stages, "leapfrog_steps": LEAPFROG_STEPS}
    return _in_noise(NoiseSpaceSMC, trial, _, 1, **own)


def _lgd(trial: Trial, strength: float, by_map: bool = False) -> Solver:
    return _guided(LGD, trial, strength, by_map, spread=PosteriorSpread(trial.data_std), monte_carlo_samples=4)


def _mpgd(trial: Trial, strength: float, by_map: bool = False) -> Solver:
    # Its strength is a length: in units of the data.
    return _guided(MPGD, trial, strength * trial.data_std, by_map)


def _proposed_one(trial: Trial, strength: float, sample: bool, noise: bool) -> Solver:
    own: dict[str, Any] = {
        "use_consistency": sample,
        "consistency": trial.consistency if sample else None,
        "spread": 0.2 * trial.data_std if noise else 0.0,
    }
    return _guided(ConsistencyDPS, trial, strength, per_level=2 if sample else 1, **own)


def _in_noise(kind: Callable[..., Solver], trial: Trial, _: float, levels: int, **own: Any) -> Solver:
    # The second step starts where noise and data are of one size.
    between = [trial.data_std] * (levels - 1)
    sigmas = Levels([trial.sigma_max, *between, trial.sigma_min])
    return kind(trial.problem.operator, trial.consistency, sigmas, **own, **_common(trial))


def _inversion(trial: Trial, rate: float, levels: int) -> Solver:
    moves = [EVALUATIONS // levels - 1] * levels
    return _in_noise(ConsistencyInversion, trial, rate, levels, learning_rates=[rate] * levels, steps=moves)


def _chain(kernel: Callable[[float], Kernel], trial: Trial, step_size: float, levels: int, per_move: int = 1) -> Solver:
    quarter = trial.chain_evaluations // (4 * levels)
    samples = trial.num_samples // trial.chains
    own: dict[str, Any] = {
        "kernel": kernel(step_size),
        "warm_start": quarter,
        "learning_rate": 0.1,
        "burn_in": quarter // per_move,
        "thinning": max(2 * quarter // (per_move * samples), 1),
        "chains": trial.chains,
    }
    return _in_noise(NoiseSpaceLangevin, trial, step_size, levels, **own)


def _chains(
    name: str, kernel: Callable[[float], Kernel], candidates: tuple[float, ...], per_move: int = 1
) -> list[Contestant]:
    one, build = f"{name}, 1 step", partial(_chain, kernel, per_move=per_move)
    return [
        Contestant(one, partial(build, levels=1), candidates),
        Contestant(f"{name}, 2 steps", partial(build, levels=2), tuned_as=one),
    ]


CONTESTANTS: tuple[Contestant, ...] = (
    Contestant("prior, unguided", _prior),
    Contestant("exact conditional denoiser", _oracle, budget=8, sampler=False),
    Contestant(f"the same, {EVALUATIONS} levels as guided", _oracle_at_budget, sampler=False),
    Contestant("the same, 25 steps of Heun", _oracle_by_heun, sampler=False),
    Contestant("DPS", partial(_guided, DPS), GUIDANCE),
    Contestant("DPS, weight of Bayes", _bayes),
    Contestant("LGD", _lgd, GUIDANCE),
    Contestant("TFG", _tfg, GUIDANCE),
    Contestant("FreeDoM", partial(_guided, FreeDoM, per_level=2, visits=2), GUIDANCE),
    Contestant("MPGD", _mpgd, GUIDANCE),
    Contestant("MMPS", partial(_plain, MMPS, iterations=3), linear=True),
    Contestant("MMPS, 200 levels", partial(_plain, MMPS, iterations=3, levels=4 * EVALUATIONS), linear=True, budget=4),
    Contestant("TMPD", partial(_plain, TMPD), linear=True),
    Contestant("PiGDM", partial(_plain, PiGDM, spread=True), linear=True),
    Contestant("DDRM", partial(_plain, DDRM), linear=True),
    Contestant("DDNM", partial(_plain, DDNM), linear=True),
    Contestant("DiffPIR", partial(_plain, DiffPIR, spread=True)),
    Contestant("DAPS", _daps),
    Contestant("REDDiff", _reddiff, RATES),
    Contestant("CM4IR", partial(_few, CM4IR, evaluations=4), linear=True),
    Contestant("PnP-CM", partial(_few, PnPCM, evaluations=8)),
    Contestant("TDS", _tds),
    Contestant("TDS, 100 levels, 8 particles a sample", partial(_tds, per_sample=8, levels=2 * EVALUATIONS), budget=16),
    Contestant("annealed SMC in noise", _smc),
    Contestant("Xu I: mean (DPS)", partial(_proposed_one, sample=False, noise=False), tuned_as="DPS"),
    Contestant("Xu I: mean + noise", partial(_proposed_one, sample=False, noise=True), GUIDANCE),
    Contestant("Xu I: sample", partial(_proposed_one, sample=True, noise=False), GUIDANCE),
    Contestant("Xu I: sample + noise", partial(_proposed_one, sample=True, noise=True), GUIDANCE),
    Contestant("DPS-CM", partial(_guided, DPS, by_map=True), GUIDANCE),
    Contestant("LGD-CM", partial(_lgd, by_map=True), GUIDANCE),
    Contestant("MPGD-CM", partial(_mpgd, by_map=True), GUIDANCE),
    Contestant("consistency sampling, 1 step", partial(_in_noise, ConsistencySampling, levels=1)),
    Contestant("consistency sampling, 2 steps", partial(_in_noise, ConsistencySampling, levels=2)),
    Contestant("CMEdit", partial(_in_noise, CMEdit, levels=2), linear=True),
    Contestant("Xu II: inversion, 1 step", partial(_inversion, levels=1), RATES),
    Contestant("Xu II: inversion, 2 steps", partial(_inversion, levels=2), tuned_as="Xu II: inversion, 1 step"),
    *_chains("Langevin EM", EulerMaruyama, STEP_SIZES),
    *_chains("Langevin EI", ExponentialIntegrator, STEP_SIZES),
    *_chains("MALA", MALA, STEP_SIZES),
    *_chains("HMC", partial(HMC, leapfrog_steps=LEAPFROG_STEPS), LEAPFROG, LEAPFROG_STEPS),
)
