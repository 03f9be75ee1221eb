"""Networks of `open_clip`: what they make of pictures and of words, each prepared as when the network was trained.

The tag of published weights says how: mean and standard deviation of the colours, which filter resizes, and whether a
picture that is not square is cut, squashed or filled up. A file of weights does not say it; see `CLIP`.
"""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.transforms.functional import center_crop

from dis_lightning.errors import InvalidValueError, UnreachableError
from dis_lightning.files import expanded
from dis_lightning.images.resizing import Interpolation, interpolated
from dis_lightning.weights.filling import misfits
from dis_lightning.weights.hub import fetch_from_hub, reached_hub
from dis_lightning.weights.json_files import read_json
from dis_lightning.weights.lazy import LazyNetwork
from dis_lightning.weights.precision import Precision, as_dtype
from dis_lightning.weights.sources import did_you_mean, is_path, missing, unreachable

__all__ = ["CLIP"]

FILES = "open_clip_model.safetensors (or open_clip_pytorch_model.bin)"
"""What `open_clip` looks for in a repository of the hub where its tag names no file."""
CONFIG = "open_clip_config.json"
"""What says in a folder or a repository how the network is built and how pictures are prepared."""
PREPARED = ("mean", "std", "interpolation", "resize_mode")
"""What has to be known to prepare a picture; its size follows from the network."""
FOLDER, HUB = "local-dir:", "hf-hub:"


class CLIP(LazyNetwork[nn.Module]):
    """A network of `open_clip`, read on first use, in evaluation mode.

    Args:
        name: an architecture, or "local-dir:" and a folder, or "hf-hub:" and a hub id.
        pretrained: a tag of its published weights, or a file of weights; None where the name is a folder or a hub id,
            which have them.
        preprocessing: how pictures were prepared in training, where neither a tag nor a folder says it, which is for
            files of weights whose architecture was published with several preparations or none: a tag of the
            architecture, or the values of `mean`, `std`, `interpolation` and `resize_mode`.
        dtype: precision of the network.
    """

    def __init__(
        self,
        name: str,
        pretrained: str | Path | None,
        preprocessing: str | Mapping[str, Any] | None = None,
        dtype: Precision = torch.float32,
    ) -> None:
        super().__init__(self._build, f"{name}, {pretrained}")
        self.name = f"{FOLDER}{expanded(name.removeprefix(FOLDER))}" if name.startswith(FOLDER) else name
        self.pretrained = pretrained
        self.preprocessing = preprocessing
        self.dtype = as_dtype(dtype)
        self._tokenizer: Any = None

    def check(self) -> dict[str, Any]:
        """Refuse names that are not known, and weights whose pictures nobody knows how to prepare; nothing is read.

        Returns:
            How pictures are to be prepared, as far as `open_clip` does not know it itself.

        Raises:
            FileNotFoundError: if the weights are a file that is not there, or no tag.
            ValueError: if `open_clip` has no such architecture, or the preparation is not known.
        """
        if self.name.startswith((FOLDER, HUB)):
            return self._given() or self._require(self._config().get("preprocess_cfg"))
        open_clip = _open_clip()
        if self.name not in (names := open_clip.list_models()):
            raise InvalidValueError(
                f"open_clip knows no model {self.name!r}. {did_you_mean(self.name, names, 'model')}"
            )
        tags = self._tags()
        if str(self.pretrained) in tags:
            return self._given()
        if self.pretrained is None or not expanded(self.pretrained).is_file():
            if self.pretrained is not None and is_path(self.pretrained):
                raise missing(self.pretrained, tags, "tag")
            raise InvalidValueError(
                f"{self.pretrained!r} is neither a file nor a tag of {self.name}, which are {', '.join(tags)}."
            )
        published = [_preparation(open_clip.get_pretrained_cfg(self.name, tag)) for tag in tags]
        agreed = published[0] if published and all(other == published[0] for other in published) else None
        return self._given() or self._require(agreed)

    def require(self, texts: Sequence[str]) -> None:
        """Refuse texts that are longer than what the network reads.

        Raises:
            ConnectionError: if the tokenizer is not here and cannot be downloaded.
            ValueError: if one is longer.
        """
        if texts:
            self._tokens(texts)

    def pictures(self, u: Tensor, antialias: bool = True, clamp: bool = False) -> Tensor:
        """Unit vectors of pictures, `(N, D)`.

        Args:
            u: pictures in [0, 1], `(N, 3, H, W)`, of any size.
            antialias: whether to resize as PIL does, by which the networks were trained: the filter widens where a
                picture gets smaller.
            clamp: whether what the filter makes larger than 1 or smaller than 0 is cut off, as PIL does.
        """
        network: Any = self.ready(u)
        wants = network.visual.preprocess_cfg
        v = resized(u.float(), _pair(wants["size"]), wants["interpolation"], wants["resize_mode"], antialias)
        v = v.clamp(0, 1) if clamp else v
        mean, std = (v.new_tensor(wants[key])[:, None, None] for key in ("mean", "std"))
        vectors: Tensor = network.encode_image(((v - mean) / std).to(self.dtype), normalize=True)
        return vectors

    @torch.no_grad()
    def words(self, texts: Sequence[str], device: torch.device | str = "cpu") -> Tensor:
        """Unit vectors of texts, `(N, D)`, on a device.

        Raises:
            ValueError: if one is longer than what the network reads.
        """
        tokens = self._tokens(texts).to(device)
        network: Any = self.ready(tokens)
        vectors: Tensor = network.encode_text(tokens, normalize=True)
        return vectors

    def describe(self) -> str:
        """How pictures are prepared, for people; once the network is read."""
        network: Any = self.load()
        wants = network.visual.preprocess_cfg
        return ", ".join(f"{key} {wants[key]}" for key in ("size", *PREPARED))

    def _given(self) -> dict[str, Any]:
        if not self.preprocessing:
            return {}
        if not isinstance(self.preprocessing, str):
            return self._require(self.preprocessing)
        tags = self._tags()
        if self.preprocessing not in tags:
            raise InvalidValueError(
                f"{self.preprocessing!r} is no tag of {self.name}. {did_you_mean(self.preprocessing, tags, 'tag')}"
            )
        return _preparation(_open_clip().get_pretrained_cfg(self.name, self.preprocessing))

    def _require(self, preparation: Mapping[str, Any] | None) -> dict[str, Any]:
        if preparation is None or not {"mean", "std"} <= set(preparation):
            tags = self._tags()
            which = f"one of its tags, {', '.join(tags)}, or " if tags else ""
            raise InvalidValueError(
                f"Nothing says how {self.name} with the weights {self.pretrained} wants its pictures. Say it as "
                f"`preprocessing`: {which}the values themselves, such as {{mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, "
                "0.5], interpolation: bicubic, resize_mode: squash}."
            )
        return _preparation(preparation)

    def _tags(self) -> list[str]:
        tags: list[str] = _open_clip().list_pretrained_tags_by_model(self.name)
        return tags

    def _config(self) -> dict[str, Any]:
        folder = Path(self.name.removeprefix(FOLDER))
        if self.name.startswith(FOLDER) and not folder.is_dir():
            raise missing(folder / CONFIG, ())
        file = folder / CONFIG if self.name.startswith(FOLDER) else fetch_from_hub(self.name.removeprefix(HUB), CONFIG)
        try:
            return read_json(file)
        except FileNotFoundError as error:
            raise missing(file, ()) from error

    def _build(self) -> nn.Module:
        preparation = self.check()
        pretrained = self.pretrained
        if pretrained is not None and str(pretrained) not in self._tags():
            pretrained = str(expanded(pretrained))
        return _read(self.name, pretrained, preparation).to(self.dtype)

    def _tokens(self, texts: Sequence[str]) -> Tensor:
        tokenizer = self._tokenizer = self._tokenizer or _read_tokenizer(self.name)
        limit = tokenizer.context_length
        # What does not fit is cut off without a word, and an end may be put in the place of the last word that stays.
        tokens: Tensor = tokenizer(list(texts), context_length=limit)
        longer: Tensor = tokenizer(["", *texts], context_length=2 * limit)
        filler, longer = longer[0, -1], longer[1:]
        cut = (longer[:, :limit] != tokens).any(dim=1) | (longer[:, limit:] != filler).any(dim=1)
        if cut.any():
            text = texts[int(cut.nonzero()[0])]
            raise InvalidValueError(
                f"A text for {self.name} may have {limit} tokens, but {text!r} has more; make it shorter."
            )
        return tokens


def resized(
    u: Tensor, size: tuple[int, int], interpolation: Interpolation, mode: str, antialias: bool = True
) -> Tensor:
    """Pictures in the size that a network wants, as `open_clip` makes them.

    Args:
        u: pictures in [0, 1], `(N, 3, H, W)`.
        size: height and width that the network wants.
        interpolation: which filter, "bicubic" or "bilinear".
        mode: what becomes of another aspect ratio: "shortest" cuts the longer sides, "squash" distorts, "longest" fills
            up with black.
        antialias: whether the filter widens where a picture gets smaller.

    Raises:
        ValueError: if filter or mode is none of these.
    """
    if interpolation not in ("bicubic", "bilinear") or mode not in ("shortest", "squash", "longest"):
        raise InvalidValueError(
            "Pictures are resized by the filter bicubic or bilinear and the mode shortest, squash or longest, but got "
            f"interpolation={interpolation} and resize_mode={mode}."
        )
    ratios = [wanted / side for wanted, side in zip(size, u.shape[-2:], strict=True)]
    ratio = max(ratios) if mode == "shortest" else min(ratios)
    # As torchvision does it, which resizes for squares, and as open_clip itself.
    rounded = math.floor if mode == "shortest" and size[0] == size[1] else round
    sides = size if mode == "squash" else [rounded(side * ratio + 1e-6) for side in u.shape[-2:]]
    if tuple(sides) != tuple(u.shape[-2:]):
        u = interpolated(u, tuple(sides), interpolation, antialias)
    cut: Tensor = center_crop(u, list(size))
    return cut


def _preparation(card: Mapping[str, Any]) -> dict[str, Any]:
    return {key: card[key] for key in PREPARED if key in card}


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    return height, width


def _open_clip() -> Any:
    import open_clip  # takes seconds

    return open_clip


def _read(name: str, pretrained: str | Path | None, preparation: dict[str, Any]) -> nn.Module:
    """Read a network, on the CPU and in float32.

    Raises:
        ConnectionError: if published weights are not here and cannot be downloaded.
        ValueError: if the weights are damaged, or those of another network.
    """
    open_clip = _open_clip()
    card = open_clip.get_pretrained_cfg(name, pretrained) if isinstance(pretrained, str) else {}
    with reached_hub():
        try:
            if card:
                open_clip.download_pretrained(card)  # looked for before a large network is built
        except (OSError, RuntimeError) as error:
            raise _not_here(name, str(pretrained), card, error) from error
        try:
            network: nn.Module = open_clip.create_model(
                name,
                pretrained and str(pretrained),
                require_pretrained=True,
                force_preprocess_cfg=preparation or None,
            )
        except Exception as error:  # A damaged pickle fails in any way it likes.
            reason, _, report = str(error).partition("\n")
            if "loading state_dict" in reason:
                raise InvalidValueError(
                    f"The weights {pretrained or 'in the folder'} are those of another network than {name} of "
                    f"open_clip: {_misfits(report)}."
                ) from error
            raise UnreachableError(
                f"The network {name} of open_clip with the weights {pretrained!r} could not be read "
                f"({type(error).__name__}: {reason}). Check the names (open_clip.list_pretrained() has all), and that "
                "the files are whole."
            ) from error
    return network


def _not_here(name: str, pretrained: str, card: Mapping[str, Any], error: Exception) -> UnreachableError:
    # What follows the last slash is a file, or nothing.
    repository, _, file = str(card.get("hf_hub")).rpartition("/")
    get = f"{file or FILES} of https://huggingface.co/{repository}" if repository else str(card.get("url"))
    return unreachable(
        f"The weights {pretrained!r} of CLIP {name}", type(error).__name__, get, "give its path as `pretrained`"
    )


def _read_tokenizer(name: str) -> Any:
    with reached_hub():
        try:
            return _open_clip().get_tokenizer(name)
        except Exception as error:  # A damaged file fails in any way it likes.
            reason, card = str(error).partition("\n")[0], _open_clip().get_model_config(name) or {}
            repository = card.get("text_cfg", {}).get("hf_tokenizer_name", name)
            get = f"the whole repository https://huggingface.co/{repository}"
            then = f"give `{FOLDER}` and its folder as the name"
            raise unreachable(f"The tokenizer of {name}", reason, get, then) from error


def _misfits(report: str) -> str:
    """What PyTorch reports on keys, in short."""
    missed, strange = (
        [key for line in re.findall(rf"{kind} key\(s\).*", report) for key in re.findall(r'"(.+?)"', line)]
        for kind in ("Missing", "Unexpected")
    )
    shapes = r"size mismatch for (\S+): .*?Size\(\[(.*?)\]\).*?Size\(\[(.*?)\]\)"
    other = [f"{key} ({came}) instead of ({needed})" for key, came, needed in re.findall(shapes, report)]
    return misfits(missed, strange, other)
