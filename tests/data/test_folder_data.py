import pickle
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dis_lightning.data import FolderData, ShorterSideBilinear, folder_images
from dis_lightning.errors import (
    InvalidTypeError,
    InvalidValueError,
    MissingPackageError,
    UnusablePathError,
    UserError,
)

TREE = ["10.png", "2.png", "B.png", "a-b/0.png", "a.png", "a/0.png", "a/b/c/1.png", "a/z.png", "b.png", "é.png"]


def test_order_is_that_of_relative_paths_as_strings(tmp_path, save_pictures):
    pixels = save_pictures(tmp_path, *reversed(TREE))
    data = FolderData(tmp_path, num_images=len(TREE))
    data.setup()
    items = [data.images[index] for index in range(len(data.images))]
    assert [item["name"] for item in items] == TREE
    assert [item["index"] for item in items] == list(range(len(TREE)))
    for item in items:
        truth = torch.from_numpy(pixels[item["name"]] / 127.5 - 1).permute(2, 0, 1).float()
        torch.testing.assert_close(item["image"], truth, rtol=0, atol=2**-23)


def test_the_first_images_are_taken_and_have_no_label(tmp_path, save_pictures):
    save_pictures(tmp_path, *TREE)
    data = FolderData(str(tmp_path), num_images=3)
    data.setup("predict")
    assert len(data.images) == 3
    assert [data.images[index]["name"] for index in range(3)] == TREE[:3]
    assert "label" not in data.images[0]
    assert data.shape == (3, 4, 6)


def test_hidden_files_and_folders_are_passed_over(tmp_path, save_pictures):
    save_pictures(tmp_path / ".hidden root", "a.png", ".trash/b.png")
    (tmp_path / ".hidden root" / ".DS_Store").write_text("not an image")
    data = FolderData(tmp_path / ".hidden root", num_images=1)
    data.setup()
    assert data.images[0]["name"] == "a.png"
    with pytest.raises(ValueError, match=r"holds too few images, 1, but num_images is 2; set --data\.num_images=1"):
        FolderData(tmp_path / ".hidden root", num_images=2).setup()


def test_folders_behind_links_are_read(tmp_path, save_pictures):
    pixels = save_pictures(tmp_path / "elsewhere", "0.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    data = FolderData(tmp_path / "data", num_images=1)
    data.setup()
    assert data.images[0]["name"] == "link/0.png"
    assert data.images[0]["image"][0, 0, 0] == pytest.approx(pixels["0.png"][0, 0, 0] / 127.5 - 1, abs=1e-6)


def test_a_leading_tilde_is_the_home_folder(tmp_path, save_pictures, monkeypatch):
    save_pictures(tmp_path, "images/a.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    data = FolderData("~/images", num_images=1)
    data.setup()
    assert data.images[0]["name"] == "a.png"


def test_setup_again_gives_the_same_and_sees_what_changed(tmp_path, save_pictures):
    save_pictures(tmp_path, "b.png")
    data = FolderData(tmp_path, num_images=1)
    data.setup()
    data.setup()
    assert data.images[0]["name"] == "b.png"
    save_pictures(tmp_path, "a.png")
    data.setup()
    assert data.images[0]["name"] == "a.png"


def test_a_transform_makes_one_size(tmp_path, save_pictures):
    save_pictures(tmp_path, "a.png", width=20, height=30)
    pixels = save_pictures(tmp_path, "b.png", width=17, height=9)
    data = FolderData(tmp_path, num_images=2, transform=ShorterSideBilinear(8))
    data.setup()
    assert data.shape == (3, 8, 8)
    truth = np.asarray(ShorterSideBilinear(8)(Image.fromarray(pixels["b.png"]))) / 127.5 - 1
    torch.testing.assert_close(data.images[1]["image"].permute(1, 2, 0).double(), torch.from_numpy(truth))


def test_only_places_are_kept_in_memory_and_sent_to_workers(tmp_path, save_pictures):
    save_pictures(tmp_path, "a.png", "b.png", width=200, height=200)
    data = FolderData(tmp_path, num_images=2)
    data.setup()
    sent = pickle.dumps(data.images)
    assert len(sent) < 2000  # One picture alone has 120,000 bytes.
    assert torch.equal(pickle.loads(sent)[1]["image"], data.images[1]["image"])


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist; set --data\.root"):
        FolderData(tmp_path / "nowhere").setup()


def test_a_file_in_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "images.zip").touch()
    with pytest.raises(UnusablePathError, match=r"images\.zip is a file; set --data\.root"):
        FolderData(tmp_path / "images.zip").setup()


def test_an_empty_folder_is_named(tmp_path):
    (tmp_path / "empty" / "below").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="empty holds no images"):
        FolderData(tmp_path / "empty").setup()


def test_too_few_images_are_counted_and_the_remedy_is_named(tmp_path, save_pictures):
    save_pictures(tmp_path, *TREE)
    with pytest.raises(
        ValueError, match=r"holds too few images, 10, but num_images is 1000; set --data\.num_images=10"
    ):
        FolderData(tmp_path).setup()


def spoil(path: Path, how: str) -> None:
    content = path.read_bytes()
    spoiled = {"text": b"index,caption\n", "empty": b"", "cut off": content[: len(content) // 2]}
    path.write_bytes(spoiled[how])


@pytest.mark.parametrize("how", ["text", "empty", "cut off"])
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_file_that_is_no_image_is_named_before_anything_is_sampled(tmp_path, save_pictures, random_pixels, how, form):
    save_pictures(tmp_path, "0.png", "1.png", "4.png", width=60, height=50)
    for name in ("3.bad", "2.bad"):
        Image.fromarray(random_pixels(60, 50)).save(tmp_path / name, format=form)
        spoil(tmp_path / name, how)
    with pytest.raises(
        ValueError, match=r"^2 of 5 images cannot be read: \S*2\.bad: .+; \S*3\.bad: .+\. Repair, remove"
    ):
        FolderData(tmp_path, num_images=5).setup()
    with pytest.raises(ValueError, match=r"2\.bad cannot be read as an image: .+\. Repair, remove or hide it"):
        FolderData(tmp_path, num_images=3).setup()
    FolderData(tmp_path, num_images=2).setup()  # What comes after the first images does not matter.


def test_of_many_damaged_images_the_first_are_named_and_all_counted(tmp_path, save_pictures):
    save_pictures(tmp_path, "a.png")
    for index in range(7):
        (tmp_path / f"{index}.png").write_text("no image")
    with pytest.raises(
        InvalidValueError, match=r"^7 of 8 images .*0\.png: .*1\.png: .*2\.png: .*; and 4 more\. Repair"
    ) as error:
        FolderData(tmp_path, num_images=None).setup()
    assert "3.png" not in str(error.value)


def test_images_that_need_a_plugin_say_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for name in ("IMG_1.HEIC", "IMG_2.HEIC"):
        (tmp_path / name).write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    with pytest.raises(MissingPackageError, match=r"IMG_1\.HEIC cannot be read as an image: .*'dis-lightning\[heic\]'"):
        FolderData(tmp_path, num_images=1).setup()
    with pytest.raises(MissingPackageError, match=r"2 of 2 images .*IMG_2\.HEIC: .*'dis-lightning\[heic\]'"):
        FolderData(tmp_path, num_images=None).setup()


def test_an_error_of_a_transform_is_not_taken_for_a_damaged_image(tmp_path, save_pictures):
    save_pictures(tmp_path, "a.png")

    class Wrong(ShorterSideBilinear):
        def __call__(self, image: Image.Image) -> Image.Image:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        FolderData(tmp_path, num_images=1, transform=Wrong(4)).setup()


def test_an_image_that_went_away_after_the_check_is_named(tmp_path, save_pictures):
    save_pictures(tmp_path, "a.png")
    data = FolderData(tmp_path, num_images=1)
    data.setup()
    (tmp_path / "a.png").unlink()
    with pytest.raises(InvalidValueError, match=r"a\.png cannot be read as an image: .*No such file"):
        data.images[0]


def test_null_takes_all_images(tmp_path, save_pictures):
    save_pictures(tmp_path, *TREE)
    data = FolderData(tmp_path, num_images=None, batch_size=4)
    data.setup()
    assert data.images.names == TREE
    assert [len(batch["name"]) for batch in data.predict_dataloader()] == [4, 4, 2]


def test_what_lies_beside_the_images_is_passed_over(tmp_path, save_pictures):
    save_pictures(tmp_path, "a.png", "b")
    for name in ("labels.csv", "LICENSE.txt", "README.md", "Thumbs.db", "LICENSE"):
        (tmp_path / name).write_text("no image")
    data = FolderData(tmp_path, num_images=None)
    data.setup()
    assert data.images.names == ["a.png", "b"]
    (tmp_path / "b").write_text("no image")  # without an ending it should be one
    with pytest.raises(InvalidValueError, match=r"/b cannot be read as an image"):
        data.setup()


def test_a_folder_that_links_to_itself_counts_each_image_once(tmp_path, save_pictures):
    save_pictures(tmp_path, "a.png", "below/b.png")
    (tmp_path / "below" / "up").symlink_to(tmp_path, target_is_directory=True)
    data = FolderData(tmp_path, num_images=None)
    data.setup()
    assert data.images.names == ["a.png", "below/b.png"]


def test_grey_images_have_one_channel_where_one_is_asked_for(tmp_path, save_pictures):
    (pixels,) = save_pictures(tmp_path, "a.png").values()
    grey = pixels[..., :1]
    Image.fromarray(grey[..., 0]).save(tmp_path / "b.png")
    for channels in (3, 1):
        data = FolderData(tmp_path, num_images=2, channels=channels)
        data.setup()
        assert data.shape == data.images[0]["image"].shape == (channels, 4, 6)
        stored = torch.from_numpy(grey / 127.5 - 1).permute(2, 0, 1).float()
        torch.testing.assert_close(data.images[1]["image"], stored.expand(channels, 4, 6), rtol=0, atol=2**-23)
    luma = torch.from_numpy(pixels @ np.array([0.299, 0.587, 0.114]) / 127.5 - 1)
    torch.testing.assert_close(data.images[0]["image"][0].double(), luma, rtol=0, atol=1 / 127.5)


def test_a_folder_without_a_data_set_is_read_alike(tmp_path, save_pictures):
    save_pictures(tmp_path, "a.png", "b/c.png", ".ipynb_checkpoints/a.png", width=9, height=7)
    Image.fromarray(np.full((9, 9), 40000, dtype=np.uint16)).save(tmp_path / "grey.png")
    data = FolderData(tmp_path, num_images=None, transform=ShorterSideBilinear(5))
    data.setup()
    images = folder_images(tmp_path, ShorterSideBilinear(5))
    assert images.names == data.images.names == ["a.png", "b/c.png", "grey.png"]
    for index in range(3):
        assert torch.equal(images[index]["image"], data.images[index]["image"])
    assert images[2]["image"].unique() == pytest.approx(round(40000 / 257) / 127.5 - 1)
    assert folder_images(tmp_path, ShorterSideBilinear(5), num_images=2).names == ["a.png", "b/c.png"]


def test_a_folder_without_a_data_set_is_checked_and_named_by_its_own_option(tmp_path, save_pictures):
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist; set --metric\.reference\.root"):
        folder_images(tmp_path / "nowhere", option="--metric.reference.root")
    with pytest.raises(FileNotFoundError, match=r"holds no images; set --metric\.reference\.root"):
        folder_images(tmp_path, option="--metric.reference.root")
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(InvalidValueError, match=r"a\.png cannot be read as an image"):
        folder_images(tmp_path)


def test_a_link_to_nothing_is_named(tmp_path):
    (tmp_path / "gone.png").symlink_to(tmp_path / "deleted.png")
    with pytest.raises(ValueError, match=r"gone\.png cannot be read as an image"):
        FolderData(tmp_path, num_images=1).setup()


def test_sizes_that_differ_need_a_transform(tmp_path, save_pictures):
    save_pictures(tmp_path, "a.png", "b.png")
    save_pictures(tmp_path, "c.png", width=5, height=4)
    with pytest.raises(ValueError, match=r"a\.png is 6 x 4 and \S*c\.png is 5 x 4; set --data\.transform"):
        FolderData(tmp_path, num_images=3).setup()


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_images": 0},
        {"batch_size": 0},
        {"num_workers": -1},
        {"num_images": 1.5},
        {"batch_size": True},
        {"batch_size": "2"},
    ],
)
def test_arguments_out_of_range_are_refused_at_once(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(UserError, match=rf"FolderData needs .*{name}.*but got .*{value}"):
        FolderData("anywhere", **wrong)


@pytest.mark.parametrize("channels", [0, 2, None])
def test_other_numbers_of_channels_are_refused(channels):
    with pytest.raises(InvalidValueError, match=f"needs channels 3 or 1, but got channels={channels}"):
        FolderData("anywhere", channels=channels)


def test_no_root_is_refused():
    with pytest.raises(InvalidTypeError, match="needs a path as root, but got root=None"):
        FolderData(None)


@pytest.mark.parametrize("root", ["", " ", "${NOTHING}"])
def test_a_blank_root_is_not_the_current_folder(root, monkeypatch):
    monkeypatch.setenv("NOTHING", "")
    with pytest.raises(InvalidValueError, match=f"folder of images is needed, but got '{re.escape(root)}'; set --here"):
        folder_images(root, option="--here")


def test_shape_is_known_only_after_setup():
    with pytest.raises(RuntimeError, match="FolderData knows its images after setup"):
        _ = FolderData("anywhere").shape
