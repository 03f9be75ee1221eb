# %% [markdown]
# # A measurement that is a network: who guides must not judge
#
# "A bed under a window" is a measurement, too: a network reads a map of classes off a picture, and samples are to show
# what it read. Whoever has a gradient can be deceived along it. So there are two networks here, of different
# architecture and trained on different rooms: **A** guides, **B** judges.

# %%
import torch
from looking import show
from matplotlib import pyplot
from torch import Tensor

from dis_lightning.levels import KarrasLevels
from dis_lightning.metrics.functional.overlap import confusion, mean_iou
from dis_lightning.noise import NoiseSource
from dis_lightning.rooms import RoomsData, RoomsSegmentation, rooms_edm, rooms_reader_b
from dis_lightning.solvers import DPS

a = RoomsSegmentation()
b = RoomsSegmentation(rooms_reader_b())
print(", ".join(a.classes))

# %%
data = RoomsData(num_images=6, batch_size=6)
data.setup("predict")
rooms = next(iter(data.predict_dataloader()))["image"]
stream = NoiseSource(0, range(len(rooms)))
y = a.measure(rooms, stream)
show({"room": rooms, "what A reads": a.picture(y), "what B reads": b.picture(b.measure(rooms, stream))})

# %% [markdown]
# Agreement is the mean IoU of what a judge reads with what was measured: 1 where every pixel has its class. There are
# three views: A's own, A's under noise that it was not guided through, and B's.


# %%
def agreement(pictures: Tensor) -> list[float]:
    """Mean IoU with the measurement, by A, by A under noise, and by B."""
    noisy = pictures + 0.2 * NoiseSource(1, range(len(pictures))).like(pictures)
    with torch.no_grad():
        maps = [judge(x.clamp(-1, 1)).argmax(dim=1) for judge, x in ((a, pictures), (a, noisy), (b, pictures))]
    return [float(mean_iou(confusion(labels, y, len(a.classes))).mean()) for labels in maps]


judges = ["A", "A, under noise", "B"]
print(judges, [round(value, 2) for value in agreement(rooms)])

# %% [markdown]
# ## Without a prior: a picture that A adores
#
# Adam on the pixels of a grey picture, along A's own gradient, and nothing else.

# %%
pixels = torch.zeros_like(rooms, requires_grad=True)
adam = torch.optim.Adam([pixels], lr=0.02)
for _ in range(25):
    adam.zero_grad()
    a.distance(pixels, y).sum().backward()
    adam.step()
adored = pixels.detach()
show({"optimised": adored, "what A reads": a.picture(a.measure(adored, stream)), "measured": a.picture(y)})
print(judges, [round(value, 2) for value in agreement(adored)])

# %% [markdown]
# A reads what it wants to. By A alone this "method" would lead every table; under a little noise, and by B, it is found
# out.
#
# ## With a prior
#
# `DPS` follows A's cross-entropy at the posterior mean, with a scale. The higher the scale, the more it is like the
# above.

# %%
prior = rooms_edm()
scales = [0.0, 10.0, 30.0, 100.0, 300.0]
drawn = {scale: DPS(a, prior, KarrasLevels(20), scale=scale).solve(y, stream)[:, 0] for scale in scales}
show({"measured": a.picture(y)} | {f"scale {scale:g}": samples for scale, samples in drawn.items()} | {"room": rooms})

# %%
curves = torch.tensor([agreement(samples) for samples in drawn.values()])
_, axis = pyplot.subplots(figsize=(5, 3.2))
for name, curve in zip(judges, curves.T, strict=True):
    axis.plot(range(len(scales)), curve, marker="o", label=name)
axis.set(
    xlabel="scale", ylabel="mean IoU", ylim=(0, 1), xticks=range(len(scales)), xticklabels=map("{:g}".format, scales)
)
axis.legend()
pyplot.show()

# %% [markdown]
# Without guidance the samples are rooms, but not this one. With more of it all three views rise together; past a point
# A is still pleased where B is not, and pictures fall apart. So scales are chosen by B, on other rooms than those of
# the table, and quality (FID) is reported beside agreement.
#
# In a run the views are metrics: `--config callbacks/y_rooms_segmentation` adds B's, `MeanIoU` with `noise_std: 0.2`
# the noisy one. `studies/rooms_semantic.md` has all solvers on four such measurements. Next:
# [chains](5_langevin_chains.ipynb).
