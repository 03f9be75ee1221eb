"""The blurring network against a second writing of it, with the in-place activation of its authors."""

import pytest
import torch
from published_files import randomised
from torch import Tensor
from torch.nn import functional as F

from dis_lightning.operators.networks import KernelWizard

CHANNELS = (8, 8, 16, 16)  # three levels: multiples of 32


def network(dtype: torch.dtype = torch.float64) -> KernelWizard:
    return randomised(KernelWizard(CHANNELS, feature_blocks=2, trunk_blocks=1)).to(dtype)


def inputs(size: int = 32, batch: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    u = torch.rand(batch, 3, size, size, generator=generator, dtype=torch.float64)
    kernel = torch.randn(batch, 16, size // 32, size // 32, generator=generator, dtype=torch.float64)
    return u, kernel


class Second:
    """The network by functions alone, from the names of its weights."""

    def __init__(self, weights: dict[str, Tensor], inplace: bool) -> None:
        self.weights = weights
        self.inplace = inplace

    def conv(self, x: Tensor, key: str, stride: int = 1) -> Tensor:
        weight = self.weights[f"{key}.weight"]
        return F.conv2d(x, weight, self.weights.get(f"{key}.bias"), stride, padding=1)

    def up(self, x: Tensor, key: str) -> Tensor:
        return F.conv_transpose2d(x.relu(), self.weights[f"{key}.weight"], self.weights.get(f"{key}.bias"), 2, 1)

    def residual(self, x: Tensor, key: str) -> Tensor:
        return x + self.conv(self.conv(x, f"{key}.conv1").relu(), f"{key}.conv2")

    def level(self, x: Tensor, kernel: Tensor, key: str, depth: int) -> Tensor:
        activated = F.leaky_relu(x, 0.2, inplace=self.inplace)
        h = self.conv(activated, f"{key}.down.1", stride=2)
        innermost = depth == len(CHANNELS) - 2
        h = torch.cat([h, kernel], 1) if innermost else self.level(h, kernel, f"{key}.submodule", depth + 1)
        return torch.cat([self.up(h, f"{key}.up.1"), x], 1)

    def __call__(self, u: Tensor, kernel: Tensor) -> Tensor:
        h = u
        for key, stride in (("0", 1), ("2", 2), ("4", 2)):
            h = F.leaky_relu(self.conv(h, f"feature_extractor.{key}", stride), 0.1)
        for key in ("6", "7"):
            h = self.residual(h, f"feature_extractor.{key}")
        h = self.level(self.conv(h, "adapter.model.down.0", 2), kernel, "adapter.model.submodule", 1)
        h = self.up(h, "adapter.model.up.1").tanh()
        h = self.residual(h, "recon_trunk.0")
        for key in ("1", "4"):
            h = F.leaky_relu(F.pixel_shuffle(self.conv(h, f"recon_trunk.{key}"), 2), 0.1)
        h = F.leaky_relu(self.conv(h, "recon_trunk.7"), 0.1)
        return u + self.conv(h, "recon_trunk.9")


@pytest.mark.parametrize("inplace", [True, False])
def test_the_network_is_the_one_of_its_authors_whose_activations_work_in_place(inplace: bool) -> None:
    """In place, an activation changes what goes on beside it; the ReLU of the level outside takes that away again."""
    wizard, (u, kernel) = network(), inputs()
    second = Second(wizard.state_dict(), inplace)(u, kernel)
    torch.testing.assert_close(wizard(u, kernel), second, rtol=0, atol=1e-12)
    assert (second - u).abs().max() > 1


def test_the_kernel_changes_the_blur_of_its_own_image_alone() -> None:
    wizard, (u, kernel) = network(), inputs()
    changed = kernel + torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1)
    difference = (wizard(u, changed) - wizard(u, kernel)).abs().amax(dim=(1, 2, 3))
    assert difference[0] < 1e-12
    assert difference[1] > 1e-3


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.1)])
def test_images_keep_their_precision_whatever_that_of_the_network(dtype: torch.dtype, tolerance: float) -> None:
    u, kernel = inputs()
    wanted, found = network()(u, kernel), network(dtype)(u, kernel)
    assert found.dtype == torch.float64
    assert (found - wanted).norm() < tolerance * (wanted - u).norm()


def test_the_published_network_takes_the_size_of_the_papers() -> None:
    """With its last layer a constant, it adds that constant: all sizes on the way must meet."""
    wizard = KernelWizard().requires_grad_(False).eval()
    last = wizard.recon_trunk[-1]
    last.weight.zero_()
    last.bias.copy_(torch.tensor([0.1, -0.2, 0.3]))
    u = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    assert wizard.kernel_shape(u) == (512, 2, 2)
    torch.testing.assert_close(wizard(u, torch.randn(1, 512, 2, 2)), u + last.bias.reshape(3, 1, 1))


@pytest.mark.parametrize("size", [(64, 128), (128, 192), (0, 128)])
def test_sizes_that_it_cannot_take_are_refused(size: tuple[int, int]) -> None:
    with torch.device("meta"):
        wizard = KernelWizard()
    with pytest.raises(
        ValueError, match=f"multiples of 128, but got {size[0]} x {size[1]}; resize the data"
    ) as refusal:
        wizard.kernel_shape(torch.zeros(1, 3, *size))
    assert "--data.transform.size=128 (RoomsData: --data.size=128)" in str(refusal.value)
