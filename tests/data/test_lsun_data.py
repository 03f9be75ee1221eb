import os
import pickle
import time
from io import BytesIO
from pathlib import Path

import lmdb
import numpy as np
import pytest
import torch
from PIL import Image

from dis_lightning.data import LSUNData, ShorterSideBox

KEYS = ["ff" * 20, "0a" * 20, "a0" * 20, "00" * 20]


def encode(pixels: np.ndarray, form: str) -> bytes:
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, format=form)
    return stream.getvalue()


def write(root: Path, values: dict[str, bytes]) -> None:
    root.mkdir()
    with lmdb.open(str(root), map_size=2**24) as environment, environment.begin(write=True) as transaction:
        for key, value in values.items():
            transaction.put(key.encode(), value)
    (root / "lock.mdb").unlink()  # The published databases have none.


@pytest.fixture
def root(tmp_path, random_pixels) -> Path:
    write(tmp_path / "bedroom_val_lmdb", {key: encode(random_pixels(40, 30), "JPEG") for key in KEYS})
    return tmp_path / "bedroom_val_lmdb"


def test_order_is_that_of_the_keys_not_that_of_writing(root):
    data = LSUNData(root, num_images=4)
    data.setup()
    assert [data.images[index]["name"] for index in range(4)] == sorted(KEYS)
    data = LSUNData(str(root), num_images=2)
    data.setup()
    assert [data.images[index]["name"] for index in range(2)] == sorted(KEYS)[:2]
    assert len(data.images) == 2
    assert data.shape == (3, 30, 40)


@pytest.mark.parametrize("form", ["JPEG", "WEBP", "PNG"])
def test_values_decode_as_pillow_decodes_them(tmp_path, random_pixels, form):
    value = encode(random_pixels(50, 40), form)
    write(tmp_path / "lmdb", {KEYS[0]: value})
    data = LSUNData(tmp_path / "lmdb", num_images=1)
    data.setup()
    truth = np.asarray(Image.open(BytesIO(value)).convert("RGB"), dtype=np.float64) / 127.5 - 1
    image = data.images[0]["image"]
    torch.testing.assert_close(image.permute(1, 2, 0).double(), torch.from_numpy(truth), rtol=0, atol=2**-23)


def test_a_transform_applies(root):
    data = LSUNData(root, num_images=4, transform=ShorterSideBox(16))
    data.setup()
    assert data.shape == (3, 16, 16)
    assert data.images[3]["image"].shape == (3, 16, 16)


def test_reading_writes_nothing_keeps_nothing_open_and_can_be_sent(root):
    data = LSUNData(root, num_images=4)
    data.setup()
    sent = pickle.loads(pickle.dumps(data.images))
    assert torch.equal(sent[2]["image"], data.images[2]["image"])
    assert os.listdir(root) == ["data.mdb"]
    with lmdb.open(str(root), readonly=True, lock=False):  # LMDB refuses a second opening in one process.
        pass


# On one core torch finds two workers too many.
@pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker processes:UserWarning")
@pytest.mark.parametrize("num_workers", [0, 2])
def test_workers_read_the_same(root, num_workers):
    data = LSUNData(root, num_images=4, batch_size=3, num_workers=num_workers)
    data.setup()
    batches = list(data.predict_dataloader())
    assert [batch["name"] for batch in batches] == [sorted(KEYS)[:3], sorted(KEYS)[3:]]
    assert torch.equal(batches[1]["image"][0], data.images[3]["image"])


def test_threads_that_check_the_images_do_not_open_the_database_twice(root, monkeypatch):
    opened = lmdb.open

    def open_slowly(*arguments, **options):
        environment = opened(*arguments, **options)
        time.sleep(0.01)  # Long enough for the other threads to come.
        return environment

    monkeypatch.setattr(lmdb, "open", open_slowly)
    LSUNData(root, num_images=4).setup()


def test_a_missing_database_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="bedroom_val_lmdb does not exist"):
        LSUNData(tmp_path / "bedroom_val_lmdb").setup()
    with pytest.raises(FileNotFoundError, match=r"holds no data\.mdb; .*bedroom_val_lmdb"):
        LSUNData(tmp_path).setup()


def test_an_empty_database_and_too_few_images_are_named(tmp_path, root):
    write(tmp_path / "empty", {})
    with pytest.raises(FileNotFoundError, match="empty holds no images"):
        LSUNData(tmp_path / "empty").setup()
    with pytest.raises(ValueError, match=r"holds too few images, 4, but num_images is 300; set --data\.num_images=4"):
        LSUNData(root, num_images=300).setup()


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "data.mdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(ValueError, match="cannot be read as an LMDB"):
        LSUNData(tmp_path, num_images=1).setup()


def test_a_database_that_was_cut_off_is_refused_before_it_kills_the_process(tmp_path, random_pixels):
    write(tmp_path / "lmdb", {key: encode(random_pixels(100, 100), "PNG") for key in KEYS})
    file = tmp_path / "lmdb" / "data.mdb"
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(ValueError, match=r"data\.mdb seems cut off: it has \d+ bytes of \d+"):
        LSUNData(tmp_path / "lmdb", num_images=1).setup()


def test_a_value_that_is_no_image_is_named_by_its_key(tmp_path, random_pixels):
    value = encode(random_pixels(60, 60), "JPEG")
    write(tmp_path / "lmdb", {KEYS[1]: value, KEYS[2]: value[: len(value) // 2], KEYS[0]: value})
    with pytest.raises(ValueError, match=rf"lmdb, key {KEYS[2]}, cannot be read as an image"):
        LSUNData(tmp_path / "lmdb", num_images=3).setup()


def test_sizes_that_differ_need_a_transform(tmp_path, random_pixels):
    values = {KEYS[1]: encode(random_pixels(8, 8), "PNG"), KEYS[0]: encode(random_pixels(8, 9), "PNG")}
    write(tmp_path / "lmdb", values)
    with pytest.raises(
        ValueError, match=rf"key {KEYS[1]}, is 8 x 8 and .*key {KEYS[0]}, is 8 x 9; set --data.transform"
    ):
        LSUNData(tmp_path / "lmdb", num_images=2).setup()
