import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter

from dis_lightning.priors.checkpoints.sources import find
from dis_lightning.priors.networks.unet import UNet

TINY: dict[str, Any] = {
    "image_size": 16,
    "model_channels": 32,
    "num_res_blocks": 1,
    "attention_resolutions": [8],
    "channel_mult": [1, 2],
    "num_head_channels": 32,
}


def relative_error(came: Tensor, wanted: Tensor) -> float:
    return float((came - wanted).norm() / wanted.norm())


def test_output_is_that_of_the_official_code(reference):
    output = reference.network()(reference.io["x"], reference.io["t"], reference.labels)
    assert relative_error(output, reference.io["unet"]) < 1e-5


@pytest.mark.parametrize(
    ("card", "manifest", "parameters"),
    [
        ("edm_bedroom256_ema", "manifest_adm_lsun256.json", 526_304_771),
        ("cd_imagenet64_l2", "manifest_adm_imagenet64.json", 295_899_267),
    ],
)
def test_full_size_networks_have_the_keys_and_shapes_of_the_published_files(
    card: str, manifest: str, parameters: int, vectors_folder: Path
):
    with torch.device("meta"):
        network = UNet(**find(card).arguments())
    shapes = {key: list(tensor.shape) for key, tensor in network.state_dict().items()}
    assert shapes == json.loads((vectors_folder / manifest).read_text())
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


# One rounding to 8 (bfloat16) or 11 (float16) bits has a relative error of 2^-9 or 2^-12 at most; some forty layers of
# random weights add such errors up.
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 20 * 2**-9), (torch.float16, 20 * 2**-12)])
def test_a_half_precision_torso_keeps_its_islands_in_float32(reference, dtype: torch.dtype, tolerance: float):
    network = reference.network(dtype=dtype)
    torso = (network.input_blocks, network.middle_block, network.output_blocks)
    convolutions = {layer for part in torso for layer in part.modules() if isinstance(layer, nn.Conv2d)}
    for layer in network.modules():
        for parameter in layer.parameters(recurse=False):
            assert parameter.dtype == (dtype if layer in convolutions else torch.float32)

    output = network(reference.io["x"], reference.io["t"], reference.labels)
    assert output.dtype == torch.float32
    assert 0 < relative_error(output, reference.io["unet"]) < tolerance


def test_a_new_network_gives_zero_and_its_blocks_are_identities():
    network = UNet(**TINY)
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([-1500.0, 1000.0])
    assert torch.equal(network(x, t), torch.zeros_like(x))

    features = torch.randn(2, 64, 8, 8)
    block = network.middle_block
    assert torch.equal(block(features, torch.randn(2, 128)), features)


def test_images_do_not_touch_each_other(reference):
    network, io = reference.network(), reference.io
    labels = None if reference.labels is None else reference.labels[1:2]
    alone = network(io["x"][1:2], io["t"][1:2], labels)
    assert relative_error(alone, io["unet"][1:2]) < 1e-5


def test_other_sizes_run_as_long_as_they_can_be_halved(lsun):
    assert lsun.network()(torch.randn(1, 3, 40, 24), torch.zeros(1)).shape == (1, 3, 40, 24)


def test_it_compiles_as_one_graph_and_once_for_all_levels(imagenet):
    torch._dynamo.reset()
    network, x = imagenet.network(), imagenet.io["x"].requires_grad_()
    counter = CompileCounter()
    compiled = torch.compile(network, backend=counter, fullgraph=True)
    for t in (1000.0, 3.5, -1500.0):
        times = torch.full((len(x),), t)
        (gradient,) = torch.autograd.grad(compiled(x, times, imagenet.labels).square().sum(), x)
        (wanted,) = torch.autograd.grad(network(x, times, imagenet.labels).square().sum(), x)
        assert torch.equal(gradient, wanted)
    assert counter.frame_count == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 15}, "image_size=15 cannot be halved .* multiple of 2"),
        ({"channel_mult": []}, "0 levels"),
        ({"model_channels": 48}, "multiple of 32, but got 48"),
        ({"attention_resolutions": [8, 4]}, r"heights \[16, 8\], but got \[4\]"),
        ({"num_head_channels": 48}, "Attention on 64 channels cannot have heads of 48"),
        ({"resblock_updown": False}, "resblock_updown=True"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(changes: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        UNet(**{**TINY, **changes})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda network: network(torch.zeros(1, 3, 30, 32), torch.zeros(1)), "multiples of 4, but got"),
        (lambda network: network(torch.zeros(1, 1, 32, 32), torch.zeros(1)), r"images \(N, 3, H, W\)"),
        (lambda network: network(torch.zeros(1, 3, 32, 32), torch.zeros(1), torch.zeros(1)), "takes no labels"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(call: Callable[[UNet], Tensor], message: str, lsun):
    with pytest.raises(ValueError, match=message):
        call(lsun.network())


def test_a_conditional_network_asks_for_a_label_for_each_image(imagenet):
    network, x, t = imagenet.network(), imagenet.io["x"], imagenet.io["t"]
    with pytest.raises(ValueError, match=r"labels in 0 \.\. 9"):
        network(x, t)
    with pytest.raises(ValueError, match="4 images needs one label"):
        network(x, t, torch.tensor([1]))
