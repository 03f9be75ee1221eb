"""The parts of `SongUNet` that `UNet` has not, against other ways to compute them."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounter
from torch.nn import functional as F

from dis_lightning.priors import EDM, SongUNet, load_network, save_network
from dis_lightning.priors.networks.song_unet import Fourier, Positional, Resample

TAPS = ([1, 1], [1, 3, 3, 1], [1, 2, 3, 4], [1, 2, 3, 3, 2, 1], [-1, 3, 3, -1])
SMALL: dict[str, Any] = {
    "image_size": 16,
    "model_channels": 16,
    "num_res_blocks": 1,
    "attention_resolutions": [8],
    "channel_mult": [1, 2],
}
NCSNPP: dict[str, Any] = SMALL | {
    "embedding_type": "fourier",
    "encoder_type": "residual",
    "channel_mult_noise": 2,
    "resample_filter": [1, 3, 3, 1],
}


def small(**more: Any) -> SongUNet:
    torch.manual_seed(0)
    return SongUNet(**SMALL | more).requires_grad_(False).eval()


def kernel(taps: Sequence[float], channels: int) -> Tensor:
    row = torch.tensor(taps, dtype=torch.float64)
    return (row[:, None] * row / row.sum() ** 2).expand(channels, 1, -1, -1)


@pytest.mark.parametrize("taps", TAPS)
@pytest.mark.parametrize("size", [(8, 8), (6, 10), (2, 2)])
def test_a_filter_is_a_convolution_and_its_transpose(taps: Sequence[float], size: tuple[int, int]) -> None:
    x, padding = torch.randn(2, 3, *size, dtype=torch.float64), len(taps) // 2 - 1
    weight = kernel(taps, 3)
    half = F.conv2d(x, weight, stride=2, padding=padding, groups=3)
    torch.testing.assert_close(Resample(taps)(x), half)
    double = F.conv_transpose2d(x, 4 * weight, stride=2, padding=padding, groups=3)
    torch.testing.assert_close(Resample(taps, up=True)(x), double)
    assert double.shape[2:] == (2 * size[0], 2 * size[1])
    if size == (8, 8):
        bare = F.conv2d(x, weight, stride=2, groups=3)
        torch.testing.assert_close(Resample(taps, padding=0)(x), bare)


@pytest.mark.parametrize("taps", TAPS)
def test_doubling_is_the_adjoint_of_halving(taps: Sequence[float]) -> None:
    x, y = torch.randn(1, 2, 8, 8, dtype=torch.float64), torch.randn(1, 2, 4, 4, dtype=torch.float64)
    there = (Resample(taps)(x) * y).sum()
    back = (x * Resample(taps, up=True)(y)).sum() / 4
    torch.testing.assert_close(there, back)


def test_a_filter_keeps_a_flat_image_away_from_its_border() -> None:
    flat = torch.ones(1, 1, 12, 12)
    inner = slice(2, -2)
    for up in (False, True):
        torch.testing.assert_close(Resample([1, 3, 3, 1], up)(flat)[..., inner, inner].unique(), torch.ones(1))
    assert (Resample([1, 3, 3, 1])(flat)[..., 0] < 1).all()


def test_the_embeddings_are_sines_then_cosines() -> None:
    t = torch.tensor([0.3, -1.7])
    waves = Positional(8)(t)
    for k, frequency in enumerate([1, 10000 ** (-1 / 3), 10000 ** (-2 / 3), 1e-4]):
        torch.testing.assert_close(waves[:, k], (t * frequency).sin())
        torch.testing.assert_close(waves[:, 4 + k], (t * frequency).cos())
    fourier = Fourier(6)
    for k, frequency in enumerate(fourier.frequencies):
        torch.testing.assert_close(fourier(t)[:, k], (2 * math.pi * frequency * t).sin())
        torch.testing.assert_close(fourier(t)[:, 3 + k], (2 * math.pi * frequency * t).cos())


@pytest.mark.parametrize("arguments", [{}, NCSNPP, {"decoder_type": "skip", "encoder_type": "skip", "num_classes": 3}])
def test_a_network_that_is_written_and_read_is_the_same(arguments: dict[str, Any], tmp_path: Path) -> None:
    network = small(**arguments)
    save_network(network, tmp_path / "w.safetensors", "posterior mean")
    again = load_network(tmp_path / "w.safetensors")
    x, t, y = (
        torch.randn(2, 3, 16, 16),
        torch.tensor([0.1, -1.0]),
        torch.tensor([0, 2]) if network.num_classes else None,
    )
    assert isinstance(again, SongUNet)
    assert torch.equal(again(x, t, y), network(x, t, y))


def test_precision_is_that_of_the_torso(tmp_path: Path) -> None:
    network = small(**NCSNPP)
    save_network(network, tmp_path / "w.safetensors")
    half = load_network(tmp_path / "w.safetensors", dtype="bfloat16")
    types = {name: parameter.dtype for name, parameter in half.named_parameters()}
    assert types["input_blocks.0.0.0.weight"] == types["upsamplers.0.skip_connection.weight"] == torch.bfloat16
    assert types["input_images.0.conv.weight"] == torch.bfloat16
    assert types["out.0.2.weight"] == types["time_embed.0.weight"] == types["out.0.0.weight"] == torch.float32
    x, t = torch.randn(2, 3, 16, 16), torch.zeros(2)
    came, wanted = half(x, t), network(x, t)
    assert came.dtype == torch.float32
    assert 0 < (came - wanted).norm() / wanted.norm() < 0.05


def test_images_never_touch_each_other() -> None:
    network, x, t = small(**NCSNPP), torch.randn(3, 3, 16, 16), torch.tensor([0.1, 0.7, -0.4])
    together = network(x, t)
    for n in range(3):
        torch.testing.assert_close(network(x[n : n + 1], t[n : n + 1])[0], together[n], rtol=1e-4, atol=1e-6)


def test_a_prior_is_compiled_once_for_all_levels() -> None:
    prior, x_t = EDM(small(**NCSNPP)), torch.randn(1, 3, 16, 16)
    wanted = [prior(x_t, sigma) for sigma in (0.1, 2.0, 50.0)]
    counter = CompileCounter()
    prior.compile(backend=counter, fullgraph=True)
    for sigma, x_0 in zip((0.1, 2.0, 50.0), wanted, strict=True):
        assert torch.equal(prior(x_t, sigma), x_0)
    assert counter.frame_count == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"image_size": 15}, "cannot be halved"),
        ({"attention_resolutions": [4]}, "must be among the levels' heights"),
        ({"embedding_type": "wavelet"}, "embedding_type must be one of positional, fourier"),
        ({"encoder_type": "both"}, "encoder_type must be one of standard, skip, residual"),
        ({"decoder_type": "residual"}, "decoder_type must be one of standard, skip"),
        ({"resample_filter": [1, 2, 1]}, "even number of taps"),
        ({"resample_filter": [1, -1]}, "whose sum is not 0"),
        ({"resample_filter": []}, "even number of taps"),
        ({"num_res_blocks": 0}, "num_res_blocks >= 1"),
        ({"num_heads": 0}, "num_heads >= 1"),
        ({"model_channels": 36}, "cannot be dealt to"),
        ({"time_input": "sigma"}, "time_input must be one of"),
        ({"num_heads": 3}, "cannot have heads"),
    ],
)
def test_arguments_that_do_not_fit_are_told(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        small(**arguments)


def test_labels_are_wanted_where_there_are_classes() -> None:
    x, t = torch.randn(1, 3, 16, 16), torch.zeros(1)
    with pytest.raises(ValueError, match=r"give labels in 0 \.\. 2"):
        small(num_classes=3)(x, t)
    with pytest.raises(ValueError, match="takes no labels"):
        small()(x, t, torch.tensor([0]))
