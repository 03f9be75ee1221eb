import re

import numpy as np
import pytest
import scipy.linalg
import torch

from dis_lightning.images import dequantise, quantise
from dis_lightning.levels import KarrasLevels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import AveragePool
from dis_lightning.rooms import render_room, rooms_gaussian, rooms_reader_a
from dis_lightning.rooms.training.score import contact_sheet, frechet_distance, score
from dis_lightning.solvers import Unguided


def features(number, seed, size=5):
    return torch.randn(number, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_shift_alone_costs_its_square():
    first = features(100, 0)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-10)
    assert frechet_distance(first, first + torch.tensor([3.0, 0, 0, 4.0, 0])) == pytest.approx(25)


def test_a_scale_alone_costs_the_difference_of_the_spreads():
    first = features(200, 1)
    centred = first - first.mean(dim=0)
    spread = torch.cov(centred.T).trace().item()
    assert frechet_distance(centred, 3 * centred) == pytest.approx(4 * spread)


def test_two_covariances_that_do_not_commute_agree_with_scipy():
    first, second = features(60, 2) @ features(5, 3), features(80, 4) @ features(5, 5) + 1
    s_1, s_2 = np.cov(first.numpy().T), np.cov(second.numpy().T)
    shift = first.mean(dim=0) - second.mean(dim=0)
    truth = shift.square().sum().item() + np.trace(s_1 + s_2 - 2 * scipy.linalg.sqrtm(s_1 @ s_2).real)
    assert frechet_distance(first, second) == pytest.approx(truth)


def test_too_few_images_for_a_covariance_are_refused():
    with pytest.raises(ValueError, match=r"5 features needs 10 images or more on both sides, but got 9 and 30"):
        frechet_distance(features(9, 0), features(30, 1))


def test_what_is_printed_is_the_distance_of_the_samples_and_its_floor(capsys):
    number = 192  # twice the features of the reader
    prior = rooms_gaussian(size=16, num_images=40)
    solver = Unguided(AveragePool(4), prior, KarrasLevels(2), seed=3)
    score(solver, number, batch_size=100)
    printed = re.findall(r"^192 (\w+) to rooms +([\d.]+)$", capsys.readouterr().out, flags=re.MULTILINE)

    def moments(pictures):
        seen = np.concatenate([rooms_reader_a().features(some).double().numpy() for some in pictures.split(100)])
        return seen.mean(axis=0), np.cov(seen.T)

    def distance(first, second):
        (m_1, s_1), (m_2, s_2) = moments(first), moments(second)
        return ((m_1 - m_2) ** 2).sum() + np.trace(s_1 + s_2 - 2 * scipy.linalg.sqrtm(s_1 @ s_2).real)

    rooms = torch.stack([torch.from_numpy(render_room("test", index, 16).image) for index in range(2 * number)])
    held_out, others = (dequantise(rooms).permute(0, 3, 1, 2)).split(number)
    samples = dequantise(quantise(solver.solve(torch.zeros(number), NoiseSource(3, range(number)))[:, 0]))
    expected = {"samples": distance(samples, held_out), "rooms": distance(others, held_out)}
    assert {name: float(value) for name, value in printed} == pytest.approx(expected, abs=1e-3)
    assert expected["samples"] > 2 * expected["rooms"]


def test_a_contact_sheet_has_each_picture_at_its_place():
    pictures = torch.randint(0, 256, (7, 3, 4, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    sheet = np.asarray(contact_sheet(pictures, columns=3, enlarged=2))
    assert sheet.shape == (2 * 4 * 2, 3 * 5 * 2, 3)
    for number in range(6):
        row, column = divmod(number, 3)
        part = sheet[row * 8 : row * 8 + 8, column * 10 : column * 10 + 10]
        np.testing.assert_array_equal(part[1::2, ::2], pictures[number].permute(1, 2, 0).numpy())
