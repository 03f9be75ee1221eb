import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dis_lightning.data import FolderData, ShorterSideBilinear
from dis_lightning.errors import UnusablePathError

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
    with pytest.raises(ValueError, match=r"2\.bad cannot be read as an image: .+\. Repair, remove or hide it"):
        FolderData(tmp_path, num_images=5).setup()
    FolderData(tmp_path, num_images=2).setup()  # What comes after the first images does not matter.


def test_a_link_to_nothing_is_named(tmp_path):
    (tmp_path / "gone.png").symlink_to(tmp_path / "deleted.png")
    with pytest.raises(ValueError, match=r"gone\.png cannot be read as an image"):
        FolderData(tmp_path, num_images=1).setup()


def test_sizes_that_differ_need_a_transform(tmp_path, save_pictures):
    save_pictures(tmp_path, "a.png", "b.png")
    save_pictures(tmp_path, "c.png", width=5, height=4)
    with pytest.raises(ValueError, match=r"a\.png is 6 x 4 and \S*c\.png is 5 x 4; set --data\.transform"):
        FolderData(tmp_path, num_images=3).setup()


@pytest.mark.parametrize("wrong", [{"num_images": 0}, {"batch_size": 0}, {"num_workers": -1}])
def test_arguments_out_of_range_are_refused_at_once(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=rf"FolderData needs .*{name} >= .*but got .*{name}={value}"):
        FolderData("anywhere", **wrong)


def test_shape_is_known_only_after_setup():
    with pytest.raises(RuntimeError, match="FolderData knows its images after setup"):
        _ = FolderData("anywhere").shape
