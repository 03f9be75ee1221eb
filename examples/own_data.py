"""A data set of your own, whole: copy the file to the folder that you work in, and name its class.

dis-lightning predict --config quickstart --data own_data.RampData --data.size 32 --writer.folder outputs/ramps

Pictures in files need no class: see `--data.help FolderData`.
"""

import torch

from dis_lightning.data import ImageData, ImageSet, Item


class RampData(ImageData):
    """Pictures that grow brighter along a line, each along another.

    What the images are says `find`; batches, shards and several processes are taken care of.

    Args:
        size: height and width.
        num_images: number of images.
        batch_size: images per batch.
        num_workers: processes that read images ahead.
        shard: which part of the images is taken, such as "0/2".
    """

    def __init__(
        self,
        size: int = 32,
        num_images: int | None = 8,
        batch_size: int = 1,
        num_workers: int = 0,
        shard: str | None = None,
    ) -> None:
        super().__init__(num_images, batch_size, num_workers, shard)
        self.size = size

    def find(self) -> ImageSet:
        """All images of the run, in their order; what is wrong with one is best said here."""
        return Ramps(self.size, self.num_images or 8)


class Ramps(ImageSet):
    """The pictures themselves: each is made, or read, when it is asked for."""

    def __init__(self, size: int, number: int) -> None:
        self.shape = (3, size, size)
        self.number = number

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: int) -> Item:
        """One image in [-1, 1], its place and its name; a `label` too, for priors of several classes."""
        angle = torch.tensor(2.4 * index)  # in radians: no two are alike
        place = torch.linspace(-1, 1, self.shape[-1])
        ramp = (angle.cos() * place + angle.sin() * place[:, None]) / 2**0.5
        return {"image": ramp.repeat(3, 1, 1), "index": index, "name": f"ramp {index}"}
