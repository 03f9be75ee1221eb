"""Which class an image has: by the name of its folder, or by a file of labels."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from dis_lightning.data import ImageNetData, imagenet_classes
from dis_lightning.data.labels import folder_labels, read_labels
from dis_lightning.errors import InvalidValueError, MissingFileError

OFFICIAL = [f"ILSVRC2012_val_{number:08d}.JPEG" for number in range(1, 6)]
IDS = ["n01751748", "n09193705", "n02105855", "n04263257", "n03125729"]
"""Their published classes: a sea snake, an alp, a Shetland sheepdog, a soup bowl, a cradle."""
NUMBERS = [65, 970, 230, 809, 516]


def test_the_classes_of_imagenet_are_those_of_timm():
    timm = importlib.util.find_spec("timm")  # whose import takes seconds
    synsets = Path(timm.submodule_search_locations[0]) / "data" / "_info" / "imagenet_synsets.txt"
    assert list(imagenet_classes()) == synsets.read_text().split()
    assert list(imagenet_classes()) == sorted(set(imagenet_classes()))
    # tabby, tiger cat, Persian, Siamese and Egyptian cat
    assert imagenet_classes()[281:286] == ("n02123045", "n02123159", "n02123394", "n02123597", "n02124075")
    assert [imagenet_classes()[number] for number in NUMBERS] == IDS


def test_folders_named_by_wordnet_ids_are_counted_as_published():
    assert folder_labels(["n01440764", "n02123045", "n15075141"]) == ([0, 281, 999], imagenet_classes())


def test_folders_named_by_numbers_have_these_labels():
    names = sorted(str(number) for number in range(12))
    assert names[2] == "10"
    assert folder_labels(names) == ([int(name) for name in names], None)
    assert folder_labels(["007", "5"]) == ([7, 5], None)


@pytest.mark.parametrize(
    "names", [["cat", "dog"], ["0", "one"], ["n01440764", "n00000001"], ["n01440764", "zebra"], ["-1", "0"], ["²", "³"]]
)
def test_other_folders_have_their_positions_and_classes_of_their_own(names):
    assert folder_labels(names) == ([0, 1], tuple(names))


def write(folder: Path, text: str, name: str = "labels.txt") -> Path:
    file = folder / name
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    "line",
    [
        "{name}.JPEG {id}",
        "{name}.JPEG {number}",
        "{name} {id}",
        "val/{name}.JPEG\t{id}",
        "{name}.png {id}",
        "{name}.JPEG,{id}",
        '"{name}.JPEG", "{number}"',
        "{name},{id} 85 1 499 272 {id} 3 2 4 5 ",
    ],
)
@pytest.mark.parametrize("head", ["", "ImageId,PredictionString\n"])
def test_lines_with_names_are_read_in_any_order(line, head, tmp_path):
    if head and "," not in line:
        head = "file label\n"
    rows = [
        line.format(name=Path(name).stem, id=wordnet, number=number)
        for name, wordnet, number in zip(OFFICIAL, IDS, NUMBERS, strict=True)
    ]
    file = write(tmp_path, head + "\n".join(reversed(rows)) + "\n\n")
    numbers, classes = read_labels(file, OFFICIAL[1:4])
    assert numbers == NUMBERS[1:4]
    assert classes == (imagenet_classes() if "{id}" in line else None)


def test_lines_without_names_belong_to_the_official_numbers_of_the_images(tmp_path):
    file = write(tmp_path, "\n".join(IDS))
    assert read_labels(file, OFFICIAL) == (NUMBERS, imagenet_classes())
    assert read_labels(file, [OFFICIAL[1], OFFICIAL[4]]) == ([NUMBERS[1], NUMBERS[4]], imagenet_classes())
    with pytest.raises(InvalidValueError, match=r"has 5 lines, too few for ILSVRC2012_val_00000006\.JPEG"):
        read_labels(file, [*OFFICIAL, "ILSVRC2012_val_00000006.JPEG"])


def test_lines_without_names_belong_to_as_many_images_of_other_names(tmp_path):
    file = write(tmp_path, "\n".join(IDS))
    assert read_labels(file, list("abcde")).numbers == NUMBERS
    with pytest.raises(InvalidValueError, match=r"5 lines without names, but there are 4 images, so that nobody knows"):
        read_labels(file, list("abcd"))


def kit(folder: Path, form: str) -> None:
    """The table of a development kit that counts the five classes from 1 in the order of `IDS`."""
    if form == "map_clsloc.txt":
        write(folder, "".join(f"{name} {k} what\n" for k, name in enumerate(IDS, start=1)), form)
        return
    fields = [("ILSVRC2012_ID", object), ("WNID", object), ("words", object), ("num_children", object)]
    rows = [(k, name, "what", 0) for k, name in enumerate(IDS, start=1)] + [(1001, "n00001740", "entity", 3)]
    scipy.io.savemat(folder / form, {"synsets": np.array(rows, dtype=fields)[:, None]})


@pytest.mark.parametrize("form", ["meta.mat", "map_clsloc.txt"])
def test_the_development_kits_own_numbers_are_read_by_its_table(form, tmp_path):
    kit(tmp_path, form)
    truth = write(tmp_path, "2\n1\n5\n5\n3\n", "ILSVRC2012_validation_ground_truth.txt")
    expected = [NUMBERS[k] for k in (1, 0, 4, 4, 2)]
    assert read_labels(truth, OFFICIAL) == (expected, imagenet_classes())
    with pytest.raises(InvalidValueError, match="line 2: 6 is no class of ILSVRC-2012"):
        read_labels(write(tmp_path, "2\n6\n"), OFFICIAL[:2])


def test_the_development_kits_own_numbers_are_not_guessed(tmp_path):
    truth = write(tmp_path, "2\n1\n5\n5\n3\n", "ILSVRC2012_validation_ground_truth.txt")
    with pytest.raises(MissingFileError, match=r"order is not that of published networks; put its meta\.mat"):
        read_labels(truth, OFFICIAL)
    write(tmp_path, "damaged", "meta.mat")
    with pytest.raises(InvalidValueError, match=r"table of classes beside \S*ground_truth\.txt cannot be read"):
        read_labels(truth, OFFICIAL)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must hold a line for each image"),
        ("a 1\n2\n", "must hold a line for each image, all of them with its name or all without"),
        ("a 1\nb cat\n", r"line 2: a class must be a WordNet id .* or a number, but it has cat"),
        ("a,1\nb,\n", r"line 2: a class must be .*, but it has none"),
        ("a 1\nb n99999999\n", "line 2: a class must be"),
        ("n01440764\nn99999999\n", "line 2: n99999999 is no class of ILSVRC-2012"),
        ("a 1\na.png 2\n", r"line 2: a\.png has two classes"),
        ("a 1\nc 2\n", r"has no line for b\.png \(1 of 2 images\)"),
        ("a 1\nb 1000\n", "counts classes from 1 to 1000, as the development kit of ILSVRC-2012 does"),
    ],
)
def test_lines_that_cannot_be_understood_are_refused(text, message, tmp_path):
    with pytest.raises(InvalidValueError, match=message):
        read_labels(write(tmp_path, text), ["a.png", "b.png"])


def test_a_file_that_is_missing_or_no_text_is_named(tmp_path):
    with pytest.raises(MissingFileError, match=r"no file of labels \S*labels\.txt; set --data\.label_file"):
        read_labels(tmp_path / "labels.txt", ["a.png"])
    (tmp_path / "labels.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidValueError, match=r"labels\.txt is no text of labels"):
        read_labels(tmp_path / "labels.txt", ["a.png"])


def test_a_flat_folder_with_a_label_file_is_read(tmp_path, save_pictures, monkeypatch):
    save_pictures(tmp_path / "val", *OFFICIAL)
    write(tmp_path / "val", "".join(f"{n} {c}\n" for n, c in zip(OFFICIAL, IDS, strict=True)), "val.txt")
    monkeypatch.setenv("HOME", str(tmp_path))
    data = ImageNetData("~/val", num_images=4, batch_size=3, label_file="~/val/val.txt")
    data.setup()
    first, last = data.predict_dataloader()
    assert (first["name"], first["label"].tolist()) == (OFFICIAL[:3], NUMBERS[:3])
    assert (last["name"], last["label"].tolist()) == (OFFICIAL[3:4], NUMBERS[3:4])
    data.images.require_labels(1000)
