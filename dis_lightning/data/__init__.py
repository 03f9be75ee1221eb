"""DataModules: the first N images of a data set in a defined order."""

from dis_lightning.data.base import ImageData, ImageSet, Item
from dis_lightning.data.folder import FolderData, folder_images
from dis_lightning.data.imagenet import ImageNetData
from dis_lightning.data.lsun import LSUNData
from dis_lightning.data.measurements import MeasurementArrayData, MeasurementData
from dis_lightning.data.synsets import imagenet_classes
from dis_lightning.data.transforms import (
    CenterCropLanczos,
    ExactResize,
    ImageTransform,
    ShorterSideBicubic,
    ShorterSideBilinear,
    ShorterSideBox,
)

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
    "MeasurementArrayData",
    "MeasurementData",
    "ShorterSideBicubic",
    "ShorterSideBilinear",
    "ShorterSideBox",
    "folder_images",
    "imagenet_classes",
]
