"""The embedded world: endless simple bedrooms, labelled, and the networks that were trained on them."""

from dis_lightning.rooms.data import RoomItem, RoomsData
from dis_lightning.rooms.export import write_folder, write_lmdb
from dis_lightning.rooms.operators import RoomsCaption, RoomsClass, RoomsLayout, RoomsSegmentation
from dis_lightning.rooms.prior import rooms_gaussian, rooms_gaussian_consistency
from dis_lightning.rooms.trained import (
    rooms_captioner_a,
    rooms_captioner_b,
    rooms_consistency,
    rooms_edm,
    rooms_reader_a,
    rooms_reader_b,
)
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
    "RoomItem",
    "RoomsCaption",
    "RoomsClass",
    "RoomsData",
    "RoomsLayout",
    "RoomsSegmentation",
    "render_room",
    "rooms_captioner_a",
    "rooms_captioner_b",
    "rooms_consistency",
    "rooms_edm",
    "rooms_gaussian",
    "rooms_gaussian_consistency",
    "rooms_reader_a",
    "rooms_reader_b",
    "write_folder",
    "write_lmdb",
]
