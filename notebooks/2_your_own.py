# %% [markdown]
# # Your own images, operator and prior
#
# Three classes and a folder are all that a problem of yours needs. Each class here is whole; nothing is registered
# anywhere. Put them into a file `mine.py` in the folder where you work, and the command line takes them by name:
# `--operator mine.Blinds --denoiser mine.Spectrum`.

# %%
from pathlib import Path

import torch
from IPython.utils.capture import capture_output
from lightning import Trainer
from looking import show
from torch import Tensor

from dis_lightning.callbacks import Writer
from dis_lightning.data import FolderData
from dis_lightning.levels import KarrasLevels
from dis_lightning.metrics import PSNR, EnergyScore
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import LinearOperator
from dis_lightning.priors import Denoiser
from dis_lightning.report import report
from dis_lightning.rooms import rooms_edm, write_folder
from dis_lightning.solvers import DPS, MMPS

# %% [markdown]
# ## Images
#
# Any folder of pictures. Here are some rooms, written as files; `root="~/pictures"` would read yours. Every file is
# checked before the first image is reconstructed, and a `transform` crops and resizes them to one size.

# %%
for name, split, number in (("to_fit", "train", 300), ("to_restore", "test", 4)):
    if not (folder := Path("outputs") / name).exists():
        write_folder(folder, number, split, size=32)


def read(root: str, num_images: int) -> tuple[FolderData, Tensor]:
    """The data, and its images in one tensor."""
    data = FolderData(root, num_images=num_images, batch_size=num_images)
    data.setup("predict")
    return data, next(iter(data.predict_dataloader()))["image"]


_, known = read("outputs/to_fit/images", 300)
data, truth = read("outputs/to_restore/images", 4)
show({"to fit": known[:8], "to restore": truth}, inch=0.8)

# %% [markdown]
# ## An operator
#
# A blind hangs before the camera: of every four rows two are hidden. `LinearOperator` wants `forward`, `adjoint` and
# `pseudo_inverse`; noise, distance and likelihood follow. (`GaussianOperator` wants `forward` alone, and need not be
# linear.)


# %%
class Blinds(LinearOperator):
    """Rows that are seen, the others 0."""

    def forward(self, x_0: Tensor) -> Tensor:
        """The picture behind the blind, `(B, C, H, W)`."""
        seen = torch.arange(x_0.shape[-2]) % 4 < 2
        return x_0 * seen[:, None]

    def adjoint(self, y: Tensor) -> Tensor:
        """The blind is its own adjoint."""
        return self(y)

    def pseudo_inverse(self, y: Tensor, damping: float = 0.0) -> Tensor:
        """And, but for the damping, its own pseudo-inverse."""
        return self(y) / (1 + damping)


operator = Blinds(noise_std=0.05)

# %% [markdown]
# An adjoint that is wrong bends every result a little and raises no error, so test the identity $\langle A x, y \rangle
# = \langle x, A^T y \rangle$.

# %%
x, v = torch.randn(2, 3, 32, 32, dtype=torch.float64).split(1)
torch.testing.assert_close((operator(x) * v).sum(), (x * operator.adjoint(v)).sum())

# %% [markdown]
# ## A prior
#
# A prior is one function: from a noisy image $x_t = x_0 + \sigma n$ to the mean of the clean images that it may come
# from. A network of yours goes here. To see that nothing else is needed, here is Wiener's filter of 1949: images are a
# mean, and independent waves with Gaussian amplitudes $a_k \sim N(0, P_k)$ in three colours, whose power, a matrix for
# each wave, is measured on the folder.
#
# $$E[a_k \mid x_t] = P_k \, (P_k + \sigma^2 I)^{-1} \, a_k(x_t)$$


# %%
class Spectrum(Denoiser):
    """Stationary Gaussian images with the mean and the power spectrum of given ones."""

    kind = "posterior mean"

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.shape = tuple(images.shape[1:])
        self.mean = images.mean(dim=0)
        waves = torch.fft.fft2(images - self.mean, norm="ortho")
        self.power = torch.einsum("nchw, ndhw -> hwcd", waves, waves.conj()) / len(images)

    def forward(self, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        """See `Denoiser.forward`."""
        noise = torch.as_tensor(sigma).reshape(-1, 1, 1, 1, 1) ** 2 * torch.eye(3)
        gain = self.power @ torch.linalg.inv(self.power + noise)
        waves = torch.fft.fft2(x_t - self.mean, norm="ortho")
        return self.mean + torch.fft.ifft2(torch.einsum("nhwcd, ndhw -> nchw", gain, waves), norm="ortho").real


mine = Spectrum(known)
noisy = truth + 0.5 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
network = rooms_edm()
with torch.no_grad():
    show({"noisy, 0.5": noisy, "my prior": mine(noisy, 0.5), "the network": network(noisy, 0.5), "truth": truth})

# %% [markdown]
# ## All together
#
# Any solver takes them. `MMPS` asks the prior itself how sure it is, so it has nothing to tune; for a Gaussian prior
# like this one its samples are exact, given enough iterations. `DPS` follows the distance with a scale that has to be
# found.


# %%
def restore(name: str, solver: DPS | MMPS) -> Path:
    """Run, and give the run folder."""
    folder = Path("outputs") / name
    trainer = Trainer(
        accelerator="cpu",
        callbacks=[PSNR(), EnergyScore(), Writer(folder)],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with capture_output():  # the tables of the three, for the page below has them
        trainer.predict(solver, data, return_predictions=False)
    return folder


levels = KarrasLevels(20)
folders = [
    restore("mine_dps", DPS(operator, mine, levels, scale=30.0, num_samples=2)),
    restore("mine_mmps", MMPS(operator, mine, levels, iterations=3, num_samples=2)),
    restore("network_mmps", MMPS(operator, network, levels, num_samples=2)),
]

# %%
stream = NoiseSource(0, range(4))
y = operator.measure(truth, stream)


def first_samples(folder: Path) -> Tensor:
    """The first sample of each image of a run."""
    return read(str(folder / "samples"), 8)[1][::2]


show(
    {
        "measurement": operator.picture(y),
        **{folder.name.replace("_", ", "): first_samples(folder) for folder in folders},
        "truth": truth,
    }
)

# %% [markdown]
# A Gaussian fills in what it knows, colours and their slow changes; edges that move from room to room are no Gaussian
# matter. One page compares the runs:

# %%
page = report(folders, Path("outputs/compared.html"))
print(page.with_suffix(".md").read_text().split("## Cost")[0])
