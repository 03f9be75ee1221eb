"""Training of a captioner of rooms.

Every room of a batch brings its true caption and K rivals, each with one of the six facts changed. With the log-odds
`l` of a match, of the pictures `x_i + s n`, s uniform in [0, noise], and `c_i` the true caption of room i:

    L_i = -log softmax_c l(x_i, c)_(c_i)  +  (-log sigmoid l(x_i, c_i) - mean_k log sigmoid(-l(x_i, r_ik))) / 2

The first term contrasts the true caption with all the captions and rivals of the batch (Radford et al. 2021), the
second makes the log-odds true ones: of a caption that is the true one or a rival of it, at even odds (the image-text
matching of Li et al., "BLIP", 2022, with hard negatives).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from dis_lightning.errors import InvalidValueError
from dis_lightning.images import dequantise
from dis_lightning.rooms.captioners import Captioner
from dis_lightning.rooms.captions import ANSWERS, Facts, caption, tokens
from dis_lightning.rooms.training.base import Training
from dis_lightning.rooms.training.data import RoomBatch

__all__ = ["CaptionerTraining", "caption_numbers", "captioner_losses", "rivals"]


class CaptionerTraining(Training):
    """Train a captioner.

    Args:
        model: the captioner.
        num_rivals: how many rivals each caption has, K >= 1.
        noise: the largest standard deviation of the noise on the pictures, >= 0.
        rate: see `Training`.
        warm_up: see `Training`.
        decay_after: see `Training`.
        sharpness: see `Training`.
        seed: see `Training`.

    Raises:
        ValueError: if `num_rivals` is below 1.
    """

    model: Captioner
    average: Captioner

    def __init__(
        self,
        model: Captioner,
        num_rivals: int = 7,
        noise: float = 0.1,
        rate: float = 3e-3,
        warm_up: int = 100,
        decay_after: int = 500,
        sharpness: float = 12.0,
        seed: int = 0,
    ) -> None:
        if num_rivals < 1:
            raise InvalidValueError(f"CaptionerTraining needs num_rivals >= 1, but got {num_rivals}.")
        super().__init__(model, rate, warm_up, decay_after, sharpness, seed)
        self.num_rivals, self.noise = num_rivals, noise

    def losses(self, rooms: RoomBatch, random: torch.Generator) -> Tensor:
        """See the module."""
        x = dequantise(rooms.images)
        s = self.noise * torch.rand(len(x), 1, 1, 1, generator=random, device=x.device)
        true = rooms.facts.long()
        said = torch.cat([true.unsqueeze(1), rivals(true, self.num_rivals, random)], dim=1).flatten(0, 1)
        words = tokens([caption(Facts(*answers)) for answers in said.tolist()]).to(x.device)
        logits = self.model(x + s * torch.randn(x.shape, generator=random, device=x.device), words)
        return captioner_losses(logits.float(), caption_numbers(said).unflatten(0, (len(x), -1)))


def captioner_losses(logits: Tensor, numbers: Tensor) -> Tensor:
    """The loss of each of N rooms.

    Args:
        logits: log-odds of a match of each room with all captions of the batch, `(N, N (1 + K))`, room by room.
        numbers: which captions these are, `(N, 1 + K)`, the true one of each room first.

    Returns:
        Losses, `(N,)`.
    """
    rows = torch.arange(len(numbers), device=logits.device)
    own = logits.unflatten(1, numbers.shape)[rows, rows]
    # The same words may be said of another room of the batch: they are no rival.
    again = (numbers.flatten() == numbers[:, :1]).index_put((rows, rows * numbers.shape[1]), torch.tensor(False))
    contrast = F.cross_entropy(logits.masked_fill(again, -torch.inf), rows * numbers.shape[1], reduction="none")
    matching = F.softplus(-own[:, 0]) + F.softplus(own[:, 1:]).mean(dim=1)
    return contrast + matching / 2


def rivals(true: Tensor, number: int, random: torch.Generator) -> Tensor:
    """Captions with one fact changed.

    Args:
        true: the facts of N rooms, `(N, 6)`.
        number: how many for each room, K.
        random: chooses which fact, all equally likely, and its other answer, likewise.

    Returns:
        Facts, `(N, K, 6)`.
    """
    shape, device = (len(true), number), true.device
    answers = torch.tensor(ANSWERS, device=device)
    question = torch.randint(len(ANSWERS), shape, generator=random, device=device)
    share = torch.rand(shape, generator=random, device=device)
    step = 1 + (share * (answers[question] - 1)).long()
    old = true.gather(1, question)
    new = (old + step) % answers[question]
    return true.unsqueeze(1).repeat(1, number, 1).scatter(2, question.unsqueeze(2), new.unsqueeze(2))


def caption_numbers(known: Tensor) -> Tensor:
    """The place of captions in `all_captions`, `(...)`, from their facts, `(..., 6)`."""
    numbers = torch.zeros(known.shape[:-1], dtype=torch.long, device=known.device)
    for question, answers in enumerate(ANSWERS):
        numbers = numbers * answers + known[..., question]
    return numbers
