"""The captions of rooms as facts, words and sentences."""

import itertools

import pytest
import torch

from dis_lightning.rooms import render_room
from dis_lightning.rooms.captions import (
    ANSWERS,
    LENGTH,
    Facts,
    all_captions,
    caption,
    facts,
    known_facts,
    tokens,
    vocabulary,
)
from dis_lightning.rooms.world import draw_scene


def test_the_facts_of_a_room_say_its_caption_again() -> None:
    for index in range(200):
        known = facts(draw_scene("test", index))
        assert all(0 <= answer < answers for answer, answers in zip(known, ANSWERS, strict=True))
        assert caption(known) == render_room("test", index, 8).caption


def test_a_sentence_by_hand() -> None:
    everything = Facts(walls=5, bed=0, window=1 + 3 * 1 + 2, picture=1, lamp=2, rug=2)
    assert caption(everything) == (
        "a bedroom at night with green walls, a red bed, a window on the left wall, a picture on the back wall, "
        "a hanging lamp and an orange rug"
    )
    assert caption(Facts(0, 5, 0, 0, 0, 0)) == "a bedroom with white walls and a white bed"


def test_there_are_as_many_sentences_as_answers_and_no_two_are_the_same() -> None:
    captions = all_captions()
    assert len(captions) == len(set(captions)) == torch.tensor(ANSWERS).prod() == 30_240
    known = Facts(3, 2, 7, 1, 2, 4)
    place = list(itertools.product(*map(range, ANSWERS))).index(known)
    assert captions[place] == caption(known)


def test_sentences_become_numbers_of_words_and_back() -> None:
    words = vocabulary()
    assert list(words) == sorted({word for some in all_captions()[::7] for word in some.replace(",", "").split()})
    some = [all_captions()[0], all_captions()[-1]]
    for text, row in zip(some, tokens(some), strict=True):
        told = [words[number - 1] for number in row.tolist() if number]
        assert told == text.replace(",", "").split()
        assert row[len(told) :].eq(0).all()
    assert max(len(text.split()) for text in all_captions()) <= LENGTH


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a bedroom with a zebra", "with zebra"),
        ("", "with 0"),
        ("a " * 33, "with 33"),
    ],
)
def test_sentences_that_cannot_be_read_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"1 \.\. 32 words, all among a, an, and, .*{message}\."):
        tokens([text])


def test_sentences_give_their_facts_back() -> None:
    some = [Facts(3, 2, 7, 1, 2, 4), Facts(0, 0, 0, 0, 0, 0), Facts(*(answers - 1 for answers in ANSWERS))]
    assert known_facts([caption(known) for known in some]).tolist() == [list(known) for known in some]
    with pytest.raises(ValueError, match="but got 'a bed'"):
        known_facts(["a bed"])
