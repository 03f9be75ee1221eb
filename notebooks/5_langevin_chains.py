# %% [markdown]
# # Langevin chains, and whether they have mixed
#
# A consistency model turns noise $z$ into an image $\Phi(z)$ in one step. So one may leave the images alone and walk in
# the noise, with a Markov chain whose law is the posterior of the noise (Purohit et al., 2024):
#
# $$\pi(z) \propto \exp\left(-E(z) - |z|^2 / 2\right), \qquad E(z) = -\log p(y \mid \Phi(z))$$
#
# A chain can be started wrongly, move too slowly, or have a law of its own. The samples do not show it; diagnostics do,
# and here the truth does.

# %%
import torch
from looking import show
from matplotlib import pyplot

from dis_lightning.kernels import HMC, MALA, EulerMaruyama, Kernel
from dis_lightning.levels import Levels
from dis_lightning.meters import AcceptanceMeter
from dis_lightning.metrics.functional.chains import diagnose
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import AveragePool
from dis_lightning.rooms import RoomsData, rooms_consistency, rooms_gaussian
from dis_lightning.solvers import NoiseSpaceLangevin
from dis_lightning.types import State

# %% [markdown]
# ## Where the posterior is known
#
# The Gaussian of rooms of 8 pixels has a consistency map in closed form, and an exact posterior. Four chains each, and
# every sample costs five evaluations: five moves of a Langevin chain, or one of HMC.

# %%
prior = rooms_gaussian(size=8, num_images=1000)
operator = AveragePool(factor=4, noise_std=0.1)
stream = NoiseSource(5, [0])
truth = prior.sample(stream)
y = operator.measure(truth, stream)
exact = prior.posterior(operator, y)
exact_std = exact.covariance.diagonal().mean().sqrt()

one_step = Levels([80.0, 0.002])
kernels: dict[str, Kernel] = {
    "Euler-Maruyama, 1e-4": EulerMaruyama(1e-4),
    "Euler-Maruyama, 0.1": EulerMaruyama(0.1),
    "MALA, 0.1": MALA(0.1),
    "HMC, 5 x 0.2": HMC(0.2, leapfrog_steps=5),
}
CHAINS, LENGTH, EVALUATIONS = 4, 100, 5


def walk(kernel: Kernel) -> tuple[torch.Tensor, float]:
    """Samples of all chains, `(chains, length, ...)`, and how many moves were accepted."""
    solver = NoiseSpaceLangevin(
        operator,
        prior.consistency_map(),
        one_step,
        kernel=kernel,
        thinning=1 if isinstance(kernel, HMC) else EVALUATIONS,
        warm_start=50,
        learning_rate=0.05,
        chains=CHAINS,
        num_samples=CHAINS * LENGTH,
    )
    meter = AcceptanceMeter(CHAINS, 50)  # what a run reports by itself
    solver.observers.append(meter)
    samples = solver.solve(y, stream)
    return samples[0].unflatten(0, (CHAINS, LENGTH)), float(meter.per_image())


walks = {name: walk(kernel) for name, kernel in kernels.items()}

# %% [markdown]
# A trace is one number of the moving image, sample by sample. The grey band is where the exact posterior keeps that
# number (two standard deviations).

# %%
direction = torch.randn(prior.mean.numel(), generator=torch.Generator().manual_seed(1))
direction /= direction.norm()
centre = float(exact.mean.flatten() @ direction)
width = float((direction.double() @ exact.covariance @ direction.double()).sqrt())

_, axes = pyplot.subplots(1, 4, figsize=(12, 2.4), sharey=True, layout="constrained")
for axis, (name, (samples, _)) in zip(axes, walks.items(), strict=True):
    axis.axhspan(centre - 2 * width, centre + 2 * width, color="0.92")
    axis.plot((samples.flatten(2) @ direction).T, linewidth=0.8)
    axis.set(title=name, xlabel="sample")
pyplot.show()

# %% [markdown]
# *Effective sample size*: how many independent samples are worth as much. *Split R-hat*: the spread of all half chains
# over that within one, near 1 where long ones have mixed. Both are the worst of 32 directions, and are reported for
# every run with chains. The last column needs the exact posterior.

# %%
print("                        accepted   effective   R-hat   spread over the exact one")
for name, (samples, accepted) in walks.items():
    found = diagnose(samples.flatten(0, 1).unsqueeze(0), CHAINS)
    ratio = float(samples.flatten(0, 1).var(dim=0).mean().sqrt() / exact_std)
    size, r_hat = float(found.effective_sample_size), float(found.split_r_hat)
    print(f"{name:22} {accepted:9.2f} {size:11.0f} {r_hat:7.2f} {ratio:13.2f}")
print(f"of {CHAINS * LENGTH} samples")

# %% [markdown]
# - The first chain stands still. Its R-hat says so; its spread does not, for that is the spread of four starts.
# - The second moves best of the three Langevin chains, and its law is still not the posterior: a step of this size
#   leaves it too wide. No diagnostic looks for that. What mixes well may mix into the wrong law.
# - MALA makes the same moves and refuses some, which makes its law exact. HMC goes further with each sample.
#
# ## With a network
#
# The trained consistency model of rooms. One evaluation and a gradient cost far more, so chains are short; Adam first
# descends to where the measurement is met (`warm_start`).

# %%
data = RoomsData(num_images=1)
data.setup("predict")
room = next(iter(data.predict_dataloader()))["image"]
quarter = AveragePool(factor=4, noise_std=0.1)
seen = quarter.measure(room, NoiseSource(0, [0]))

solver = NoiseSpaceLangevin(
    quarter,
    rooms_consistency(),
    one_step,
    kernel=HMC(0.05, leapfrog_steps=4),
    warm_start=50,
    learning_rate=0.05,
    chains=2,
    num_samples=2 * 20,
)
states: list[State] = []
solver.observers.append(states.append)
chains = solver.solve(seen, NoiseSource(0, [0]))[0].unflatten(0, (2, 20))

show(
    {
        "warm start": torch.stack([state.x_0[0] for state in states[:50:6]]),
        "chain 1": chains[0, ::2][:9],
        "chain 2": chains[1, ::2][:9],
        "seen, truth": torch.cat([quarter.picture(seen).repeat_interleave(4, 2).repeat_interleave(4, 3), room]),
    },
    inch=0.8,
)
found = diagnose(chains.flatten(0, 1).unsqueeze(0), chains=2)
print(
    f"effective sample size {float(found.effective_sample_size):.1f} of 40, split R-hat {float(found.split_r_hat):.1f}"
)

# %% [markdown]
# Every image of a chain agrees with the measurement. R-hat says that these are no posterior samples yet: both chains
# are still where they began. A run says the same of itself, in `metrics.json` and on its page. What helps: more moves,
# two steps of the consistency model (`MultistepLevels`), or particles that are carried along (`NoiseSpaceSMC`).
