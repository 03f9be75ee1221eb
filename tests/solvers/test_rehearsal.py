"""Own operators and priors that do not keep to what they should: each is refused before anything is sampled."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning import Trainer
from torch import Tensor

from dis_lightning.errors import UserError
from dis_lightning.levels import KarrasLevels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import AveragePool, GaussianOperator, LinearOperator, MatrixOperator
from dis_lightning.priors import Denoiser
from dis_lightning.rooms import RoomsData
from dis_lightning.solvers import DPS, TDS
from dis_lightning.solvers.rehearsal import StandIn, rehearse
from dis_lightning.types import Guided

SHAPE = (3, 8, 8)


class Prior(Denoiser):
    def __init__(self, estimate: Callable[[Tensor], Any] = lambda x: x / 2, shape: Any = SHAPE) -> None:
        super().__init__()
        self.shape, self.estimate = shape, estimate

    def forward(self, x_t: Tensor, sigma: float | Tensor) -> Any:
        return self.estimate(x_t)


class Measured(GaussianOperator):
    def __init__(self, measured: Callable[[Tensor], Any]) -> None:
        super().__init__(0.1)
        self.measured = measured

    def forward(self, x_0: Tensor) -> Any:
        return self.measured(x_0)


class Doubled(LinearOperator):
    def __init__(self, back: Callable[[Tensor], Tensor]) -> None:
        super().__init__(0.1)
        self.back = back

    def forward(self, x_0: Tensor) -> Tensor:
        return 2 * x_0

    def adjoint(self, y: Tensor) -> Tensor:
        return self.back(y)

    def pseudo_inverse(self, y: Tensor, damping: float = 0.0) -> Tensor:
        return y / 2


class Unkeyed(Measured):
    def measure(self, x_0: Tensor, noise: NoiseSource) -> Tensor:
        return x_0 + torch.randn_like(x_0)


FORWARD = "Measured.forward"
OPERATORS: dict[str, tuple[Any, str]] = {
    "nothing": (Measured(lambda x: None), f"{FORWARD} must give a tensor of float numbers.*gave a NoneType"),
    "an array": (Measured(lambda x: x.numpy()), f"{FORWARD} must give a tensor .* gave a ndarray"),
    "whole numbers": (Measured(lambda x: x.long()), rf"{FORWARD} must give .* gave \(2, 3, 8, 8\) of torch.int64"),
    "no pixels": (Measured(lambda x: x[:, :0]), rf"{FORWARD} .* but gave \(2, 0, 8, 8\)"),
    "no batch": (Measured(lambda x: x.mean(0)), rf"{FORWARD} .* row for each image, but gave \(3, 8, 8\)"),
    "one number": (Measured(lambda x: x.mean((1, 2, 3))), rf"{FORWARD} must give a row of numbers .*\(B, 1\)"),
    "no number": (Measured(lambda x: x.log()), f"{FORWARD} gave numbers that are not finite"),
    "in place": (Measured(lambda x: x.mul_(2)), f"{FORWARD} changes its images in place"),
    "random": (Measured(lambda x: x + torch.randn_like(x)), f"{FORWARD} gave two results for the same images"),
    "unkeyed": (Unkeyed(lambda x: x), "Unkeyed.measure gave two results for the same images"),
    "mixed": (Measured(lambda x: x - x.mean(0)), f"{FORWARD} gave an image another result beside another image"),
    "a batch's largest": (Measured(lambda x: x / x.abs().max()), f"{FORWARD} gave an image another result beside"),
    "a batch's spread": (Measured(lambda x: x / x.std()), f"{FORWARD} gave an image another result beside"),
    "another shape": (Doubled(lambda y: y[:, :1]), r"Doubled.adjoint must give images \(2, 3, 8, 8\), but gave \(2, 1"),
    "no adjoint": (Doubled(lambda y: y / 2), "Doubled.adjoint is not that of forward: .* <A x, y> is .* <x, A"),
}
PRIORS: dict[str, tuple[Any, str]] = {
    "nothing": (Prior(lambda x: None), "Prior.forward must give a tensor of float numbers.*gave a NoneType"),
    "one channel": (Prior(lambda x: x[:, :1]), r"Prior.forward .* shape of the images, .* but gave \(2, 1, 8, 8\)"),
    "no number": (Prior(lambda x: x / 0), "Prior.forward gave numbers that are not finite"),
    "random": (Prior(torch.rand_like), "Prior.forward gave two results"),
    "in place": (Prior(lambda x: x.mul_(0.5)), "Prior.forward changes its images in place"),
    "mixed": (Prior(lambda x: x - x.mean(0)), "Prior.forward gave an image another result beside another image"),
}


@pytest.mark.parametrize(("operator", "message"), OPERATORS.values(), ids=OPERATORS)
def test_an_operator_that_does_not_keep_its_promises_is_refused(operator: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        rehearse(operator, Prior())


@pytest.mark.parametrize(("prior", "message"), PRIORS.values(), ids=PRIORS)
def test_a_prior_that_does_not_keep_its_promises_is_refused(prior: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        rehearse(AveragePool(2), prior)


def test_parts_that_keep_their_promises_pass() -> None:
    rehearse(Measured(lambda x: x.abs()), Prior())
    rehearse(Doubled(lambda y: 2 * y), Prior())


@pytest.mark.parametrize(
    ("estimate", "change"),
    [(lambda x: x.roll((1, 1), dims=(2, 3)), "1[34]."), (lambda x: x / 500, "100"), (lambda x: 450 * x, "44900")],
    ids=["another picture", "the noise", "the noise, not scaled"],
)
def test_a_prior_that_may_give_the_noise_is_warned_of(estimate: Callable[[Tensor], Tensor], change: str) -> None:
    with pytest.warns(UserWarning, match=rf"Prior.forward changes its input by {change}% of .*return x_t - sigma"):
        rehearse(AveragePool(2), Prior(estimate))


@pytest.mark.parametrize("sigma_range", [(0.0, math.inf), (1.0, math.inf)])
def test_a_prior_that_knows_no_low_levels_is_not_doubted(sigma_range: tuple[float, float]) -> None:
    class High(Prior):
        def forward(self, x_t: Tensor, sigma: float | Tensor) -> Tensor:
            assert float(sigma) >= 1
            return 0 * x_t

    prior = High()
    prior.sigma_range = sigma_range
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rehearse(AveragePool(2), prior)


@pytest.mark.parametrize("shape", [None, 8, (3.0, 8, 8), ()])
def test_a_prior_without_a_shape_is_refused(shape: Any) -> None:
    with pytest.raises(UserError, match=r"Prior must have a `shape`, a tuple \(C, H, W\) of whole numbers, but has"):
        DPS(AveragePool(2), Prior(shape=shape), KarrasLevels(2), scale=1.0)


def predict(solver: Any) -> None:
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    trainer.predict(solver, datamodule=RoomsData(size=8, num_images=1))


def test_a_run_tries_its_parts_first() -> None:
    prior = Prior()
    prior.estimate = lambda x: x[:, :1]
    with pytest.raises(UserError, match=r"Prior.forward must give estimates"):
        predict(DPS(AveragePool(2), prior, KarrasLevels(2), scale=1.0))


@pytest.mark.parametrize(
    ("guided", "message"),
    [
        (lambda x: x, "guide must give a Guided, but gave Tensor"),
        (lambda x: Guided(x[:, :1], None), r"guide must give x_0 in the shape of x_t, \(1, 3, 8, 8\), but gave \(1, 1"),
        (lambda x: Guided(x, x[0]), r"guide must give shift in the shape of x_t, .* but gave \(3, 8, 8\)"),
    ],
)
def test_a_step_of_ones_own_that_would_be_broadcast_is_refused(guided: Callable[[Tensor], Any], message: str) -> None:
    class Own(DPS):
        def guide(self, x_t: Tensor, *more: Any) -> Any:
            return guided(x_t)

    with pytest.raises(UserError, match=message):
        predict(Own(AveragePool(2), Prior(), KarrasLevels(2), scale=1.0))


@pytest.mark.parametrize(
    "drawn",
    [
        lambda solver, x, noise: torch.randn_like(x),
        lambda solver, x, noise: noise.like(x) + x.norm(),  # over all rows, as a careless loss is
    ],
)
@pytest.mark.parametrize("kind", ["posterior mean", "consistency map"])
def test_a_solver_whose_samples_depend_on_the_batch_is_refused(drawn: Any, kind: Any) -> None:
    class Own(DPS):
        def guide(self, x_t: Tensor, sigma: float, y: Any, noise: NoiseSource) -> Any:
            guided = super().guide(x_t, sigma, y, noise)
            return guided._replace(x_0=guided.x_0 + 0.1 * drawn(self, x_t, noise))

    prior = Prior()
    prior.kind = kind  # type: ignore[misc]
    with pytest.raises(UserError, match=r"Own gave an image another result .* draw from its `noise` alone"):
        predict(Own(AveragePool(2), prior, KarrasLevels(2), scale=1.0))


def test_a_solver_that_takes_the_mean_over_the_batch_is_refused() -> None:
    class Own(DPS):
        def guide(self, x_t: Tensor, *more: Any) -> Any:
            guided = super().guide(x_t, *more)
            assert guided.shift is not None
            return guided._replace(shift=guided.shift / len(x_t))  # as a loss that is averaged over the rows

    with pytest.raises(UserError, match="Own gave an image another result beside another image, or alone"):
        predict(Own(AveragePool(2), Prior(), KarrasLevels(8), scale=10.0))


def test_a_solver_that_decides_by_a_last_bit_is_not_refused_for_it() -> None:
    """Its particles are others in another batch: the matrix adds up in another order, and the weights are sharp."""

    class Own(TDS):
        pass

    matrix = MatrixOperator(torch.randn(20, 192, generator=torch.Generator().manual_seed(0)), 0.05, SHAPE)
    predict(Own(matrix, StandIn(Prior()), KarrasLevels(20), particles=8, num_samples=2))


def test_what_a_solver_remembers_is_not_of_made_up_images() -> None:
    class Own(DPS):
        first: Tensor | None = None
        seen: list[int]

        def guide(self, x_t: Tensor, *more: Any) -> Any:
            self.first = x_t if self.first is None else self.first
            self.seen.append(len(x_t))
            return super().guide(x_t, *more)

    solver = Own(AveragePool(2), Prior(), KarrasLevels(2), scale=1.0)
    solver.seen = []
    solver.trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    solver.setup("predict")
    assert solver.first is None
    assert solver.seen == []
    assert isinstance(solver.denoiser, Prior)


def test_a_solver_that_asks_more_of_its_prior_than_a_stand_in_has_is_not_tried() -> None:
    seen: list[int] = []

    class Own(DPS):
        def guide(self, x_t: Tensor, *more: Any) -> Any:
            assert isinstance(self.denoiser, Prior)
            seen.append(len(x_t))
            return super().guide(x_t, *more)

    predict(Own(AveragePool(2), Prior(), KarrasLevels(2), scale=1.0))
    assert seen == [1, 1]


@pytest.mark.parametrize("samples", [lambda x: x[:, :, :1], lambda x: x.to(torch.uint8), lambda x: x.numpy()])
def test_samples_of_another_shape_or_type_are_refused(samples: Callable[[Tensor], Any]) -> None:
    class Own(DPS):
        def solve(self, *args: Any, **more: Any) -> Any:
            return samples(super().solve(*args, **more))

    with pytest.raises(UserError, match=r"Own.solve must give float samples of shape \(1, 1, 3, 8, 8\), but gave "):
        predict(Own(AveragePool(2), Prior(), KarrasLevels(2), scale=1.0))


def test_a_part_without_a_gradient_is_named() -> None:
    with pytest.raises(UserError, match=r"no gradient with respect to the images.*torch.no_grad\(\) or detach\(\)"):
        predict(DPS(Measured(lambda x: x.detach()), Prior(), KarrasLevels(2), scale=1.0))
