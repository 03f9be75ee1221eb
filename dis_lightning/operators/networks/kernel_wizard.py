"""A network that blurs: Tran et al., "Explore Image Deblurring via Encoded Blur Kernel Space", 2021.

    u_blurred = u + R(G(F(u), k)),    u in [0, 1],    k ~ N(0, 1.2^2 I) in their code

F makes features at a quarter of the size, G is a U-Net that takes the latent kernel `k` at its bottom, R brings the
features back to the size of the image.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dis_lightning.operators.networks.published import PublishedNetwork, check_sides

__all__ = ["KernelWizard"]


class KernelWizard(PublishedNetwork):
    """Blurs images as a latent kernel says.

    Args:
        channels: channels of the features, then of each level of the U-Net.
        feature_blocks: number of residual blocks of F.
        trunk_blocks: number of residual blocks of R.

    Attributes:
        multiple: what the sides of an image must be multiples of.
    """

    # The network that finds the kernel between two images; nothing here needs it, and it is four fifths of the file.
    UNUSED: ClassVar[tuple[str, ...]] = ("kernel_extractor.",)

    def __init__(
        self,
        channels: tuple[int, ...] = (64, 64, 128, 256, 512, 512),
        feature_blocks: int = 10,
        trunk_blocks: int = 20,
    ) -> None:
        super().__init__()
        width, self.kernel_channels = channels[0], channels[-1]
        self.multiple = 4 * 2 ** (len(channels) - 1)
        self.feature_extractor = nn.Sequential(
            *(nn.Conv2d(3, width, 3, 1, 1), nn.LeakyReLU(0.1)),
            *(nn.Conv2d(width, width, 3, 2, 1), nn.LeakyReLU(0.1)),
            *(nn.Conv2d(width, width, 3, 2, 1), nn.LeakyReLU(0.1)),
            *(_Residual(width) for _ in range(feature_blocks)),
        )
        self.adapter = _Adapter(channels)
        self.recon_trunk = nn.Sequential(
            *(_Residual(width) for _ in range(trunk_blocks)),
            *(nn.Conv2d(width, 4 * width, 3, 1, 1), nn.PixelShuffle(2), nn.LeakyReLU(0.1)),
            *(nn.Conv2d(width, 4 * width, 3, 1, 1), nn.PixelShuffle(2), nn.LeakyReLU(0.1)),
            *(nn.Conv2d(width, width, 3, 1, 1), nn.LeakyReLU(0.1)),
            nn.Conv2d(width, 3, 3, 1, 1),
        )

    def kernel_shape(self, x: Tensor) -> tuple[int, int, int]:
        """Shape of the latent kernel of one image of the size of `x`, `(B, 3, H, W)`.

        Raises:
            ValueError: if the sides are no multiples of what the network needs.
        """
        check_sides(KernelWizard, x, self.multiple)
        height, width = x.shape[-2:]
        return self.kernel_channels, height // self.multiple, width // self.multiple

    def forward(self, u: Tensor, kernel: Tensor) -> Tensor:
        """Blur images `(B, 3, H, W)` in [0, 1] by latent kernels `(B, *kernel_shape)`; the result may leave [0, 1]."""
        features = self.feature_extractor(u.to(self.dtype))
        change: Tensor = self.recon_trunk(self.adapter(features, kernel.to(self.dtype)))
        return u + change.to(u.dtype)


class _Residual(nn.Module):
    """`x + Conv(ReLU(Conv(x)))`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, 1, 1)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.conv2(F.relu(self.conv1(x)))
        return x + h


class _Adapter(nn.Module):
    """The U-Net G; it exists for the names of its weights."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.model = _Level(channels, outermost=True)

    def forward(self, x: Tensor, kernel: Tensor) -> Tensor:
        h: Tensor = self.model(x, kernel)
        return h


class _Level(nn.Module):
    """One level of G: down to half the size, the levels inside, up again; what came in goes on beside what comes up."""

    def __init__(self, channels: tuple[int, ...], outermost: bool = False) -> None:
        super().__init__()
        outer, inner = channels[:2]
        down = nn.Conv2d(outer, inner, 4, 2, 1, bias=False)
        up = nn.ConvTranspose2d(2 * inner, outer, 4, 2, 1, bias=outermost)
        self.outermost = outermost
        # The activations inside hold no weights; they are there for the places of those that do.
        self.down = nn.Sequential(down) if outermost else nn.Sequential(nn.LeakyReLU(0.2), down)
        self.submodule = _Level(channels[1:]) if len(channels) > 2 else None
        self.up = nn.Sequential(nn.ReLU(), up, nn.Tanh()) if outermost else nn.Sequential(nn.ReLU(), up)

    def forward(self, x: Tensor, kernel: Tensor) -> Tensor:
        h = self.down(x)
        inside = torch.cat([h, kernel], dim=1) if self.submodule is None else self.submodule(h, kernel)
        raised: Tensor = self.up(inside)
        if self.outermost:
            return raised
        # The authors' activation of x works in place, so that its result goes on instead of x. That is no difference:
        # the way up outside begins with a ReLU, and ReLU(LeakyReLU(x)) = ReLU(x).
        return torch.cat([raised, x], dim=1)
