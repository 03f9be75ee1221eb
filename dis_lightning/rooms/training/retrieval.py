"""How well a captioner tells the caption of held-out rooms from others."""

from typing import NamedTuple

import torch
from torch import Tensor

from dis_lightning.images import dequantise
from dis_lightning.noise import keyed_generator
from dis_lightning.rooms.captioners import Captioner
from dis_lightning.rooms.captions import ANSWERS, all_captions, tokens
from dis_lightning.rooms.training.album import album
from dis_lightning.rooms.training.captioning import caption_numbers, rivals

__all__ = ["Retrieval", "retrieval", "retrieve"]

CROWD = 31
"""Captions that the true one is to be found among."""


class Retrieval(NamedTuple):
    """What a captioner got right, as shares in [0, 1]."""

    strangers: float
    """Rooms whose caption was found among those of 31 other rooms."""
    rivals: float
    """Rooms whose caption was found among 31 rivals, each with one fact changed."""
    matching: float
    """Pairs that were judged right, at even odds: true captions as matching, and rivals as not."""
    whole: float
    """Rooms whose caption was found among all 30,240."""
    facts: Tensor
    """Rooms whose caption, found among all, has the right answer to each of the six questions, `(6,)`."""


def retrieve(captioner: Captioner, num_images: int = 5000, split: str = "test") -> None:
    """Print how well a captioner captions held-out rooms of 32 pixels.

    Args:
        captioner: who matches pictures and captions.
        num_images: how many rooms, at least 32.
        split: which rooms.
    """
    result = retrieval(captioner, num_images, split)
    each = ", ".join(f"{name} {share:.3f}" for name, share in zip(ANSWERS._fields, result.facts.tolist(), strict=True))
    print(f"found among {CROWD} captions of other rooms {result.strangers:.4f}")
    print(f"found among {CROWD} with one fact changed {result.rivals:.4f}")
    print(f"matching accuracy {result.matching:.4f}")
    print(f"found among all {len(all_captions())} {result.whole:.4f} ({each})")


@torch.no_grad()
def retrieval(captioner: Captioner, num_images: int, split: str = "test") -> Retrieval:
    """Let a captioner caption held-out rooms of 32 pixels; arguments as for `retrieve`."""
    rooms = album(split, num_images)
    images, known = (torch.from_numpy(page.copy()) for page in (rooms.images, rooms.facts))
    known = known.long()
    seen = torch.cat([captioner.see(dequantise(some)) for some in images.split(250)])
    told = torch.cat([captioner.read(some) for some in tokens(all_captions()).split(2000)])

    numbers = caption_numbers(known)
    true = (seen * told[numbers]).sum(dim=1)
    random = keyed_generator(0, (0,))
    others = torch.stack([numbers.roll(shift) for shift in range(1, CROWD + 1)], dim=1)
    changed = caption_numbers(rivals(known, CROWD, random))
    against_others, against_changed = (torch.einsum("nd,nkd->nk", seen, told[some]) for some in (others, changed))
    # The same caption may be said of another room; it is found as well then.
    strangers = (true.unsqueeze(1) >= against_others) | (others == numbers.unsqueeze(1))
    whole = torch.cat([(some @ told.T).argmax(dim=1) for some in seen.split(250)])
    answers = torch.stack(torch.unravel_index(whole, tuple(ANSWERS)), dim=1)
    match = (captioner.logits(true) > 0).float().mean() + (captioner.logits(against_changed) < 0).float().mean()
    return Retrieval(
        strangers=_share(strangers.all(dim=1)),
        rivals=_share((true.unsqueeze(1) > against_changed).all(dim=1)),
        matching=float(match / 2),
        whole=_share(whole == numbers),
        facts=(answers == known).float().mean(dim=0),
    )


def _share(hits: Tensor) -> float:
    return float(hits.float().mean())
