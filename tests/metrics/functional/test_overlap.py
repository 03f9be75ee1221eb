"""Agreement of label maps against torchmetrics, and known answers."""

import pytest
import torch
from torchmetrics.functional.classification import multiclass_confusion_matrix, multiclass_jaccard_index

from dis_lightning.metrics.functional import confusion, mean_iou
from dis_lightning.metrics.functional.overlap import iou


def maps(seed: int) -> torch.Tensor:
    # Class 5 of 6 is in no map, others are missing from some.
    return torch.randint(5, (4, 3, 3), generator=torch.Generator().manual_seed(seed))


def test_per_image_and_over_the_set_it_agrees_with_torchmetrics() -> None:
    labels, targets = maps(0), maps(1)
    counts = confusion(labels, targets, 6)
    for one, label, target in zip(counts, labels, targets, strict=True):
        assert torch.equal(one, multiclass_confusion_matrix(label, target, 6))
        expected = multiclass_jaccard_index(label, target, 6, average="macro")
        assert float(mean_iou(one)) == pytest.approx(float(expected), rel=1e-6)
    expected = multiclass_jaccard_index(labels, targets, 6, average="macro")
    assert float(mean_iou(counts.sum(dim=0))) == pytest.approx(float(expected), rel=1e-6)


def test_iou_of_a_confusion_by_hand() -> None:
    torch.testing.assert_close(iou(torch.tensor([[6, 2], [1, 3]])), torch.tensor([6 / 9, 3 / 6]).double())


def test_a_class_in_neither_map_does_not_count_and_one_in_a_single_map_counts_as_missed() -> None:
    target = torch.tensor([[0, 0, 1, 1]])
    assert float(mean_iou(confusion(torch.tensor([[0, 0, 1, 1]]), target, 9))) == 1
    # Class 0: 2 of 2; class 1: 1 of 2; class 2: 0 of 1.
    assert float(mean_iou(confusion(torch.tensor([[0, 0, 1, 2]]), target, 9))) == pytest.approx((1 + 0.5 + 0) / 3)


@pytest.mark.parametrize("labels", [torch.zeros(1, 5, dtype=torch.long), torch.tensor([[0, 0, 0, 3]])])
def test_maps_that_do_not_fit_are_refused(labels: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="use a judge with the classes and the size"):
        confusion(labels, torch.tensor([[0, 0, 1, 1]]), 3)
