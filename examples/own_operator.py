"""An operator of your own, whole: copy the file to the folder that you work in, and name its class.

dis-lightning predict --config quickstart --operator own_operator.Dusk --operator.gamma 3 --writer.folder outputs/dusk
"""

from torch import Tensor

from dis_lightning.errors import InvalidValueError
from dis_lightning.operators import GaussianOperator


class Dusk(GaussianOperator):
    """A picture that is too dark: the share of light at every pixel, to a power.

    A `GaussianOperator` writes `forward` alone: noise, distance and energy follow from it. A linear one
    (`LinearOperator`) adds `adjoint` and `pseudo_inverse`; classes (`LabelOperator`) and words (`TextOperator`) have
    contracts of their own.

    Args:
        gamma: the power, >= 1; 1 changes nothing.
        noise_std: standard deviation of the noise on `y`.

    Raises:
        ValueError: if `gamma` is below 1.
    """

    def __init__(self, gamma: float = 2.0, noise_std: float = 0.02) -> None:
        super().__init__(noise_std)
        if gamma < 1:
            raise InvalidValueError(f"Dusk needs gamma >= 1, but got {gamma}.")
        self.gamma = gamma

    def forward(self, x_0: Tensor) -> Tensor:
        """Darker pictures, in [-1, 1], of pictures `(B, C, H, W)`."""
        light = ((x_0 + 1) / 2).clamp(0, 1)
        return 2 * light**self.gamma - 1
