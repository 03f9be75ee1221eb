"""What stands in a table beside the solvers: what is there without any, and what is to be reached."""

from collections.abc import Iterator

from dis_lightning.errors import InvalidTypeError
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import LinearOperator
from dis_lightning.operators.base import tensor
from dis_lightning.solvers import Solver
from dis_lightning.types import Batch, Measurement, Reconstruction, State

__all__ = ["PseudoInverse", "TrueImages"]


class PseudoInverse(Solver):
    """The pseudo-inverse of a linear measurement: what can be had without a prior. Arguments as for `Solver`."""

    def iterate(self, y: Measurement, noise: NoiseSource) -> Iterator[State]:
        """See `Solver.iterate`.

        Raises:
            TypeError: if the operator is not linear.
        """
        if not isinstance(self.operator, LinearOperator):
            raise InvalidTypeError(f"PseudoInverse needs a LinearOperator, but got {type(self.operator).__name__}.")
        x_0 = self.operator.pseudo_inverse(tensor(y))
        yield State(x_0, x_0, sigma=0.0, step=1, steps=1)


class TrueImages(Solver):
    """The clean images themselves, to show what judges say at best. Arguments as for `Solver`, with one sample."""

    def predict_step(self, batch: Batch, batch_idx: int = 0) -> Reconstruction:
        """See `Solver.predict_step`."""
        self._images = batch["image"]
        return super().predict_step(batch, batch_idx)

    def iterate(self, y: Measurement, noise: NoiseSource) -> Iterator[State]:
        """See `Solver.iterate`."""
        yield State(self._images, self._images, sigma=0.0, step=1, steps=1)
