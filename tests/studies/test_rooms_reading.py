"""How alike two measurements of rooms are, by hand; and what is read off a row's samples."""

from pathlib import Path

import pytest
import torch
from rooms_study import write_study
from torch.nn import functional as F

from dis_lightning.images import dequantise
from dis_lightning.operators import AveragePool
from dis_lightning.rooms import rooms_reader_a, rooms_reader_b
from dis_lightning.rooms.captions import Facts, caption
from dis_lightning.rooms.operators import RoomsSegmentation
from studies.rooms_reading import agreement, judge, read, score
from studies.rooms_rows import Study, reconstruct

READER = {"class_path": "dis_lightning.rooms.operators.RoomsSegmentation"}


def test_maps_are_compared_by_the_classes_that_are_in_either() -> None:
    y = torch.tensor([[[0, 0], [2, 2]], [[5, 5], [5, 5]]])
    seen = torch.tensor([[[0, 2], [2, 2]], [[5, 5], [5, 5]]])
    # Class 0: 1 of 2 pixels; class 2: 2 of 3. Class 1 is in neither map.
    assert agreement(seen, y).tolist() == pytest.approx([(1 / 2 + 2 / 3) / 2, 1.0])
    assert agreement(torch.full_like(y, 1), y).tolist() == [0.0, 0.0]


def test_classes_are_the_same_or_not() -> None:
    assert agreement(torch.tensor([3, 1]), torch.tensor([3, 2])).tolist() == [1.0, 0.0]


def test_captions_are_compared_fact_by_fact() -> None:
    room = Facts(walls=1, bed=2, window=4, picture=0, lamp=2, rug=3)
    others = [room, room._replace(bed=0), room._replace(window=0, picture=1, rug=0)]
    seen = agreement([caption(other) for other in others], [caption(room)] * 3)
    assert seen.tolist() == pytest.approx([1.0, 5 / 6, 3 / 6])


def test_the_judge_is_another_network_than_the_guide() -> None:
    second = judge(RoomsSegmentation)
    assert isinstance(second, RoomsSegmentation)
    assert type(second.reader) is not type(rooms_reader_a())
    with pytest.raises(TypeError, match="AveragePool is no measurement of rooms that a second network can make"):
        judge(AveragePool)


def test_the_guide_agrees_with_itself_on_the_true_rooms(tmp_path: Path) -> None:
    study = Study.read(write_study(tmp_path, problems={"maps": READER}))
    samples, truth = read(study.configuration("maps", "prior"))
    assert truth.guide.tolist() == [1.0, 1.0]
    # Nobody showed the prior the map.
    assert samples.guide.mean() < truth.judge.mean() < 1
    assert len(truth.features) == len(samples.features) == 2


def test_the_score_is_the_cross_entropy_of_the_judge(tmp_path: Path) -> None:
    configuration = Study.read(write_study(tmp_path, problems={"maps": READER})).configuration("maps", "MPGD", 1.0)
    values = []
    for result, _ in reconstruct(configuration):
        logits = rooms_reader_b()(dequantise(result.draws.samples[:, 0])).segmentation
        values.append(F.cross_entropy(logits, torch.as_tensor(result.measurement)))
    assert score(configuration) == pytest.approx(-float(torch.stack(values).mean()), rel=1e-5)
