"""Networks of images that are not square, or of another size than they were made for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dis_lightning.priors import (
    EDM,
    VP,
    ConsistencyModel,
    Denoiser,
    DiffusersDenoiser,
    UNet,
    load_network,
    save_diffusers,
    save_network,
)
from dis_lightning.priors.networks.song_unet import SongUNet

SMALL: dict[str, Any] = {
    "model_channels": 32,
    "num_res_blocks": 1,
    "attention_resolutions": [8],
    "channel_mult": [1, 2],
    "in_channels": 1,
    "out_channels": 1,
}
KINDS: dict[str, Callable[..., UNet | SongUNet]] = {
    "adm": lambda **size: UNet(**SMALL, **size, num_head_channels=32),
    "song": lambda **size: SongUNet(**SMALL, **size),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def network(kind: str, **size: Any) -> UNet | SongUNet:
    """With random weights, the same for all sizes."""
    made = KINDS[kind](**size).requires_grad_(False).eval()
    random = torch.Generator().manual_seed(0)
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.05, generator=random)
    return made


def noisy(*size: int) -> Tensor:
    return torch.randn(2, 1, *size, generator=torch.Generator().manual_seed(1))


@every_kind
def test_a_network_of_a_height_and_a_width_is_that_of_squares_of_this_height(kind: str) -> None:
    wide, square = network(kind, image_size=[16, 24]), network(kind, image_size=16)
    assert (wide.shape, square.shape) == ((1, 16, 24), (1, 16, 16))
    time = torch.tensor([0.3, -1.0])
    assert torch.equal(wide(noisy(16, 24), time), square(noisy(16, 24), time))
    assert square.arguments["image_size"] == 16
    assert network(kind, image_size=(16, 16)).arguments == square.arguments


@every_kind
def test_a_file_keeps_both(kind: str, tmp_path: Path) -> None:
    wide = network(kind, image_size=(16, 24))
    save_network(wide, tmp_path / "wide.safetensors")
    again = load_network(tmp_path / "wide.safetensors")
    assert again.shape == EDM(tmp_path / "wide.safetensors").shape == (1, 16, 24)
    time = torch.tensor([0.3, -1.0])
    assert torch.equal(again(noisy(16, 24), time), wide(noisy(16, 24), time))


def test_a_folder_of_diffusers_keeps_both(tmp_path: Path) -> None:
    wide = network("adm", image_size=(16, 24))
    save_diffusers(wide, tmp_path)
    assert load_network(tmp_path).arguments == wide.arguments


@pytest.mark.parametrize("prior", [EDM, ConsistencyModel, VP])
def test_a_prior_takes_images_of_another_size_than_its_network_was_made_for(prior: Any, tmp_path: Path) -> None:
    save_network(square := network("adm", image_size=16), tmp_path / "square.safetensors")
    usual, x_t = prior(square), noisy(32, 12)
    for source in (square, tmp_path / "square.safetensors"):
        made = prior(source, image_size=(32, 12))
        assert made.shape == (1, 32, 12)
        assert torch.equal(made(x_t, 0.7), usual(x_t, 0.7))
    assert prior(square, image_size=32).shape == (1, 32, 32)
    assert usual.shape == (1, 16, 16)


def test_a_prior_of_diffusers_takes_them_too(tmp_path: Path) -> None:
    from diffusers import DDPMScheduler, UNet2DModel

    blocks = {"down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D")}
    made = UNet2DModel(sample_size=[8, 16], block_out_channels=(32, 32), layers_per_block=1, **blocks)
    made.save_pretrained(tmp_path / "unet")
    DDPMScheduler().save_pretrained(tmp_path / "scheduler")
    assert DiffusersDenoiser(tmp_path).shape == (3, 8, 16)
    prior, x_t = DiffusersDenoiser(tmp_path, image_size=(12, 8)), torch.randn(1, 3, 12, 8)
    sigma, alpha = float(prior.schedule.sigmas[10]), float(prior.schedule.sigmas[10]) ** 2 + 1
    expected = x_t - sigma * made.eval()(x_t / alpha**0.5, torch.tensor([10.0]))[0]
    assert prior.shape == (3, 12, 8)
    torch.testing.assert_close(prior(x_t, sigma), expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="multiples of 2, by which its network reduces images, but got 12 x 7"):
        DiffusersDenoiser(tmp_path, image_size=(12, 7))


@pytest.mark.parametrize("prior", [EDM, ConsistencyModel, VP])
def test_a_size_that_cannot_be_halved_is_refused_by_its_reduction(prior: type[Denoiser]) -> None:
    with pytest.raises(ValueError, match=f"{prior.__name__} needs an image_size of multiples of 2, .* got 16 x 13"):
        prior(network("adm", image_size=16), image_size=(16, 13))  # type: ignore[call-arg]
    with pytest.raises(ValueError, match=r"image_size=\[16, 13\] cannot be halved .* it must be a multiple of 2"):
        network("adm", image_size=(16, 13))


@pytest.mark.parametrize("size", [0, (16, -2), (16, 16, 16), (16.0, 16), ()])
def test_a_size_that_is_none_is_refused(size: Any) -> None:
    with pytest.raises(ValueError, match="EDM needs image_size >= 1, one whole number or height and width, but got"):
        EDM(network("adm", image_size=16), image_size=size)
    with pytest.raises(ValueError, match="UNet needs image_size >= 1, one whole number or height and width, but got"):
        network("adm", image_size=size)
