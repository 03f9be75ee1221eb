"""Images in a folder and in the folders below it."""

from dis_lightning.data.base import ImageSet
from dis_lightning.data.stored import ImageFile, StoredData, StoredImages, find_files, require_folder, require_images

__all__ = ["FolderData"]


class FolderData(StoredData):
    """The first images below a folder, sorted by their paths relative to it.

    The order is that of POSIX paths as strings: `10.png`, `2.png`, `a-b/0.png`, `a/0.png`. Hidden files and folders
    (the name starts with a dot) are passed over; every other file must be an image.

    Args:
        root: the folder.
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
        names = find_files(root)
        require_images(len(names), self.num_images, root)
        files = [ImageFile(root / name, name) for name in names[: self.num_images]]
        return StoredImages(files, self.transform)
