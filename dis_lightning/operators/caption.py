"""Captions by BLIP: one network says what is seen, another how well words and picture match.

    y = the captioner's sentence for the image,    distance = energy = -log P(match | x_0, y)

Li et al., "BLIP: Bootstrapping Language-Image Pre-training for Unified Vision-Language Understanding and Generation",
2022, with the image-text matching head; as a measurement, section 5 of Xu et al. 2024. The networks are those of
`transformers`.
"""

import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dis_lightning.errors import InvalidValueError, UserError, require_whole
from dis_lightning.files import expanded
from dis_lightning.noise import NoiseSource
from dis_lightning.operators.base import TextOperator
from dis_lightning.operators.published_input import CLIP_MEAN, CLIP_STD, prepared
from dis_lightning.operators.texts import read_texts, require_texts, text_of_each, texts
from dis_lightning.types import Measurement
from dis_lightning.weights import (
    LazyNetwork,
    Precision,
    as_dtype,
    is_hub_id,
    is_path,
    misfits,
    missing,
    reached_hub,
    unreachable,
)

__all__ = ["Caption"]

MAX_TOKENS = 35
"""Length that captions are filled up to for the matching, as in the authors' code."""

REPOSITORY = "the whole repository (config.json, weights, tokenizer)"


class Caption(TextOperator):
    """A caption of the picture; `y` is a list of B sentences.

    Both networks are read on first use, the captioner only if it is needed.

    Args:
        matcher: hub id or folder of a `BlipForImageTextRetrieval`, in the format of transformers, tokenizer included.
        captioner: hub id or folder of a `BlipForConditionalGeneration`, likewise. The default was trained before
            the captions of COCO, and the authors' after; their captions differ slightly.
        captions: a file of captions, line i for image i of the data; then nothing is said by the captioner.
        prompt: how every caption begins; it is taken off.
        beams: width of the beam search, >= 1.
        min_tokens: least length of a caption in tokens, prompt included, >= 0.
        max_tokens: greatest length, likewise, >= `min_tokens`, more than the prompt has and less than the matcher's 35.
        negative_probability: whether the distance is `-P(match)`, as in the authors' code, in place of its logarithm.
            It has next to no gradient where a picture does not match at all.
        antialias: see `prepared`.
        dtype: precision of the networks.

    Raises:
        ValueError: if `beams`, `min_tokens` or `max_tokens` is out of range.
    """

    def __init__(
        self,
        matcher: str = "Salesforce/blip-itm-base-coco",
        captioner: str = "Salesforce/blip-image-captioning-base",
        captions: Path | None = None,
        prompt: str = "a picture of ",
        beams: int = 3,
        min_tokens: int = 5,
        max_tokens: int = 20,
        negative_probability: bool = False,
        antialias: bool = True,
        dtype: Precision = torch.float32,
    ) -> None:
        super().__init__()
        require_whole(self, 1, beams=beams)
        require_whole(self, 0, min_tokens=min_tokens, max_tokens=max_tokens)
        # What the captioner says may lack an end, which the matcher adds.
        if not min_tokens <= max_tokens < MAX_TOKENS:
            raise InvalidValueError(
                f"Caption needs min_tokens <= max_tokens < {MAX_TOKENS}, the length that the matcher reads, but got "
                f"min_tokens={min_tokens} and max_tokens={max_tokens}."
            )
        self.matcher, self.captioner, self.captions = str(matcher), str(captioner), captions
        self.prompt, self.beams, self.min_tokens, self.max_tokens = prompt, beams, min_tokens, max_tokens
        self.negative_probability = negative_probability
        self.antialias = antialias
        self.dtype = as_dtype(dtype)
        self._matching = LazyNetwork(self._read_matcher, matcher)
        self._captioning = LazyNetwork(self._read_captioner, captioner) if captions is None else None
        self._tokenizers: dict[str, Any] = {}

    @cached_property
    def known(self) -> tuple[str, ...]:
        """See `TextOperator.known`."""
        return () if self.captions is None else read_texts(self.captions)

    def require(self, names: Sequence[str]) -> None:
        """See `Operator.require`."""
        if self.captions is not None:
            require_texts(self.known, len(names))

    def load(self, device: torch.device | str = "cpu") -> None:
        """See `Operator.load`.

        Raises:
            FileNotFoundError: if the file of captions is not here.
            ValueError: if a caption of the file is too long, if a folder holds another network or its tokenizer knows
                no words, or if the prompt leaves no token for the caption.
        """
        if self.known:
            self._tokens(self.known)
        super().load(device)

    def forward(self, x_0: Tensor) -> Tensor:
        """What the matching network sees: features `(B, patches + 1, D)`."""
        network: Any = self._matching.ready(x_0)
        features: Tensor = network.vision_model(self._prepared(x_0, network)).last_hidden_state
        return features.to(x_0.dtype)

    @torch.no_grad()
    def measure(self, x_0: Tensor, noise: NoiseSource) -> list[str]:
        """The captioner's sentences, or those of the file."""
        self.load(x_0.device)
        if self._captioning is None:
            return text_of_each(self.known, noise)
        network: Any = self._captioning.ready(x_0)
        tokenizer = self._tokenizer(self.captioner)
        prompts = tokenizer([self.prompt] * len(x_0), return_tensors="pt").input_ids.to(x_0.device)
        said = network.generate(
            self._prepared(x_0, network),
            input_ids=prompts,
            num_beams=self.beams,
            min_length=self.min_tokens,
            max_length=self.max_tokens,
        )
        # The tokenizer writes the prompt its own way, such as in small letters.
        prompt, *sentences = tokenizer.batch_decode([prompts[0], *said], skip_special_tokens=True)
        return [sentence.removeprefix(prompt).strip() for sentence in sentences]

    def distance(self, x_0: Tensor, y: Measurement) -> Tensor:
        """`-log P(match)`, or `-P(match)` where asked for, per image."""
        log_odds = self._log_odds(x_0, y)
        return -log_odds.sigmoid() if self.negative_probability else F.softplus(-log_odds)

    def energy(self, x_0: Tensor, y: Measurement) -> Tensor:
        """`-log P(match)`, per image."""
        return F.softplus(-self._log_odds(x_0, y))

    def _log_odds(self, x_0: Tensor, y: Measurement) -> Tensor:
        network: Any = self._matching.ready(x_0)
        features = self(x_0).to(self.dtype)
        words, there = self._tokens(texts(y, len(x_0)))
        read = network.text_encoder(
            input_ids=words.to(x_0.device),
            attention_mask=there.to(x_0.device),
            encoder_hidden_states=features,
            encoder_attention_mask=torch.ones(features.shape[:2], dtype=torch.long, device=x_0.device),
        )
        # The head gives the logits of "no match" and of "match", from the first token.
        no, yes = network.itm_head(read.last_hidden_state[:, 0]).to(x_0.dtype).unbind(dim=1)
        log_odds: Tensor = yes - no
        return log_odds

    def _read_matcher(self) -> nn.Module:
        from transformers import BlipForImageTextRetrieval  # takes seconds

        self._tokenizer(self.matcher)
        return _read(BlipForImageTextRetrieval, self.matcher).to(self.dtype)

    def _read_captioner(self) -> nn.Module:
        from transformers import BlipForConditionalGeneration

        # The tokenizer ends the prompt, and the captioner takes the end off.
        begun = len(self._tokenizer(self.captioner)(self.prompt).input_ids) - 1
        if self.max_tokens <= begun:
            raise InvalidValueError(
                f"The prompt {self.prompt!r} has {begun} tokens, but a caption may have max_tokens={self.max_tokens}, "
                "prompt included; allow more, or give a shorter prompt."
            )
        return _read(BlipForConditionalGeneration, self.captioner).to(self.dtype)

    def _tokenizer(self, source: str) -> Any:
        if source not in self._tokenizers:
            self._tokenizers[source] = _read_tokenizer(source)
        return self._tokenizers[source]

    def _tokens(self, sentences: Sequence[str]) -> tuple[Tensor, Tensor]:
        # Filled up to a fixed length, so that a caption is read the same beside any other.
        told = self._tokenizer(self.matcher)(list(sentences), padding="max_length", max_length=MAX_TOKENS)
        for sentence, row in zip(sentences, told["input_ids"], strict=True):
            if len(row) > MAX_TOKENS:
                raise InvalidValueError(
                    f"A caption may have {MAX_TOKENS} tokens, but {sentence!r} has {len(row)}; make it shorter."
                )
        return torch.tensor(told["input_ids"]), torch.tensor(told["attention_mask"])

    def _prepared(self, x_0: Tensor, network: Any) -> Tensor:
        side = network.config.vision_config.image_size
        return prepared(x_0, (side, side), CLIP_MEAN, CLIP_STD, self.antialias, self.dtype)


def _read(kind: Any, source: str) -> nn.Module:
    reports = logging.getLogger("transformers.modeling_utils")
    quiet, reports.disabled = reports.disabled, True  # The error below says in a line what is reported in dozens.
    try:
        with reached_hub():
            network, report = kind.from_pretrained(
                _place(source), output_loading_info=True, ignore_mismatched_sizes=True
            )
    except UserError:
        raise
    except Exception as error:  # A damaged file fails in any way it likes.
        raise _unread(kind.__name__, source, error) from error
    finally:
        reports.disabled = quiet
    missed = sorted(report["missing_keys"])
    mismatched = sorted(report["mismatched_keys"])
    other = [f"{key} {tuple(came)} instead of {tuple(needed)}" for key, came, needed in mismatched]
    if missed or other:
        raise InvalidValueError(f"{source} holds another network than a {kind.__name__}: {misfits(missed, [], other)}.")
    filled: nn.Module = network
    return filled


def _read_tokenizer(source: str) -> Any:
    from transformers import AutoTokenizer

    try:
        with reached_hub():
            tokenizer: Any = AutoTokenizer.from_pretrained(_place(source))
    except UserError:
        raise
    except Exception as error:
        raise _unread("tokenizer", source, error) from error
    # Without its files there is a tokenizer all the same; to it every word is the unknown one.
    if set(tokenizer("a", add_special_tokens=False).input_ids) <= set(tokenizer.all_special_ids):
        raise InvalidValueError(
            f"The tokenizer of {source} knows no words: {' or '.join(tokenizer.vocab_files_names.values())} is missing "
            f"there, or empty. Get {REPOSITORY}."
        )
    return tokenizer


def _place(source: str) -> str:
    """A folder that is here, or the name of a repository of the hub."""
    if expanded(source).is_dir():
        return str(expanded(source))
    if is_path(source) and not is_hub_id(source):
        raise missing(source, ())
    return source


def _unread(what: str, source: str, error: Exception) -> UserError:
    reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    if expanded(source).is_dir():
        return InvalidValueError(
            f"The {what} in {source} cannot be read: a file is missing or damaged. Get {REPOSITORY} again. ({reason})"
        )
    return unreachable(f"The {what} of {source}", reason, REPOSITORY, "give its folder; or check the name")
