"""What every solver keeps to between a batch of images and saved samples: `predict_step`, alone and under a Trainer."""

from pathlib import Path

import lightning
import pytest
import torch
from catalogue import SHAPE, SOLVERS
from torch import Tensor
from torch.utils.data import DataLoader
from trials import DEVICE, INDICES, OPERATOR, GreyClasses, TinyNetwork, batch, build, for_every_solver, images, measured

from dis_lightning.images import quantise
from dis_lightning.meters import CostMeter
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import AveragePool
from dis_lightning.priors import Denoiser
from dis_lightning.types import State


@for_every_solver
def test_a_seed_gives_the_same_bits_and_another_seed_other_samples(name: str) -> None:
    first, second, other = (build(name, seed=seed).predict_step(batch(INDICES)) for seed in (5, 5, 6))
    assert torch.equal(first.draws.samples, second.draws.samples)
    assert torch.equal(first.measurement, second.measurement)
    assert not torch.equal(first.draws.samples, other.draws.samples)


class Broken(AveragePool):
    """Has lost its second measurement."""

    def measure(self, x_0: Tensor, noise: NoiseSource) -> Tensor:
        y = super().measure(x_0, noise)
        y[1] = torch.nan
        return y


@for_every_solver
def test_a_measurement_that_is_not_a_number_spoils_its_own_image_alone_and_is_reported(name: str) -> None:
    operators = OPERATOR, Broken(2, noise_std=0.1)
    expected, found = (build(name, operator=operator).predict_step(batch(INDICES)).draws for operator in operators)
    assert torch.equal(found.samples[[0, 2]], expected.samples[[0, 2]])
    assert not expected.diverged.any()
    assert found.diverged.tolist() == [[False] * 2, [SOLVERS[name].looks] * 2, [False] * 2]


@for_every_solver
def test_it_costs_what_its_documentation_says(name: str) -> None:
    case, solver = SOLVERS[name], build(name)
    networks = {child for child in solver.children() if isinstance(child, Denoiser)}
    with CostMeter(networks, DEVICE) as meter:
        solver.solve(*measured(INDICES))
    assert (meter.evaluations, meter.gradients) == (3 * case.evaluations, 3 * case.gradients)
    costs = solver.predict_step(batch(INDICES)).draws.costs
    assert [(cost.evaluations, cost.gradients) for cost in costs] == [(case.evaluations, case.gradients)] * 3
    assert all(cost.seconds > 0 and cost.memory > 0 for cost in costs)


@for_every_solver
def test_a_batch_goes_the_straight_line_from_image_to_saved_samples(name: str) -> None:
    solver = build(name, seed=3)
    found = solver.predict_step(batch(INDICES))
    y = OPERATOR.measure(images(INDICES), NoiseSource(3, INDICES, DEVICE))
    assert torch.equal(found.measurement, y)
    assert torch.equal(found.draws.samples, quantise(solver.solve(y, NoiseSource(3, INDICES, DEVICE))).cpu())
    assert torch.equal(found.truth, quantise(images(INDICES)))
    assert (found.indices.tolist(), found.names) == (INDICES, ["4.png", "0.png", "7.png"])


@for_every_solver
@pytest.mark.filterwarnings("ignore:TinyNetwork.forward changes its input")  # weights are random
def test_a_plain_trainer_in_inference_mode_predicts_the_same(name: str, tmp_path: Path) -> None:
    items = [{key: value[row] for key, value in batch(INDICES).items()} for row in range(3)]
    trainer = lightning.Trainer(
        accelerator="cpu" if DEVICE.type == "cpu" else "gpu",
        devices=1,
        deterministic=torch.are_deterministic_algorithms_enabled(),
        default_root_dir=tmp_path,
        logger=False,
        enable_progress_bar=False,
    )
    assert trainer.predict_loop.inference_mode
    found = trainer.predict(build(name, denoiser=TinyNetwork()), DataLoader(items, batch_size=2))
    expected = [
        build(name, denoiser=TinyNetwork()).predict_step(batch(indices)) for indices in (INDICES[:2], INDICES[2:])
    ]
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.draws.samples, other.draws.samples)
        assert one.names == other.names


@for_every_solver
def test_images_of_another_shape_than_the_prior_are_refused(name: str) -> None:
    other = batch(INDICES) | {"image": torch.zeros(3, 3, 4, 4, device=DEVICE)}
    with pytest.raises(ValueError, match=r"shape \(3, 8, 8\), but the data has \(3, 4, 4\)"):
        build(name).predict_step(other)


@for_every_solver
def test_every_sample_of_a_class_conditional_prior_gets_the_label_of_its_image(name: str) -> None:
    labels = torch.tensor([2, 0, 1], device=DEVICE)
    grey = (labels - 1.0).reshape(3, 1, 1, 1).expand(3, *SHAPE)
    solver = build(name, denoiser=GreyClasses())
    found = solver.predict_step(batch(INDICES, label=labels) | {"image": grey})
    brightness = found.draws.samples.float().mean(dim=(2, 3, 4)) / 127.5 - 1
    assert (brightness - grey[:, 0, 0, :1].cpu()).abs().max() < 0.2
    assert solver.denoiser.labels is None


@for_every_solver
def test_labels_are_bound_for_one_call_also_where_it_fails(name: str) -> None:
    networks = {"denoiser": GreyClasses()} | ({"consistency": GreyClasses()} if SOLVERS[name].consistency else {})
    solver, (y, noise) = build(name, **networks), measured(INDICES)

    def fail(_: State) -> None:
        raise ZeroDivisionError

    solver.observers.append(fail)
    with pytest.raises(ZeroDivisionError):
        solver.solve(y, noise, torch.tensor([2, 0, 1], device=DEVICE))
    for part, network in networks.items():
        assert getattr(solver, part) is network


@for_every_solver
def test_a_class_conditional_prior_costs_as_much_as_any_other(name: str) -> None:
    case, labelled = SOLVERS[name], batch(INDICES, label=torch.tensor([2, 0, 1], device=DEVICE))
    costs = build(name, denoiser=GreyClasses()).predict_step(labelled).draws.costs
    assert [(cost.evaluations, cost.gradients) for cost in costs] == [(case.evaluations, case.gradients)] * 3


@for_every_solver
def test_a_class_conditional_prior_without_labels_is_an_error_and_labels_without_need_are_not(name: str) -> None:
    with pytest.raises(ValueError, match="is conditional on one of 3 classes, but the data has no labels"):
        build(name, denoiser=GreyClasses()).predict_step(batch(INDICES))
    labelled = build(name).predict_step(batch(INDICES, label=torch.tensor([0, 1, 2], device=DEVICE)))
    assert torch.equal(labelled.draws.samples, build(name).predict_step(batch(INDICES)).draws.samples)


@for_every_solver
def test_samples_that_a_run_has_already_are_not_drawn_again(name: str) -> None:
    kept = build(name).predict_step(batch(INDICES)).draws
    solver = build(name, seed=1)
    solver.recall = lambda indices: kept if indices.tolist() == INDICES else None
    assert solver.predict_step(batch(INDICES)).draws is kept
    assert solver.predict_step(batch(INDICES[:2])).draws is not kept
