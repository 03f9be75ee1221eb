"""DataModules: the first N images of a data set in a defined order."""

from dis_lightning.data.base import ImageData, ImageSet, Item
from dis_lightning.data.folder import FolderData
from dis_lightning.data.imagenet import ImageNetData
from dis_lightning.data.lsun import LSUNData
from dis_lightning.data.transforms import (
    CenterCropLanczos,
    ExactResize,
    ImageTransform,
    ShorterSideBilinear,
    ShorterSideBox,
)
from dis_lightning.renamed import elsewhere

__all__ = [
    "CenterCropLanczos",
    "ExactResize",
    "FolderData",
    "ImageData",
    "ImageNetData",
    "ImageSet",
    "ImageTransform",
    "Item",
    "LSUNData",
    "ShorterSideBilinear",
    "ShorterSideBox",
]

__getattr__ = elsewhere(__name__)
