"""Training of captioners: what is contrasted, and what is learnt."""

import math

import pytest
import torch

from dis_lightning.images import dequantise
from dis_lightning.rooms.captioners import CaptionerA, CaptionerB
from dis_lightning.rooms.captions import ANSWERS, Facts, all_captions, caption, facts, tokens
from dis_lightning.rooms.trained import rooms_captioner_a, rooms_captioner_b
from dis_lightning.rooms.training.captioning import CaptionerTraining, caption_numbers, captioner_losses, rivals
from dis_lightning.rooms.training.data import RoomBatch
from dis_lightning.rooms.training.retrieval import retrieval
from dis_lightning.rooms.world import draw_scene, render_room


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def known(number: int) -> torch.Tensor:
    return torch.tensor([facts(draw_scene("train", index)) for index in range(number)])


def batch(number: int, size: int = 16) -> RoomBatch:
    pictures = [torch.from_numpy(render_room("train", index, size).image).permute(2, 0, 1) for index in range(number)]
    return RoomBatch(torch.stack(pictures), *[torch.zeros(0)] * 3, known(number).to(torch.uint8))


def small(kind: type) -> CaptionerA | CaptionerB:
    torch.manual_seed(0)
    return CaptionerA((8, 8, 16, 16), 32, 16) if kind is CaptionerA else CaptionerB(16, 2, 32, 16)


def test_a_rival_differs_in_one_fact_each_as_often_and_by_any_other_answer() -> None:
    true = known(50)
    changed = rivals(true, 400, random())
    differs = changed != true.unsqueeze(1)
    assert (differs.sum(dim=2) == 1).all()
    assert ((changed >= 0) & (changed < torch.tensor(ANSWERS))).all()
    shares = differs.float().mean(dim=(0, 1))
    assert (shares - 1 / 6).abs().max() < 5 * math.sqrt(5 / 36 / (50 * 400))
    beds = changed[differs[..., 1]][:, 1] - true[:, 1].unsqueeze(1).expand(50, 400)[differs[..., 1]]
    counts = torch.bincount(beds % ANSWERS.bed, minlength=ANSWERS.bed).double()
    assert counts[0] == 0
    assert (counts[1:] / counts.sum() - 0.2).abs().max() < 5 * math.sqrt(0.16 / float(counts.sum()))


def test_captions_are_numbered_in_the_order_of_all_captions() -> None:
    some = rivals(known(5), 3, random())
    for answers, number in zip(some.flatten(0, 1).tolist(), caption_numbers(some).flatten().tolist(), strict=True):
        assert all_captions()[number] == caption(Facts(*answers))


def test_the_loss_by_hand() -> None:
    # Two rooms with one rival each; the rival of the second is what is true of the first, and so no rival there.
    numbers = torch.tensor([[3, 8], [5, 3]])
    logits = torch.tensor([[2.0, 0.5, -1.0, 7.0], [0.0, 1.0, 1.5, -2.0]])
    contrast = [
        -2.0 + math.log(math.exp(2) + math.exp(0.5) + math.exp(-1)),
        -1.5 + math.log(math.exp(0) + math.exp(1) + math.exp(1.5) + math.exp(-2)),
    ]
    match = [
        math.log1p(math.exp(-2)) + math.log1p(math.exp(0.5)),
        math.log1p(math.exp(-1.5)) + math.log1p(math.exp(-2)),
    ]
    truth = torch.tensor([contrast[row] + match[row] / 2 for row in range(2)])
    torch.testing.assert_close(captioner_losses(logits, numbers), truth)


@pytest.mark.parametrize("kind", [CaptionerA, CaptionerB])
def test_steps_lower_the_loss_of_a_batch(kind: type) -> None:
    training = CaptionerTraining(small(kind), num_rivals=3)
    optimizer = torch.optim.Adam(training.model.parameters(), 3e-3)
    history = []
    for _ in range(15):
        loss = training.losses(batch(8), random()).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert history[-1] < 0.8 * history[0]


@pytest.mark.parametrize("kind", [CaptionerA, CaptionerB])
def test_the_order_of_words_counts_and_what_follows_the_last_does_not(kind: type) -> None:
    captioner = small(kind).eval()
    left, right = (
        f"a bedroom with white walls, a red bed, a window on the {a} wall and a picture on the {b} wall"
        for a, b in (("left", "right"), ("right", "left"))
    )
    with torch.no_grad():
        one, other = captioner.read(tokens([left, right]))
        shorter = captioner.read(tokens([left])[:, : len(left.split()) + 2])[0]
    assert (one - other).norm() > 1e-3
    torch.testing.assert_close(shorter, one, rtol=0, atol=1e-6)
    torch.testing.assert_close(one.norm(), torch.tensor(1.0))


@pytest.mark.parametrize("captioner", [rooms_captioner_a, rooms_captioner_b])
def test_both_captioners_find_the_captions_of_rooms_they_never_saw(captioner) -> None:
    result = retrieval(captioner(), 300)
    assert result.strangers > 0.97
    assert result.rivals > 0.92
    assert result.matching > 0.93
    assert result.whole > 0.86
    assert result.facts.min() > 0.92
    # What is found whole is right in every fact, and what is right in all facts is found whole.
    assert result.facts.sum() - 5 <= result.whole <= result.facts.min()


def test_a_captioner_that_knows_nothing_finds_captions_by_chance_alone() -> None:
    untrained = small(CaptionerA).eval()
    result = retrieval(untrained, 300)
    assert result.strangers < 1 / 32 + 5 * math.sqrt(1 / 32 / 300) + 0.05  # rooms may share a caption
    assert result.whole < 0.02


def test_what_a_captioner_says_of_a_room_does_not_depend_on_the_batch() -> None:
    x = dequantise(batch(3, 32).images)
    words = tokens([caption(Facts(*answers)) for answers in known(3).tolist()])
    for captioner in (rooms_captioner_a(), rooms_captioner_b()):
        torch.testing.assert_close(captioner(x, words)[1:2, 1:2], captioner(x[1:2], words[1:2]), atol=1e-4, rtol=1e-4)


def test_a_training_without_rivals_is_refused() -> None:
    with pytest.raises(ValueError, match="num_rivals >= 1, but got 0"):
        CaptionerTraining(small(CaptionerA), num_rivals=0)
