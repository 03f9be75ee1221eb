"""The published encoders against torchvision's networks, dilated by their authors' rule; decoders by functions."""

import pytest
import torch
import torchvision.models
from published_files import randomised
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.feature_extraction import create_feature_extractor

from dis_lightning.operators.networks import MobileNetC1, PlanarLayout, ResNetPPM
from dis_lightning.operators.networks.published import PublishedNetwork


def images(size: int, batch: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(1), dtype=dtype) * 2 - 1


def given(network: nn.Module, weights: dict[str, Tensor]) -> nn.Module:
    """A network of torchvision, in the order of whose weights ours come; it counts batches, and ours does not."""
    own = [key for key in network.state_dict() if not key.endswith("num_batches_tracked")]
    named = dict(zip(own, weights.values(), strict=True))
    missing, unknown = network.load_state_dict(named, strict=False)
    assert not unknown
    assert all(key.endswith("num_batches_tracked") for key in missing)
    return network.double().eval()


def dilated(stage: nn.Module, dilation: int) -> None:
    """A 3 x 3 convolution with stride loses it and gets half the dilation; every other one gets all of it."""
    for layer in stage.modules():
        if isinstance(layer, nn.Conv2d):
            strided = layer.stride == (2, 2)
            layer.stride = (1, 1) if strided else layer.stride
            if layer.kernel_size == (3, 3):
                layer.dilation = layer.padding = (dilation // 2,) * 2 if strided else (dilation,) * 2


def test_the_mobilenet_is_that_of_torchvision_with_dilation() -> None:
    encoder = randomised(MobileNetC1.build_encoder()).double()
    features = torchvision.models.mobilenet_v2().features[:18]
    for index in range(7, 18):
        dilated(features[index], 2 if index < 14 else 4)
    x = images(64)
    wanted = given(features, encoder.state_dict())(x)
    torch.testing.assert_close(encoder(x), wanted, rtol=1e-9, atol=1e-9)
    assert wanted.shape == (1, 320, 8, 8)
    assert wanted.std() > 0.1


def test_the_resnet_is_that_of_torchvision_with_dilation_after_three_convolutions() -> None:
    encoder = randomised(ResNetPPM.build_encoder()).double()
    weights = encoder.state_dict()
    x = images(64)
    h = x
    for place, stride in ((1, 2), (2, 1), (3, 1)):
        h = F.conv2d(h, weights[f"conv{place}.weight"], stride=stride, padding=1)
        mean, variance, scale, shift = (
            weights[f"bn{place}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")
        )
        h = F.batch_norm(h, mean, variance, scale, shift, eps=1e-5).relu()
    stages = torchvision.models.resnet50()
    first = stages.layer1[0]
    first.conv1, first.downsample[0] = nn.Conv2d(128, 64, 1, bias=False), nn.Conv2d(128, 256, 1, bias=False)
    dilated(stages.layer3, 2)
    dilated(stages.layer4, 4)
    body = nn.Sequential(stages.layer1, stages.layer2, stages.layer3, stages.layer4)
    body = given(body, {key: tensor for key, tensor in weights.items() if key.startswith("layer")})
    wanted = body(F.max_pool2d(h, 3, 2, 1))
    torch.testing.assert_close(encoder(x), wanted, rtol=1e-9, atol=1e-9 * wanted.abs().max().item())
    assert wanted.shape == (1, 2048, 8, 8)


def normalised(h: Tensor, weights: dict[str, Tensor], key: str) -> Tensor:
    mean, variance, scale, shift = (weights[f"{key}.{n}"] for n in ("running_mean", "running_var", "weight", "bias"))
    columns = [value.reshape(-1, 1, 1) for value in (mean, variance, scale, shift)]
    return (h - columns[0]) / (columns[1] + 1e-5).sqrt() * columns[2] + columns[3]


def test_the_small_decoder_is_a_convolution_and_the_classes() -> None:
    decoder = randomised(MobileNetC1.build_decoder()).double()
    w, features = decoder.state_dict(), torch.randn(2, 320, 5, 7, dtype=torch.float64)
    h = normalised(F.conv2d(features, w["cbr.0.weight"], padding=1), w, "cbr.1").relu()
    wanted = F.conv2d(h, w["conv_last.weight"], w["conv_last.bias"])
    torch.testing.assert_close(decoder(features), wanted, rtol=1e-10, atol=1e-10)


def test_the_large_decoder_sees_the_features_beside_their_means_over_fields() -> None:
    decoder = randomised(ResNetPPM.build_decoder()).double()
    w, features = decoder.state_dict(), torch.randn(1, 2048, 6, 6, dtype=torch.float64)
    maps = [features]
    for level, fields in enumerate((1, 2, 3, 6)):
        side = 6 // fields
        means = features.reshape(1, 2048, fields, side, fields, side).mean(dim=(3, 5))
        h = normalised(F.conv2d(means, w[f"ppm.{level}.1.weight"]), w, f"ppm.{level}.2").relu()
        maps.append(F.interpolate(h, (6, 6), mode="bilinear", align_corners=False))
    h = normalised(F.conv2d(torch.cat(maps, 1), w["conv_last.0.weight"], padding=1), w, "conv_last.1").relu()
    wanted = F.conv2d(h, w["conv_last.4.weight"], w["conv_last.4.bias"])
    torch.testing.assert_close(decoder(features), wanted, rtol=1e-9, atol=1e-9)


def test_the_layout_network_is_a_resnet_of_torchvision_with_its_planes_on_top() -> None:
    network = randomised(PlanarLayout()).double()
    trunk = torchvision.models.resnet101()
    trunk.fc = nn.Identity()
    w = network.state_dict()
    body = given(trunk, {key: tensor for key, tensor in w.items() if key.startswith("resnet.")})
    maps = create_feature_extractor(body, {"layer3": "e_5", "layer4": "e_6"})
    x = images(128)
    e_5, e_6 = maps(x).values()

    head = "planar_seg."
    e_7 = F.max_pool2d(e_6, 3, 2, 1)
    c = normalised(F.conv2d(e_7, w[f"{head}fc_conv.weight"]), w, f"{head}bn").relu()
    d_6 = F.conv_transpose2d(F.conv2d(c, w[f"{head}clf1.weight"]), w[f"{head}dec1.weight"], None, 2, 1)
    d_5 = F.conv_transpose2d(F.conv2d(e_6, w[f"{head}clf2.weight"]) + d_6, w[f"{head}dec2.weight"], None, 2, 1)
    d_0 = F.conv_transpose2d(F.conv2d(e_5, w[f"{head}clf3.weight"]) + d_5, w[f"{head}dec3.weight"], None, 16, 8)
    wanted = F.conv2d(d_0, w[f"{head}fc_stage2.weight"])
    assert wanted.shape == (1, 5, 128, 128)
    torch.testing.assert_close(network(x), wanted, rtol=1e-9, atol=1e-9 * wanted.abs().max().item())


@pytest.mark.parametrize(
    ("build", "last", "shape"),
    [
        (lambda: nn.Sequential(MobileNetC1.build_encoder(), MobileNetC1.build_decoder()), "conv_last", (150, 32, 32)),
        (lambda: nn.Sequential(ResNetPPM.build_encoder(), ResNetPPM.build_decoder()), "conv_last.4", (150, 32, 32)),
        (PlanarLayout, "planar_seg.fc_stage2", (5, 256, 256)),
    ],
)
def test_the_networks_take_the_size_of_the_papers(build, last: str, shape: tuple[int, ...]) -> None:  # type: ignore[no-untyped-def]
    """With its last layer without weights, each gives the biases of its classes: all sizes on the way must meet."""
    network = build().requires_grad_(False).eval()
    layer = (network[1] if isinstance(network, nn.Sequential) else network).get_submodule(last)
    layer.weight.zero_()
    biases = torch.zeros(shape[0]) if layer.bias is None else layer.bias
    with torch.no_grad():
        logits = network(images(256, dtype=torch.float32))
    torch.testing.assert_close(logits, biases.reshape(1, -1, 1, 1).expand(1, *shape))


@pytest.mark.parametrize("size", [32, 96, 100])
def test_sizes_that_the_layout_network_cannot_take_are_refused(size: int) -> None:
    with torch.device("meta"):
        network: PublishedNetwork = PlanarLayout()
    with pytest.raises(ValueError, match=f"multiples of 64, but got {size} x {size}; resize the data"):
        network(images(size))
