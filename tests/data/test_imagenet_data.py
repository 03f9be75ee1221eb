import pytest

from dis_lightning.data import ExactResize, FolderData, ImageNetData
from dis_lightning.errors import InvalidValueError


def test_order_is_class_by_class_and_labels_are_positions_of_classes(tmp_path, save_pictures):
    save_pictures(tmp_path, "n2/b.png", "n10/z.png", "n10/a.png", "n2/10.png", "n2/9.png", "n3/c.png")
    (tmp_path / "n1").mkdir()  # A class without images keeps its label.
    data = ImageNetData(tmp_path, num_images=6)
    data.setup()
    items = [data.images[index] for index in range(6)]
    names = ["n10/a.png", "n10/z.png", "n2/10.png", "n2/9.png", "n2/b.png", "n3/c.png"]
    assert [item["name"] for item in items] == names
    assert [item["label"] for item in items] == [1, 1, 2, 2, 2, 3]


def test_labels_come_as_a_batch(tmp_path, save_pictures):
    save_pictures(tmp_path, "a/0.png", "b/0.png", "c/0.png", width=9)
    data = ImageNetData(tmp_path, num_images=3, transform=ExactResize(5), batch_size=2)
    data.setup()
    batches = list(data.predict_dataloader())
    assert [batch["label"].tolist() for batch in batches] == [[0, 1], [2]]
    assert [batch["name"] for batch in batches] == [["a/0.png", "b/0.png"], ["c/0.png"]]
    assert data.shape == (3, 5, 5)


def test_a_class_comes_whole_before_the_next_even_where_strings_of_paths_would_not(tmp_path, save_pictures):
    save_pictures(tmp_path, "a/0.png", "a-b/0.png")  # As strings, "a-b/0.png" comes first; as names, "a" does.
    data = ImageNetData(tmp_path, num_images=2)
    data.setup()
    assert [(data.images[index]["name"], data.images[index]["label"]) for index in range(2)] == [
        ("a/0.png", 0),
        ("a-b/0.png", 1),
    ]


def test_hidden_entries_are_neither_classes_nor_images(tmp_path, save_pictures):
    save_pictures(tmp_path, ".cache/0.png", "a/.0.png", "a/1.png")
    data = ImageNetData(tmp_path, num_images=1)
    data.setup()
    assert (data.images[0]["name"], data.images[0]["label"]) == ("a/1.png", 0)


def test_a_file_beside_the_classes_is_named(tmp_path, save_pictures):
    save_pictures(tmp_path, "a/0.png", "stray.png")
    with pytest.raises(ValueError, match=r"stray\.png lies outside the class folders; .*class/image"):
        ImageNetData(tmp_path, num_images=1).setup()


def test_a_missing_or_empty_tree_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        ImageNetData(tmp_path / "nowhere").setup()
    (tmp_path / "a").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no images"):
        ImageNetData(tmp_path).setup()


def test_too_few_images_and_broken_ones_are_named(tmp_path, save_pictures):
    save_pictures(tmp_path, "a/0.png", "b/0.png")
    with pytest.raises(ValueError, match="holds too few images, 2, but num_images is 3"):
        ImageNetData(tmp_path, num_images=3).setup()
    (tmp_path / "b" / "0.png").write_text("not an image")
    with pytest.raises(ValueError, match=r"b/0\.png cannot be read as an image"):
        ImageNetData(tmp_path, num_images=2).setup()


def found(root, **arguments) -> ImageNetData:
    data = ImageNetData(root, num_images=None, **arguments)
    data.setup()
    return data


def labels(data: ImageNetData) -> list[int]:
    return [data.images[index]["label"] for index in range(len(data.images))]


def test_three_folders_of_imagenet_have_the_labels_of_published_networks(tmp_path, save_pictures):
    save_pictures(tmp_path, "n15075141/0.png", "n01440764/0.png", "n02123045/0.png")
    data = found(tmp_path)
    assert labels(data) == [0, 281, 999]
    data.images.require_labels(1000)


def test_folders_of_numbers_have_these_labels(tmp_path, save_pictures):
    save_pictures(tmp_path, *(f"{number}/0.png" for number in range(12)))
    data = found(tmp_path)
    names = [data.images[index]["name"] for index in range(12)]
    assert names[2] == "10/0.png"
    assert labels(data) == [int(name.split("/")[0]) for name in names]
    data.images.require_labels(12)
    data.images.require_labels(1000)
    with pytest.raises(InvalidValueError, match=r"11/0\.png has the label 11, but the prior's classes are 0 \.\. 10"):
        data.images.require_labels(11)


def test_positions_are_refused_for_a_prior_of_published_or_of_other_classes(tmp_path, save_pictures):
    save_pictures(tmp_path, "abbey/0.png", "n01440764/0.png", "zoo/0.png")
    data = found(tmp_path)
    assert labels(data) == [0, 1, 2]
    data.images.require_labels(3)
    with pytest.raises(
        InvalidValueError,
        match=r"own 3 classes \(abbey, n01440764, zoo\), .* prior's 1000; .* WordNet ids \(n01440764\)",
    ):
        data.images.require_labels(1000)
    with pytest.raises(
        InvalidValueError, match=r"prior's 4; name the class folders by the prior's numbers \(0 \.\. 3\)"
    ):
        data.images.require_labels(4)


def test_positions_among_a_thousand_folders_are_not_the_published_classes(tmp_path, save_pictures):
    save_pictures(tmp_path, "zebra/0.png")
    for number in range(999):
        (tmp_path / f"class {number}").mkdir()
    with pytest.raises(InvalidValueError, match="own 1000 classes"):
        found(tmp_path).images.require_labels(1000)


def test_published_classes_are_refused_for_a_prior_of_others(tmp_path, save_pictures):
    save_pictures(tmp_path, "n01440764/0.png", "n02123045/0.png")
    with pytest.raises(
        InvalidValueError, match=r"1000 classes \(ImageNet\), .* prior's 2; name the class folders by the"
    ):
        found(tmp_path).images.require_labels(2)


def test_images_without_classes_are_refused_for_a_prior_with_some(tmp_path, save_pictures):
    save_pictures(tmp_path, "n01440764/0.png")
    data = FolderData(tmp_path, num_images=1)
    data.setup()
    with pytest.raises(InvalidValueError, match="conditional on one of 1000 classes, but the data has no labels"):
        data.images.require_labels(1000)


def test_what_lies_beside_the_classes_and_links_above_are_passed_over(tmp_path, save_pictures):
    save_pictures(tmp_path, "n01440764/0.png")
    (tmp_path / "LOC_synset_mapping.txt").write_text("n01440764 tench")
    (tmp_path / "self").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "n01440764" / "up").symlink_to(tmp_path, target_is_directory=True)
    data = found(tmp_path)
    assert (data.images.names, labels(data)) == (["n01440764/0.png"], [0])
