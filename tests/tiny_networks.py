"""The networks of other packages: of the same classes, but tiny, with random weights, in folders as they are given."""

import atexit
import functools
import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

__all__ = ["WORDS", "blip_captioner", "blip_matcher", "classifier_file", "clip_folder", "squashing_clip"]

WORDS = ["a", "picture", "of", "the", "cat", "dog", "bed", "red", "blue", "on", "and", "in", "room", "sleeping"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@functools.cache
def blip_matcher() -> Path:
    """A folder of a `BlipForImageTextRetrieval` for images of 32 pixels, with a tokenizer of the words above."""
    from transformers import BlipForImageTextRetrieval

    return _blip(BlipForImageTextRetrieval, seed=1)


@functools.cache
def blip_captioner() -> Path:
    """A folder of a `BlipForConditionalGeneration`, likewise."""
    from transformers import BlipForConditionalGeneration

    return _blip(BlipForConditionalGeneration, seed=2)


@functools.cache
def clip_folder() -> Path:
    """A folder of an `open_clip` network for images of 32 pixels; its name is `local-dir:` and the folder."""
    import open_clip

    folder, tower = _folder(), {"layers": 1, "width": 16}
    model = {
        "embed_dim": 16,
        "vision_cfg": tower | {"image_size": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": tower | {"context_length": 77, "vocab_size": 49408, "heads": 2},
    }
    colours = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3]}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model, "preprocess_cfg": colours}))
    network = _wide_awake(open_clip.CLIP(**model), seed=3)
    torch.save(network.state_dict(), folder / "open_clip_pytorch_model.bin")
    return folder


@functools.cache
def squashing_clip() -> Path:
    """The same network, prepared for as SigLIP: it squashes pictures, and words end as they are filled up.

    It reads eight tokens; its words are those above.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    folder = _folder()
    config = json.loads((clip_folder() / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"] |= {"context_length": 8, "hf_tokenizer_name": "here"}
    config["preprocess_cfg"] |= {"interpolation": "bilinear", "resize_mode": "squash"}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    weights = torch.load(clip_folder() / "open_clip_pytorch_model.bin")
    weights["positional_embedding"] = weights["positional_embedding"][:8].clone()
    torch.save(weights, folder / "open_clip_pytorch_model.bin")
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(["</s>", "<unk>", *WORDS])}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 0)])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="</s>", eos_token="</s>").save_pretrained(folder)
    return folder


@functools.cache
def classifier_file() -> Path:
    """A file of weights for torchvision's "squeezenet1_1", the smallest of its classifiers."""
    from torchvision import models

    path = _folder() / "squeezenet.pt"
    torch.save(_wide_awake(models.squeezenet1_1(weights=None), seed=4, size=0.1).state_dict(), path)
    return path


def _blip(kind: Any, seed: int) -> Path:
    from transformers import BertTokenizerFast, BlipConfig

    vocabulary = SPECIAL + WORDS
    tower = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 4}
    words = {
        "vocab_size": len(vocabulary)
        + 2,  # as in the published ones, what starts a caption is no word of the tokenizer
        "encoder_hidden_size": 32,
        "projection_dim": 32,
        "max_position_embeddings": 64,
        "pad_token_id": vocabulary.index("[PAD]"),
        "bos_token_id": len(vocabulary),
        "eos_token_id": vocabulary.index("[SEP]"),
        "sep_token_id": vocabulary.index("[SEP]"),
    }
    sight = {"image_size": 32, "patch_size": 8}
    config = BlipConfig(
        text_config=tower | words, vision_config=tower | sight, projection_dim=32, image_text_hidden_size=32
    )
    folder = _folder()
    _wide_awake(kind(config), seed).save_pretrained(folder)
    tokenizer = BertTokenizerFast(vocab={word: number for number, word in enumerate(vocabulary)})
    assert len(tokenizer) == len(vocabulary)
    tokenizer.save_pretrained(folder)
    return folder


def _wide_awake(network: nn.Module, seed: int, size: float = 0.3) -> nn.Module:
    """Weights so large that the network tells images apart; the usual first ones hardly do."""
    random = torch.Generator().manual_seed(seed)
    for weight in network.parameters():
        if weight.ndim > 1:
            nn.init.normal_(weight, std=size, generator=random)
    return network


def _folder() -> Path:
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return Path(folder.name)
