import hashlib
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from dis_lightning.data import FolderData, ImageNetData, LSUNData
from dis_lightning.main import main
from dis_lightning.rooms import RoomsData, write_lmdb


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    for place in ("a/0", "a/1", "b/0", "b/1 two", "c"):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (20 * len(place), 10, sum(place.encode()) % 200)).save(folder / f"{place}.png")
    return folder


def written(folder: Path, *lines: str) -> Path:
    file = folder / "list.txt"
    file.write_text("\n".join(lines) + "\n")
    return file


def names(data: FolderData | LSUNData | ImageNetData | RoomsData) -> list[str]:
    data.setup()
    return list(data.images.names)


def test_a_list_says_which_images_and_in_which_order(pictures: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256((pictures / "a/1.png").read_bytes()).hexdigest()
    file = written(tmp_path, "# of a paper", "", "b/1 two.png", f"a/1.png  {digest}", f"c.png {digest[:10]}")
    with pytest.raises(FileNotFoundError, match=r"1 of the 3 images of .*list\.txt are not .*: c\.png [0-9a-f]{10}"):
        names(FolderData(pictures, None, names=file))
    file = written(tmp_path, "# of a paper", "", "b/1 two.png", f"a/1.png  {digest.upper()}", "c.png")
    assert names(FolderData(pictures, names=file)) == ["b/1 two.png", "a/1.png", "c.png"]
    assert names(FolderData(pictures, 2, names=file)) == ["b/1 two.png", "a/1.png"]
    assert names(FolderData(pictures, names=file, skip=1)) == ["a/1.png", "c.png"]
    file = written(tmp_path, "\ufeff# of an editor that marks its files, and of find", "./c.png", "a//1.png")
    assert names(FolderData(pictures, names=file)) == ["c.png", "a/1.png"]


def test_without_a_list_the_first_are_skipped(pictures: Path) -> None:
    assert names(FolderData(pictures, 2, skip=1)) == ["a/1.png", "b/0.png"]
    with pytest.raises(ValueError, match="skip=5 leaves none"):
        names(FolderData(pictures, None, skip=5))
    with pytest.raises(ValueError, match="too few images, 1, but num_images is 2"):
        names(FolderData(pictures, 2, skip=4))


@pytest.mark.parametrize(
    ("lines", "error", "message"),
    [
        (["nowhere.png", "c.png"], FileNotFoundError, r"1 of the 2 images .* not below .*: nowhere\.png"),
        (["c.png", "c.png"], ValueError, r"line 2: c\.png is named twice"),
        (["# nothing"], ValueError, "names none"),
        ([f"c.png {'0' * 64}"], ValueError, r"1 images are not those of .* by their SHA-256: c\.png"),
    ],
)
def test_what_a_list_gets_wrong_is_named(
    lines: list[str], error: type[Exception], message: str, pictures: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        names(FolderData(pictures, names=written(tmp_path, *lines)))


def test_a_list_that_is_not_there_or_no_text_is_named(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no list of images .*gone\.txt"):
        names(FolderData(pictures, names=tmp_path / "gone.txt"))
    with pytest.raises(ValueError, match="cannot be read"):
        names(FolderData(pictures, names=pictures / "c.png"))


def test_databases_and_trees_of_classes_take_lists_too(tmp_path: Path, pictures: Path) -> None:
    write_lmdb(tmp_path / "lmdb", 4, size=8)
    every = names(LSUNData(tmp_path / "lmdb", None))
    file = written(tmp_path, every[3], every[0])
    assert names(LSUNData(tmp_path / "lmdb", names=file)) == [every[3], every[0]]
    assert names(LSUNData(tmp_path / "lmdb", 2, skip=2)) == every[2:]
    tree = tmp_path / "tree"
    for place in ("n01440764", "n01443537"):
        (tree / place).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tree / place / "x.png")
    data = ImageNetData(tree, names=written(tmp_path, "n01443537/x.png"))
    assert names(data) == ["n01443537/x.png"]
    assert data.images[0]["label"] == 1


@pytest.mark.parametrize("batch_size", [1, 2, 3])
@pytest.mark.parametrize("parts", [1, 2, 3])
def test_shards_are_the_whole_without_overlap_batch_by_batch(batch_size: int, parts: int) -> None:
    whole = RoomsData(size=16, num_images=7, batch_size=batch_size)
    whole.setup()
    expected = [batch["index"].tolist() for batch in whole.predict_dataloader()]
    if parts > len(expected):
        return
    found = []
    for part in range(parts):
        data = RoomsData(size=16, num_images=7, batch_size=batch_size, shard=f"{part}/{parts}")
        data.setup()
        batches = list(data.predict_dataloader())
        assert data.share == sum(len(batch["index"]) for batch in batches)
        found += [batch["index"].tolist() for batch in batches]
        for batch in batches:
            for image, index in zip(batch["image"], batch["index"].tolist(), strict=True):
                assert torch.equal(image, whole.images[index]["image"])
        assert list(data.images.every_name) == list(whole.images.names)
    assert found == expected


@pytest.mark.parametrize("shard", ["2/2", "1", "a/b", "-1/2", "1/0", "", "0/2/3"])
def test_what_is_no_shard_is_refused(shard: str) -> None:
    with pytest.raises(ValueError, match='shard must be "i/n"'):
        RoomsData(size=16, shard=shard)


def test_a_shard_without_images_is_refused() -> None:
    data = RoomsData(size=16, num_images=4, batch_size=2, shard="2/3")
    data.setup()
    with pytest.raises(ValueError, match="Take at most 2 shards"):
        RoomsData(size=16, num_images=4, batch_size=2, shard="0/3").setup()


def test_a_shard_samples_what_the_whole_run_does(tmp_path: Path, in_project: None) -> None:
    def run(folder: str, *more: str) -> Path:
        prior = ["--config=configs/priors/rooms_gaussian.yaml", "--denoiser.size=16", "--denoiser.num_images=20"]
        solver = ["--config=configs/solvers/dps.yaml", "--model.levels.steps=3"]
        data = ["--config=configs/data/rooms.yaml", "--data.size=16", "--data.num_images=4", "--data.batch_size=2"]
        operator = ["--config=configs/operators/average_pool_x4.yaml", "--trainer.accelerator=cpu"]
        main(["predict", *data, *prior, *operator, *solver, f"--writer.folder={tmp_path / folder}", *more])
        return tmp_path / folder

    whole, part = run("whole"), run("part", "--data.shard=1/2")
    files = sorted(path.name for path in (part / "samples").iterdir())
    assert files == ["00002_00.png", "00003_00.png"]
    for name in files:
        assert (part / "samples" / name).read_bytes() == (whole / "samples" / name).read_bytes()
    assert json.loads((part / "metrics.json").read_text())["metrics"]["psnr"]["images"] == 2
