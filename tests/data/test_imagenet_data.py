import pytest

from dis_lightning.data import ExactResize, ImageNetData


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
