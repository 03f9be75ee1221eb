"""What the world has measured: a photograph of few pixels, a picture with a hole, the numbers of an instrument."""

from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from dis_lightning.data.base import ImageData, ImageSet, Item
from dis_lightning.data.folder import FolderData
from dis_lightning.data.stored import require_folder, require_images
from dis_lightning.errors import InvalidValueError, MissingFileError
from dis_lightning.images.files import find_files

__all__ = ["MeasurementArrayData", "MeasurementData"]

ENDING = ".npy"


class MeasurementData(FolderData):
    """The first pictures below a folder, each of which *is* a measurement; nobody knows the clean images.

    The run's operator says what was done to them; it must be one that measures pictures, and its measurement of the
    prior's images must have the shape of these. Nothing is added to them. There are no metrics that need the truth.

    Args:
        root: the folder; what is read in which order is as in `FolderData`.
        num_images: number of images, >= 1; None takes all.
        transform: what makes the pictures one size; None takes them as they are.
        batch_size: images per batch, >= 1.
        num_workers: processes that read images ahead, for each process that samples.
        channels: 3 for RGB, 1 for grey, as `Colorization` measures.
        names: a text file of the images to take, in this order, or the name of a list that ships, such as
            "imagenet_1k_dgp"; None takes them as they are found.
        skip: how many are left out at the beginning, >= 0.
        shard: the part of the images to take, "i/n" with i in 0 .. n - 1, in whole batches; None takes all.

    Raises:
        ValueError: if an argument is out of range.
    """

    def find(self) -> ImageSet:
        """See `ImageData.find`."""
        return _Measured(super().find())


class _Measured(ImageSet):
    truth = False

    def __init__(self, pictures: ImageSet) -> None:
        self._pictures = pictures
        self.shape = pictures.shape

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> Item:
        item = self._pictures[index]
        return {"measurement": item["image"], "index": item["index"], "name": item["name"]}

    @property
    def names(self) -> list[str]:
        return list(self._pictures.names)


class MeasurementArrayData(ImageData):
    """The first `.npy` files below a folder, each of which is a measurement of one image that nobody knows.

    It is in the numbers of the run's operator: what `Operator.measure` gives of one image, without the axis of the
    batch; of a mask for each image, NaN where nothing was seen. Run folders keep measurements so, unless they are
    words: `RUN/measurements` of a whole run gives its samples again. The order is that of `FolderData`.

    Args:
        root: the folder.
        num_images: number of measurements, >= 1; None takes all.
        batch_size: measurements per batch, >= 1.
        num_workers: processes that read ahead, for each process that samples.
        shard: the part to take, "i/n" with i in 0 .. n - 1, in whole batches; None takes all.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        root: str | Path,
        num_images: int | None = None,
        batch_size: int = 1,
        num_workers: int = 0,
        shard: str | None = None,
    ) -> None:
        super().__init__(num_images, batch_size, num_workers, shard)
        self.root = root

    def find(self) -> ImageSet:
        """See `ImageData.find`."""
        folder = require_folder(self.root)
        names = [name for name in find_files(folder, also=(ENDING, ENDING.upper())) if name.lower().endswith(ENDING)]
        if not names and any(folder.glob("[0-9][0-9][0-9][0-9][0-9].txt")):
            raise MissingFileError(
                f"{folder} holds measurements that are words, which are no arrays; give their texts to the operator, "
                "such as --operator.captions FILE, and the images by --data FolderData."
            )
        require_images(len(names), self.num_images, folder, what=f"{ENDING} files")
        return _Arrays(folder, names[: self.num_images])


class _Arrays(ImageSet):
    truth = False

    def __init__(self, folder: Path, names: list[str]) -> None:
        self._folder, self._names = folder, names
        shapes = {name: tuple(self._read(name).shape) for name in names}
        self.shape = shapes[names[0]]
        if other := next((name for name in names if shapes[name] != self.shape), None):
            raise InvalidValueError(
                f"All measurements must have one shape, but {names[0]} in {folder} has {self.shape} and {other} "
                f"{shapes[other]}: name a folder for each shape."
            )

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Item:
        name = self._names[index]
        return {"y": self._read(name), "index": index, "name": name}

    @property
    def names(self) -> list[str]:
        return list(self._names)

    def _read(self, name: str) -> Tensor:
        file = self._folder / name
        try:
            array = np.load(file, allow_pickle=False)
        except (BadZipFile, EOFError, OSError, ValueError) as error:
            raise InvalidValueError(
                f"{file} cannot be read as an array: {error}. Repair, remove or hide it (a name that starts with a "
                "dot)."
            ) from error
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu" or array.size == 0:
            came = f"{array.size} numbers of {array.dtype}" if isinstance(array, np.ndarray) else "several arrays"
            raise InvalidValueError(f"{file} must hold an array of real numbers, but holds {came}.")
        real = array.dtype.kind == "f"
        with np.errstate(over="ignore"):
            numbers = array.astype(np.float32 if real else np.int64)
        if np.isinf(numbers).any() or (not real and (numbers != array).any()):
            raise InvalidValueError(f"{file} holds numbers that are infinite, or too large for {numbers.dtype}.")
        return torch.from_numpy(numbers)
