import re
from hashlib import sha256

import pytest
import torch

from dis_lightning.images import dequantise
from dis_lightning.levels import KarrasLevels
from dis_lightning.priors import EDM, ConsistencyModel
from dis_lightning.priors.flow import extended
from dis_lightning.rooms import render_room
from dis_lightning.rooms.trained import (
    WEIGHTS,
    rooms_consistency,
    rooms_edm,
    rooms_reader_a,
    rooms_reader_b,
)
from dis_lightning.rooms.training.examine import marks

FILES = {"rooms_edm": 8, "rooms_consistency": 8}
FILES |= {f"rooms_{kind}_{one}": 2 for kind in ("reader", "captioner") for one in "ab"}


def held_out(number):
    rooms = [torch.from_numpy(render_room("test", 10_000 + index).image) for index in range(number)]
    return dequantise(torch.stack(rooms)).permute(0, 3, 1, 2)


def noise(number, seed=0):
    return torch.randn(number, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", FILES)
def test_each_file_is_small_and_the_one_its_card_speaks_of(name):
    content = (WEIGHTS / f"{name}.safetensors").read_bytes()
    card = (WEIGHTS / f"{name}.md").read_text(encoding="utf-8")
    assert re.findall(r"SHA-256: `([0-9a-f]{64})`", card) == [sha256(content).hexdigest()]
    assert len(content) <= FILES[name] * 2**20


# The noisy image itself has error sigma^2, the mean room 0.10: all that is to be known at sigma 80.
@pytest.mark.parametrize(("prior", "other"), [(EDM, "rooms_consistency"), (ConsistencyModel, "rooms_edm")])
def test_the_network_of_one_kind_is_refused_by_the_prior_of_the_other(prior, other):
    with pytest.raises(ValueError, match=f"{other}.safetensors was trained to give a"):
        prior(WEIGHTS / f"{other}.safetensors")


@pytest.mark.parametrize(("sigma", "bound"), [(0.05, 0.0005), (0.2, 0.003), (0.5, 0.01), (2.0, 0.05), (80.0, 0.20)])
def test_the_denoiser_removes_most_of_the_noise_from_rooms_it_never_saw(sigma, bound):
    x_0 = held_out(24)
    with torch.no_grad():
        estimate = rooms_edm()(x_0 + sigma * noise(24), sigma)
    assert (estimate - x_0).square().mean() < bound


def test_the_consistency_model_ends_where_the_flow_of_its_teacher_ends():
    edm, levels = rooms_edm(clip=False), KarrasLevels(12)[:-1]
    start = 80 * noise(8)
    with torch.no_grad():
        *_, x = extended(edm, start, levels)
        end = rooms_consistency()(start, 80.0)
        stranger = (end.roll(1, dims=0) - x).square().mean()
        assert (end - x).square().mean() < 0.4 * stranger


def test_both_readers_read_rooms_they_never_saw():
    for reader in (rooms_reader_a(), rooms_reader_b()):
        result = marks(reader, 300)
        assert result.segmentation.mean() > 0.9
        assert result.layout.mean() > 0.97
        assert result.accuracy > 0.99


def test_what_a_reader_says_of_a_room_does_not_depend_on_the_batch():
    x = held_out(3)
    for reader in (rooms_reader_a(), rooms_reader_b()):
        torch.testing.assert_close(reader(x).segmentation[1:2], reader(x[1:2]).segmentation, atol=1e-4, rtol=1e-4)
