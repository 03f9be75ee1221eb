# %% [markdown]
# # A first reconstruction, and its page
#
# A **prior** knows what images look like, a **measurement** is what is left of one, and a **solver** draws images that
# agree with both. Here a small network that ships with the project knows bedrooms of 32 x 32 pixels, and of each room
# only 8 x 8 averages were measured.

# %%
from pathlib import Path

import torch
from IPython.display import Image, Markdown
from lightning import Trainer
from looking import show

from dis_lightning.callbacks import Writer
from dis_lightning.levels import KarrasLevels
from dis_lightning.metrics import default_metrics
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import AveragePool
from dis_lightning.report import report
from dis_lightning.rooms import RoomsData, rooms_edm
from dis_lightning.solvers import DPS

# %% [markdown]
# ## By hand
#
# Images are tensors `(B, 3, H, W)` in [-1, 1]. All randomness comes from a `NoiseSource`: one stream for each image,
# keyed by the seed and the image's index, so that a result never depends on what else was in the batch.

# %%
data = RoomsData(split="test", size=32, num_images=3, batch_size=3)
data.setup("predict")
batch = next(iter(data.predict_dataloader()))

operator = AveragePool(factor=4, noise_std=0.02)
stream = NoiseSource(seed=0, indices=batch["index"])
y = operator.measure(batch["image"], stream)
y.shape

# %% [markdown]
# `DPS` (Chung et al., 2023) starts from noise and walks down the noise levels. At each it asks the prior for the clean
# image, compares that with the measurement, and takes a step along the gradient. `solve` gives posterior samples `(B,
# S, 3, H, W)`.

# %%
prior = rooms_edm()
solver = DPS(operator, prior, KarrasLevels(25), scale=40.0, num_samples=2)
samples = solver.solve(y, stream)
columns = [f"room {index}" for index in batch["index"].tolist()]
show(
    {
        "measurement": operator.picture(y),
        **{f"sample {s}": samples[:, s] for s in range(2)},
        "mean": samples.mean(dim=1),
        "spread": samples.std(dim=1).mean(dim=1),
        "truth": batch["image"],
    },
    columns,
)

# %% [markdown]
# Samples agree where the measurement says enough, and differ where it does not: the spread is largest along edges,
# which an average of 16 pixels cannot place.
#
# ## Watching one
#
# `iterate` is the loop itself. Each state holds the noisy image and the estimate of the clean one.

# %%
one = DPS(operator, prior, KarrasLevels(25), scale=40.0)
states = list(one.iterate(y[:1], NoiseSource(0, [0])))
shown = states[::3] + states[-1:]
show(
    {
        "noisy": torch.cat([state.x_t / (1 + state.sigma) for state in shown]),
        "estimate": torch.cat([state.x_0 for state in shown]),
    },
    [f"{state.sigma:.2g}" for state in shown],
    inch=0.8,
)

# %% [markdown]
# ## As a run
#
# Lightning's `Trainer` does the same for any number of images, on any number of processes. `Writer` keeps every
# finished image, and the metrics are computed from what it kept.

# %%
Trainer(
    accelerator="cpu",
    callbacks=[*default_metrics(), Writer("outputs/first", grid_images=2)],
    logger=False,
    enable_progress_bar=False,
    enable_model_summary=False,
).predict(solver, data, return_predictions=False)

# %%
print(*sorted(Path("outputs/first").glob("*/00000*")), sep="\n")

# %% [markdown]
# The folder is a ledger. The same cell again would compute nothing: it would read back what is finished. A run that was
# killed goes on where it stopped, and ends in the same bytes.
#
# ## The page
#
# `report` makes one HTML file of one or more runs: pictures, tables, every sample, calibration, cost, configurations.
# Its tables are written beside it, as Markdown and LaTeX.

# %%
page = report([Path("outputs/first")], Path("outputs/first/report.html"))
Markdown(page.with_suffix(".md").read_text())

# %%
Image("outputs/first/grid.png", width=640)

# %% [markdown]
# The command line does all of this in one line, `dis-lightning predict --config quickstart`, and writes the page by
# itself. Next: [bring your own prior, operator and images](2_your_own.ipynb).
