"""The finite prior against sums by hand, for measurements of every kind."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import GaussianOperator, Operator
from dis_lightning.priors.exact.atoms import FiniteAtomPrior
from dis_lightning.types import Measurement

ATOMS = torch.tensor([[-2.0, 0.0], [1.0, 2.0], [2.0, -1.0], [-1.0, -2.0]], dtype=torch.float64)
WEIGHTS = [0.1, 0.2, 0.3, 0.4]
PRIOR = FiniteAtomPrior(ATOMS, torch.tensor(WEIGHTS, dtype=torch.float64))


class Squares(GaussianOperator):
    """A non-linear measurement that cannot tell an image from its negative."""

    def forward(self, x_0: Tensor) -> Tensor:
        return x_0.square()


class Naming(Operator):
    """A measurement in words: on which side the first value lies, wrong one time in five."""

    def forward(self, x_0: Tensor) -> Tensor:
        return x_0[:, 0]

    def measure(self, x_0: Tensor, noise: NoiseSource) -> Measurement:
        return ["left" if value < 0 else "right" for value in self(x_0)]

    def distance(self, x_0: Tensor, y: Measurement) -> Tensor:
        return self.energy(x_0, y)

    def energy(self, x_0: Tensor, y: Measurement) -> Tensor:
        said = torch.tensor([-1.0 if word == "left" else 1.0 for word in y]).to(x_0)
        right = torch.full_like(said, 0.8)
        return -torch.where(self(x_0) * said > 0, right, 1 - right).log()

    def picture(self, y: Measurement) -> Tensor:
        return torch.zeros(len(y), 3, 1, 1)


class Side(Naming):
    """A measurement as a class: logits of the two sides, compared image by image."""

    def energy(self, x_0: Tensor, y: Measurement) -> Tensor:
        assert isinstance(y, Tensor)
        return functional.cross_entropy(torch.stack([-x_0[:, 0], x_0[:, 0]], 1), y, reduction="none")


class Impossible(Squares):
    """A measurement that no image explains."""

    def energy(self, x_0: Tensor, y: Measurement) -> Tensor:
        return torch.full((len(x_0),), math.inf)


@pytest.mark.parametrize("sigma", [0.05, 1.0, 20.0])
def test_denoiser_is_the_weighted_sum_by_hand(sigma: float) -> None:
    x_t = [0.3, 0.4]
    masses = [
        weight * math.exp(-((x_t[0] - a) ** 2 + (x_t[1] - b) ** 2) / (2 * sigma**2))
        for weight, (a, b) in zip(WEIGHTS, ATOMS.tolist(), strict=True)
    ]
    truth = [sum(m * a[i] for m, a in zip(masses, ATOMS.tolist(), strict=True)) / sum(masses) for i in range(2)]
    found = PRIOR(torch.tensor([x_t], dtype=torch.float64), sigma)[0]
    torch.testing.assert_close(found, torch.tensor(truth, dtype=torch.float64))
    # A level as a number has all its digits too.
    exact = PRIOR(torch.tensor([x_t], dtype=torch.float64), torch.tensor([sigma], dtype=torch.float64))[0]
    torch.testing.assert_close(found, exact, rtol=1e-14, atol=1e-14)


def test_an_atom_is_recognised_at_the_lowest_level() -> None:
    x_t = ATOMS + 0.002 * torch.randn(ATOMS.shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(PRIOR(x_t, 0.002), ATOMS)


def test_equal_weights_unless_given() -> None:
    torch.testing.assert_close(FiniteAtomPrior(ATOMS).weights, torch.full((4,), 0.25).double())


def test_samples_are_atoms_with_their_frequencies() -> None:
    count = 5000
    x = PRIOR.sample(NoiseSource(0, range(count)))
    hits = (x.unsqueeze(1) == ATOMS).all(2)
    assert hits.sum(1).eq(1).all()
    for share, weight in zip(hits.double().mean(0).tolist(), WEIGHTS, strict=True):
        assert abs(share - weight) <= 5 * math.sqrt(weight * (1 - weight) / count)


def test_posterior_is_bayes_rule_for_a_nonlinear_measurement() -> None:
    noise_std, y = 0.9, [1.5, 3.0]
    masses = [
        weight * math.exp(-((a**2 - y[0]) ** 2 + (b**2 - y[1]) ** 2) / (2 * noise_std**2))
        for weight, (a, b) in zip(WEIGHTS, ATOMS.tolist(), strict=True)
    ]
    posterior = PRIOR.posterior(Squares(noise_std), torch.tensor([y], dtype=torch.float64))
    truth = torch.tensor(masses, dtype=torch.float64) / sum(masses)
    torch.testing.assert_close(posterior.weights, truth)
    assert torch.equal(posterior.atoms, ATOMS)


def test_posterior_is_bayes_rule_for_a_measurement_in_words() -> None:
    posterior = PRIOR.posterior(Naming(), ["left"])
    masses = torch.tensor([0.1 * 0.8, 0.2 * 0.2, 0.3 * 0.2, 0.4 * 0.8], dtype=torch.float64)
    torch.testing.assert_close(posterior.weights, masses / masses.sum())


def test_posterior_is_bayes_rule_for_a_class() -> None:
    posterior = PRIOR.posterior(Side(), torch.tensor([1]))
    masses = [w / (1 + math.exp(-2 * a)) for w, (a, _) in zip(WEIGHTS, ATOMS.tolist(), strict=True)]
    torch.testing.assert_close(posterior.weights, torch.tensor(masses, dtype=torch.float64) / sum(masses))


def test_posterior_of_many_atoms_is_that_of_each() -> None:
    # More atoms than pass through the operator at once.
    atoms = torch.randn(150, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.ones(1, 2).double()
    posterior = FiniteAtomPrior(atoms).posterior(Squares(0.5), y)
    energies = torch.stack([Squares(0.5).energy(atom.unsqueeze(0), y)[0] for atom in atoms])
    torch.testing.assert_close(posterior.weights, (-energies).softmax(0))


def test_improbable_atoms_keep_their_weight() -> None:
    # The measurement leaves the last atom exp(-25000), which no float holds; a noisy image can bring it back.
    atoms = torch.tensor([[0.0, 0.0], [0.0, 30.0]]).double()
    posterior = FiniteAtomPrior(atoms).posterior(Squares(4.0), torch.zeros(1, 2).double())
    assert posterior.weights[1] == 0
    assert posterior.log_weights[1] == pytest.approx(-(30**4) / (2 * 4**2))
    torch.testing.assert_close(posterior(atoms, 0.002), atoms)


def test_posterior_takes_no_gradient() -> None:
    y = torch.ones(1, 2).double().requires_grad_()
    assert not PRIOR.posterior(Squares(0.5), y).log_weights.requires_grad


def test_wrong_atoms_and_measurements_are_refused() -> None:
    with pytest.raises(ValueError, match=r"atoms must be images .* but got \[0, 2\]"):
        FiniteAtomPrior(torch.zeros(0, 2))
    with pytest.raises(ValueError, match="atoms must be finite floats"):
        FiniteAtomPrior(ATOMS * math.nan)
    with pytest.raises(ValueError, match="4 components need as many weights"):
        FiniteAtomPrior(ATOMS, torch.ones(3))
    with pytest.raises(ValueError, match=r"belongs to one measurement, .* but got 2"):
        PRIOR.posterior(Naming(), ["left", "right"])
    with pytest.raises(ValueError, match="Impossible gives no finite energy"):
        PRIOR.posterior(Impossible(0.1), torch.zeros(1, 2))
