"""Pictures that were measured by the world: a photograph of few pixels, a picture with a hole."""

from dis_lightning.data.base import ImageSet, Item
from dis_lightning.data.folder import FolderData

__all__ = ["MeasurementData"]


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
