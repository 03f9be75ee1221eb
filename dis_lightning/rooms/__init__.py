"""The embedded world: endless simple bedrooms with class, caption, segmentation and layout."""

from dis_lightning.rooms.export import write_folder, write_lmdb
from dis_lightning.rooms.prior import rooms_gaussian
from dis_lightning.rooms.world import (
    LAYOUT_CLASSES,
    ROOM_CLASSES,
    SEGMENTATION_CLASSES,
    Room,
    render_room,
)

__all__ = [
    "LAYOUT_CLASSES",
    "ROOM_CLASSES",
    "SEGMENTATION_CLASSES",
    "Room",
    "render_room",
    "rooms_gaussian",
    "write_folder",
    "write_lmdb",
]
