import math

import pytest
import torch

from dis_lightning.levels import KarrasLevels
from dis_lightning.priors import EDM, Denoiser, GaussianPrior, UNet
from dis_lightning.priors.checkpoints.loading import save_network
from dis_lightning.priors.flow import extended
from dis_lightning.rooms.training.consistency import (
    ConsistencyDistillation,
    consistency_losses,
    shifted_levels,
)
from dis_lightning.rooms.training.data import RoomBatch
from dis_lightning.rooms.training.edm import edm_losses, lognormal_levels

SHAPE = (1, 2, 2)


def random(seed=0):
    return torch.Generator().manual_seed(seed)


def toy():
    """A Gaussian with correlated pixels, `x_0 = mean + root z`, and its root."""
    root = torch.randn(4, 4, generator=random(), dtype=torch.float64) / 3
    mean = torch.tensor([0.3, -0.2, 0.1, 0.0], dtype=torch.float64)
    return GaussianPrior(mean.reshape(SHAPE), root @ root.T), mean, root


def draws(mean, root, number, seed=1):
    z = torch.randn(number, 4, generator=random(seed), dtype=torch.float64)
    return (mean + z @ root.T).unflatten(1, SHAPE)


class Off(Denoiser):
    """A denoiser that misses another one's estimates by a share."""

    def __init__(self, denoiser, share):
        super().__init__()
        self.denoiser, self.share, self.shape = denoiser, share, denoiser.shape

    def forward(self, x_t, sigma):
        return (1 + self.share) * self.denoiser(x_t, sigma)


class Flow(Denoiser):
    """The exact consistency map of the toy: a linear map in closed form."""

    def __init__(self, mean, root):
        super().__init__()
        self.mean, (self.values, self.vectors) = mean, torch.linalg.eigh(root @ root.T)
        self.shape = SHAPE

    def between(self, x, t, r):
        """Where the probability flow takes `x` from levels t to levels r."""
        v, t, r = self.values, t[:, None], r[:, None]
        z = (x.flatten(1) - self.mean) @ self.vectors
        return (self.mean + z * ((v + r**2) / (v + t**2)).sqrt() @ self.vectors.T).unflatten(1, SHAPE)

    def forward(self, x_t, sigma):
        return self.between(x_t, sigma, torch.zeros_like(sigma))


def test_the_exact_denoiser_has_the_least_edm_loss():
    prior, mean, root = toy()
    x_0 = draws(mean, root, 20_000)
    noise = torch.randn(x_0.shape, generator=random(2), dtype=torch.float64)
    sigma = lognormal_levels(len(x_0), -1.2, 1.2, random(3)).double()
    losses = {a: edm_losses(Off(prior, a), x_0, noise, sigma, sigma) for a in (-0.05, 0.0, 0.05)}
    for share in (-0.05, 0.05):
        excess = losses[share] - losses[0.0]
        assert excess.mean() > 4 * excess.std() / math.sqrt(len(excess))


def test_the_edm_loss_of_the_exact_denoiser_is_its_posterior_variance():
    prior, mean, root = toy()
    x_0 = draws(mean, root, 40_000)
    noise = torch.randn(x_0.shape, generator=random(2), dtype=torch.float64)
    sigma = torch.full((len(x_0),), 0.4, dtype=torch.float64)
    losses = edm_losses(prior, x_0, noise, sigma, torch.full_like(sigma, 0.5))
    values = torch.linalg.eigvalsh(root @ root.T)
    truth = (values * 0.16 / (values + 0.16)).mean() / 0.25
    assert losses.mean().item() == pytest.approx(truth.item(), abs=4 * losses.std().item() / 200)


@pytest.mark.parametrize("sigma", [0.01, 0.5, 30.0])
def test_an_untrained_network_has_loss_one_at_every_level_on_data_of_its_spread(sigma):
    # That is what lambda c_out^2 = 1 is for: the network's first output is 0, its target has unit variance.
    model = EDM(UNet(8, 32, 1, [], [1], num_head_channels=32))
    x_0 = 0.5 * torch.randn(500, 3, 8, 8, generator=random(4))
    levels = torch.full((500,), sigma)
    _, c_out = model.scalings(levels)
    losses = edm_losses(model, x_0, torch.randn(x_0.shape, generator=random(5)), levels, c_out)
    assert losses.mean().item() == pytest.approx(1, abs=4 * losses.std().item() / math.sqrt(500))


def test_levels_of_a_batch_are_lognormal_one_in_each_equal_part():
    shares = torch.special.ndtr((lognormal_levels(64, -1.2, 1.2, random()).log() + 1.2) / 1.2)
    torch.testing.assert_close((shares * 64).floor(), torch.arange(64.0))


def test_levels_of_a_way_down_are_the_karras_grid_but_for_a_common_shift():
    grid = torch.tensor(KarrasLevels(12)[:-1], dtype=torch.float64) ** (1 / 7)
    gap = grid[0] - grid[1]
    shifts = []
    for seed in range(50):
        levels = torch.tensor(shifted_levels(12, random(seed)), dtype=torch.float64) ** (1 / 7)
        torch.testing.assert_close(levels[[0, -1]], grid[[0, -1]])
        moved = (grid[:-2] - levels[1:-1]) / gap
        torch.testing.assert_close(moved, moved[:1].expand(10))
        shifts.append(moved[0].item())
    assert 0 <= min(shifts) < 0.1
    assert 0.9 < max(shifts) < 1


def test_the_way_down_is_of_second_order():
    prior, mean, root = toy()
    flow, x_t = Flow(mean, root), draws(mean, 2 * root, 16)

    def error(steps):
        levels = torch.logspace(0.3, -0.7, steps + 1, dtype=torch.float64)
        way, ends = [x_t, *extended(prior, x_t, levels.tolist())], levels[[0, -1]]
        assert len(way) == steps + 1
        return (way[-1] - flow.between(x_t, *ends[:, None].expand(2, 16))).abs().max()

    assert 3.5 < error(40) / error(80) < 4.5
    assert error(80) < 1e-3


def test_the_exact_consistency_map_has_no_loss_and_the_posterior_mean_has():
    posterior_mean, mean, root = toy()
    exact, x_t = Flow(mean, root), draws(mean, 2 * root, 64)
    t, end = torch.linspace(0.1, 5, 64, dtype=torch.float64), torch.full((64,), 0.002, dtype=torch.float64)
    pairs = (x_t, t, exact.between(x_t, t, 0 * end), torch.ones_like(t), 0.03)
    assert consistency_losses(exact, *pairs).abs().max() < 1e-10
    assert consistency_losses(posterior_mean, *pairs).mean() > 0.05


def test_the_consistency_loss_is_the_softened_distance():
    _, mean, root = toy()
    model, x_t, targets = Flow(mean, root), draws(mean, root, 3), draws(mean, root, 3, seed=9)
    sigma, scale = torch.full((3,), 2.0, dtype=torch.float64), torch.tensor([0.7, 1.0, 2.0], dtype=torch.float64)
    distance = (model(x_t, sigma) - targets).flatten(1).norm(dim=1) / scale
    losses = consistency_losses(model, x_t, sigma, targets, scale, 0.3)
    torch.testing.assert_close(losses, (distance**2 + 0.09).sqrt() - 0.3)


def test_the_way_down_of_a_distillation_ends_at_its_targets(tmp_path):
    # With the flow of a known teacher, an untrained network whose output is 0 misses the ends by what is known.
    save_network(UNet(8, 32, 1, [], [1], num_head_channels=32), tmp_path / "zero.safetensors")
    training = ConsistencyDistillation(str(tmp_path / "zero.safetensors"), steps=80, softness=1e-6)
    rooms = RoomBatch(torch.zeros(6, 3, 8, 8, dtype=torch.uint8), *[torch.zeros(0)] * 4)
    losses = training.losses(rooms, random(3))
    # A zero network denoises as if the data were N(0, 0.25): x_N = x_t sqrt((0.25 + t_N^2) / (0.25 + t^2)).
    levels = shifted_levels(80, random(3))[:-1]
    noise = random(3)
    torch.rand((), generator=noise)
    x_1 = 80 * torch.randn(6, 3, 8, 8, generator=noise) - 1
    truth = torch.zeros(6)
    for t in levels:
        x_t = x_1 * math.sqrt((0.25 + t**2) / (0.25 + 80**2))
        x_n = x_1 * math.sqrt((0.25 + 0.002**2) / (0.25 + 80**2))
        c_skip, c_out = training.model.scalings(t)
        truth += (c_skip * x_t - x_n).flatten(1).norm(dim=1) / c_out / len(levels)
    torch.testing.assert_close(losses, truth, rtol=0.02, atol=0)
