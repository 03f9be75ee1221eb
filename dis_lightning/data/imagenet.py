"""ImageNet, or any tree with one folder per class."""

import os
from pathlib import Path

from dis_lightning.data.base import ImageSet
from dis_lightning.data.stored import ImageFile, StoredData, StoredImages, find_files, require_folder, require_images
from dis_lightning.errors import InvalidValueError

__all__ = ["ImageNetData"]


class ImageNetData(StoredData):
    """The first images of a tree `class/image`, class by class, both sorted by name.

    An image's label is the position of its class among all class folders, so the tree must hold every class that the
    network knows, if only as an empty folder. The order is that of torchvision's `ImageFolder`: the first 100 images of
    the validation set, with 50 per class, show two classes. Hidden files and folders (the name starts with a dot) are
    passed over; every other file must be an image.

    Args:
        root: the folder that holds the class folders, such as `val` with `n01440764` and 999 others.
        num_images: number of images, >= 1.
        transform: what makes the images one size; None takes them as they are.
        batch_size: images per batch, >= 1.
        num_workers: processes that read images ahead, for each process that samples.

    Raises:
        ValueError: if an argument is out of range.
    """

    def find(self) -> ImageSet:
        """See `ImageData.find`."""
        root = require_folder(self.root)
        files = [
            ImageFile(folder / name, f"{folder.name}/{name}", label)
            for label, folder in enumerate(_class_folders(root))
            for name in find_files(folder)
        ]
        require_images(len(files), self.num_images, root)
        return StoredImages(files[: self.num_images], self.transform)


def _class_folders(root: Path) -> list[Path]:
    names = sorted(name for name in os.listdir(root) if not name.startswith("."))
    for name in names:
        if not (root / name).is_dir():
            raise InvalidValueError(
                f"{root / name} lies outside the class folders; ImageNetData needs a tree class/image. Move, remove or "
                "hide it (a name that starts with a dot), or use FolderData for images without classes."
            )
    return [root / name for name in names]
