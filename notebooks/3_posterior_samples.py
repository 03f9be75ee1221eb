# %% [markdown]
# # Posterior samples, and whether they are right
#
# A measurement leaves open what an image looked like. A sampler answers with many images, and claims that the truth is
# as likely to be any of them. Where the prior is a Gaussian or a mixture the exact answer is known, and the claim can
# be checked. Everything here is in closed form and takes seconds.

# %%
import torch
from looking import show
from matplotlib import pyplot
from torch import Tensor

from dis_lightning.levels import KarrasLevels
from dis_lightning.metrics.functional.coverage import coverage, coverage_levels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import MatrixOperator, RandomInpainting
from dis_lightning.priors import GaussianMixturePrior
from dis_lightning.rooms import rooms_gaussian
from dis_lightning.solvers import DPS, MMPS, TDS, Solver, Unguided
from dis_lightning.transitions import Heun

# %% [markdown]
# ## Two numbers
#
# The smallest image has two values. The prior is a mixture of five narrow Gaussians, and what is measured is one value
# with noise: which of the five it was remains open.

# %%
angles = torch.arange(5) * 2 * torch.pi / 5
means = torch.stack([angles.cos(), angles.sin()], dim=1)
mixture = GaussianMixturePrior(torch.ones(5), means, 0.15**2 * torch.eye(2))
first_value = MatrixOperator([[1.0, 0.0]], noise_std=0.2)
seen = torch.tensor([[-0.6]])
exact = mixture.posterior(first_value, seen)

levels = KarrasLevels(60, sigma_max=20.0)
number = 400
solvers: dict[str, Solver] = {
    "DPS, scale 0.1": DPS(first_value, mixture, levels, scale=0.1, num_samples=number),
    "DPS, scale 1": DPS(first_value, mixture, levels, scale=1.0, num_samples=number),
    "MMPS": MMPS(first_value, mixture, levels, num_samples=number),
    "TDS": TDS(first_value, mixture, levels, particles=2 * number, num_samples=number),
}
clouds: dict[str, Tensor] = {"exact": exact.sample(NoiseSource(1, range(number)))}
clouds |= {name: solver.solve(seen, NoiseSource(0, [0]))[0] for name, solver in solvers.items()}

_, axes = pyplot.subplots(1, 5, figsize=(12, 2.8), sharex=True, sharey=True, layout="constrained")
for axis, (name, cloud) in zip(axes, clouds.items(), strict=True):
    axis.scatter(*means.T, s=1200, color="0.92")
    axis.axvline(-0.6, color="0.6", linewidth=1)
    axis.scatter(*cloud.T, s=3, color="tab:red")
    axis.set(title=name, aspect="equal", xlim=(-1.7, 1.7), ylim=(-1.7, 1.7))
pyplot.show()

# %% [markdown]
# Grey: where the prior is. Line: what was measured. `DPS` believes that the clean image *is* the posterior mean, and
# its scale decides how wrong that is: followed too little, the samples ignore the measurement; followed too much, they
# lie on it. `MMPS` knows how wide the prior is at each level, but takes five Gaussians for one. `TDS` walks like them,
# weighs its walks by what guidance did to them, and is exact as their number grows.
#
# ## Rooms of 12 pixels
#
# The Gaussian with the mean and the covariance of 600 rooms. A fifth of the pixels is seen.

# %%
prior = rooms_gaussian(size=12, num_images=600)
images = NoiseSource(2, range(12))
truth = prior.sample(images)
operator = RandomInpainting(0.2, noise_std=0.1)
y = operator.measure(truth, images)

posteriors = [prior.posterior(operator, y[i : i + 1]) for i in range(len(truth))]
S, levels = 19, KarrasLevels(20)
drawn = {
    "exact": torch.stack([one.sample(NoiseSource(3, [i]).samples(S)) for i, one in enumerate(posteriors)]),
    "MMPS": MMPS(operator, prior, levels, iterations=5, transition=Heun(), num_samples=S).solve(y, images),
    "DPS, scale 5": DPS(operator, prior, levels, scale=5.0, num_samples=S).solve(y, images),
    "DPS, scale 50": DPS(operator, prior, levels, scale=50.0, num_samples=S).solve(y, images),
    "prior alone": Unguided(operator, prior, levels, transition=Heun(), num_samples=S).solve(y, images),
}
show(
    {
        "truth": truth[:3].repeat_interleave(3, dim=0),
        "seen": operator.picture(y[:3]).repeat_interleave(3, dim=0),
        **{name: samples[:3, :3].flatten(0, 1) for name, samples in drawn.items()},
    },
    inch=0.8,
)

# %% [markdown]
# All look plausible. Are they? Two questions are asked of every pixel. *Is the mean right, and the spread?*

# %%
exact_mean = torch.stack([one.mean for one in posteriors])
exact_std = torch.stack([one.covariance.diagonal().reshape(3, 12, 12).sqrt() for one in posteriors])
print("                 error of the mean   spread over the exact one")
for name, samples in drawn.items():
    error = (samples.mean(dim=1) - exact_mean).square().mean().sqrt() / exact_std.square().mean().sqrt()
    ratio = samples.var(dim=1).mean().sqrt() / exact_std.square().mean().sqrt()
    print(f"{name:15} {error:14.2f} {ratio:20.2f}")
print(f"of {S} exact samples: {S**-0.5:.2f}, 1.00")

# %% [markdown]
# *Does the truth look like one of the samples?* If it does, its place among the S sorted samples is uniform over S + 1
# places, and an interval of the samples covers it as often as it should, however few there are. This is the calibration
# that every run reports (`Calibration`), and needs no exact posterior: only the truth.

# %%
claimed = coverage_levels(S)
for name, samples in drawn.items():
    curve = torch.stack([coverage(s, x) for s, x in zip(samples, truth, strict=True)]).mean(dim=0)
    pyplot.plot(claimed, curve, marker="o", markersize=3, label=name)
pyplot.plot([0, 1], [0, 1], color="0.7", zorder=0)
pyplot.gcf().set_size_inches(4.2, 4)
pyplot.gca().set(xlabel="an interval should cover the truth this often", ylabel="it does", aspect="equal")
pyplot.legend()
pyplot.show()

# %% [markdown]
# On the line: right. Below it: too sure. The prior alone is on the line too! It is calibrated, and useless: it is as
# unsure as one who has seen nothing. Calibration has to be read beside sharpness, and the energy score of a run is a
# number that has both: no law of the samples scores better on average than the posterior.

# %%
for name, samples in drawn.items():
    flat, target = samples.flatten(2), truth.flatten(1).unsqueeze(1)
    spread = torch.cdist(flat, flat).sum(dim=(1, 2)) / (S * (S - 1))
    score = (flat - target).norm(dim=2).mean(dim=1) - spread / 2
    print(f"{name:15} energy score {score.mean():.2f}")

# %% [markdown]
# `python -m studies.exact_posteriors` puts every solver on such problems, in one table. Next: [a measurement that is a
# network](4_semantic_measurement.ipynb).
