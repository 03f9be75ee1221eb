import numpy as np
import pytest
import torch

from dis_lightning.errors import UserError
from dis_lightning.rooms import ROOM_CLASSES, RoomsData, render_room
from dis_lightning.rooms.world import SPLITS


@pytest.mark.parametrize(("split", "size", "seed"), [("test", 32, 0), ("train", 24, 3)])
def test_items_are_the_rendered_rooms(split, size, seed):
    data = RoomsData(split=split, size=size, seed=seed, num_images=3)
    data.setup()
    assert data.shape == (3, size, size)
    for index in range(3):
        item, room = data.images[index], render_room(split, index, size, seed)
        truth = torch.from_numpy(room.image / 127.5 - 1).permute(2, 0, 1)
        torch.testing.assert_close(item["image"].double(), truth, rtol=0, atol=2**-23)
        assert np.array_equal(item["segmentation"], room.segmentation)
        assert np.array_equal(item["layout"], room.layout)
        assert (item["caption"], item["label"], item["index"]) == (room.caption, room.label, index)
    assert item["name"] == f"{split}/00002"


def test_a_batch_carries_all_that_is_known(tmp_path):
    data = RoomsData(num_images=5, batch_size=3)
    data.setup()
    first, last = data.predict_dataloader()
    rooms = [render_room("test", index, 32, 0) for index in range(5)]
    assert first["segmentation"].shape == (3, 32, 32)
    assert first["segmentation"].dtype == first["layout"].dtype == first["label"].dtype == torch.int64
    assert [*first["caption"], *last["caption"]] == [room.caption for room in rooms]
    assert [*first["label"].tolist(), *last["label"].tolist()] == [room.label for room in rooms]
    assert last["index"].tolist() == [3, 4]


def test_defaults_are_a_thousand_test_rooms_of_32_pixels():
    data = RoomsData()
    data.setup()
    assert (len(data.images), data.shape) == (1000, (3, 32, 32))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"split": ""}, "needs a split, one of train, val, tune, test, reference, but got ''"),
        ({"split": "tset"}, r"but got 'tset'\. Did you mean `test`\?"),
        ({"split": "Train"}, r"Did you mean `train`\?"),
        ({"split": None}, "needs a split, .* but got None"),
        ({"size": 7}, "RoomsData needs size >= 8, a whole number, but got size=7"),
        ({"size": None}, "a number as `size`, but got none"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": None}, "a number as `seed`, but got none"),
        ({"num_images": None}, "RoomsData needs a number as `num_images`, but got none"),
    ],
)
def test_wrong_arguments_are_refused_at_once(wrong, message):
    with pytest.raises(UserError, match=message):
        RoomsData(**wrong)


def test_every_split_is_another_set_of_rooms():
    pictures = {render_room(split, 0).image.tobytes() for split in SPLITS}
    assert len(pictures) == len(SPLITS)
    for split in SPLITS:
        data = RoomsData(split, num_images=1)
        data.setup()
        assert data.images.names == [f"{split}/00000"]


def test_labels_serve_a_prior_of_the_classes_of_rooms_alone():
    data = RoomsData(num_images=1)
    data.setup()
    data.images.require_labels(len(ROOM_CLASSES))
    with pytest.raises(UserError, match=f"own {len(ROOM_CLASSES)} classes .* prior's 1000"):
        data.images.require_labels(1000)
