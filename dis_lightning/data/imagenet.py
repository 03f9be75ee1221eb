"""ImageNet, or any images with one class each."""

from pathlib import Path

from dis_lightning.data.base import ImageSet
from dis_lightning.data.labels import folder_labels, read_labels
from dis_lightning.data.stored import Channels, ImageFile, StoredData, require_folder
from dis_lightning.data.transforms import ImageTransform
from dis_lightning.errors import InvalidValueError
from dis_lightning.files import expanded
from dis_lightning.images.files import find_files, is_above, listed, may_be_picture

__all__ = ["ImageNetData"]


class ImageNetData(StoredData):
    """The first images of a tree `class/image`, class by class, both sorted by name; or of a folder with a label file.

    The label of a class is

    - of a WordNet id (`n01440764`) its place among the 1,000 classes of ILSVRC-2012, as published networks count them,
      whether the tree holds all of them or three;
    - of a number (`0`, `11`) the number;
    - of anything else its position among all class folders. So the tree must hold every class that the prior knows, if
      only as an empty folder; and a prior of the classes of ImageNet is refused.

    The order is that of torchvision's `ImageFolder`: the first 100 images of the validation set, with 50 per class,
    show two classes. Hidden files and folders (the name starts with a dot), and files that are no pictures by their
    names (`LOC_synset_mapping.txt`), are passed over; every other file must be an image.

    Args:
        root: the folder that holds the class folders, such as `val` with `n01440764` and 999 others; with a label file,
            the folder of the images, such as `val` with `ILSVRC2012_val_00000001.JPEG` and 49,999 others.
        num_images: number of images, >= 1; None takes all.
        transform: what makes the images one size; None takes them as they are.
        batch_size: images per batch, >= 1.
        num_workers: processes that read images ahead, for each process that samples.
        channels: 3 for RGB, 1 for grey, of which colour becomes 0.299 R + 0.587 G + 0.114 B (ITU-R 601-2).
        label_file: a line for each image, with its name and its WordNet id or number; or without names, as
            `ILSVRC2012_validation_ground_truth.txt`, which needs the development kit's `meta.mat` beside it. For all
            forms see `dis_lightning.data.labels.read_labels`.
        names: a text file of the images to take, in this order, or the name of a list that ships, such as
            "imagenet_1k_dgp"; None takes them as they are found.
        skip: how many are left out at the beginning, >= 0.
        shard: the part of the images to take, "i/n" with i in 0 .. n - 1, in whole batches; None takes all.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        root: str | Path,
        num_images: int | None = 1000,
        transform: ImageTransform | None = None,
        batch_size: int = 1,
        num_workers: int = 0,
        channels: Channels = 3,
        label_file: str | Path | None = None,
        names: str | Path | None = None,
        skip: int = 0,
        shard: str | None = None,
    ) -> None:
        super().__init__(root, num_images, transform, batch_size, num_workers, channels, names, skip, shard)
        self.label_file = label_file

    def find(self) -> ImageSet:
        """See `ImageData.find`."""
        root = require_folder(self.root)
        if self.label_file is None:
            folders = _class_folders(root)
            labels = folder_labels([folder.name for folder in folders])
            files = [
                ImageFile(folder / name, f"{folder.name}/{name}", label)
                for folder, label in zip(folders, labels.numbers, strict=True)
                for name in find_files(folder)
            ]
        else:
            names = find_files(root)
            labels = read_labels(expanded(self.label_file), names)
            files = [ImageFile(root / name, name, label) for name, label in zip(names, labels.numbers, strict=True)]
        return self.choose(files, root, labels.classes)


def _class_folders(root: Path) -> list[Path]:
    entries = [root / name for name in sorted(entry.name for entry in listed(root)) if not name.startswith(".")]
    for entry in entries:
        if not entry.is_dir() and may_be_picture(entry.name):
            raise InvalidValueError(
                f"{entry} lies outside the class folders; ImageNetData needs a tree class/image, or a file of labels "
                "(--data.label_file). Move, remove or hide it (a name that starts with a dot), or use FolderData for "
                "images without classes."
            )
    return [entry for entry in entries if entry.is_dir() and not is_above(entry, root)]
