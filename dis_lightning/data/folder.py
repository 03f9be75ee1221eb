"""Images in a folder and in the folders below it."""

from pathlib import Path

from dis_lightning.data.base import ImageSet
from dis_lightning.data.stored import Channels, ImageFile, StoredData, StoredImages, require_folder, require_images
from dis_lightning.data.transforms import ImageTransform
from dis_lightning.images.files import find_files

__all__ = ["FolderData", "folder_images"]


class FolderData(StoredData):
    """The first images below a folder, sorted by their paths relative to it.

    The order is that of POSIX paths as strings: `10.png`, `2.png`, `a-b/0.png`, `a/0.png`. Passed over are hidden files
    and folders (the name starts with a dot), and files that are no pictures by their names (`labels.csv`, `LICENSE`);
    every other file must be an image. Links are followed, but not to a folder that they lie in, and no file counts
    twice.

    Args:
        root: the folder.
        num_images: number of images, >= 1; None takes all.
        transform: what makes the images one size; None takes them as they are.
        batch_size: images per batch, >= 1.
        num_workers: processes that read images ahead, for each process that samples.
        channels: 3 for RGB, 1 for grey, of which colour becomes 0.299 R + 0.587 G + 0.114 B (ITU-R 601-2).
        names: a text file of the images to take, in this order, or the name of a list that ships, such as
            "imagenet_1k_dgp"; None takes them as they are found.
        skip: how many are left out at the beginning, >= 0.
        shard: the part of the images to take, "i/n" with i in 0 .. n - 1, in whole batches; None takes all.

    Raises:
        ValueError: if an argument is out of range.
    """

    def find(self) -> ImageSet:
        """See `ImageData.find`."""
        folder = require_folder(self.root)
        return self.choose(_files(folder), folder)


def folder_images(
    root: str | Path,
    transform: ImageTransform | None = None,
    num_images: int | None = None,
    channels: Channels = 3,
    option: str = "--data.root",
) -> ImageSet:
    """The first images below a folder, found and chosen as `FolderData` does it.

    All are decoded once, here, so that a damaged one is found now; kept are only their places.

    Args:
        root: the folder; a leading `~` is the home folder.
        transform: what makes the images one size; None takes them as they are.
        num_images: number of images, >= 1; None takes all.
        channels: 3 for RGB, 1 for grey.
        option: what the user sets to name the folder, for messages.

    Returns:
        The images, read when they are asked for.

    Raises:
        FileNotFoundError: if there is no such folder, or no image in it.
        OSError: if a folder cannot be read.
        ValueError: if there are too few images, if any cannot be read, or if their sizes differ.
        ModuleNotFoundError: if it takes a plug-in to read them.
    """
    folder = require_folder(root, option)
    files = _files(folder)
    require_images(len(files), num_images, folder, option)
    return StoredImages(files[:num_images], transform, channels)


def _files(folder: Path) -> list[ImageFile]:
    return [ImageFile(folder / name, name) for name in find_files(folder)]
