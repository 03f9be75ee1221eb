"""What a set is compared with: folders, statistics, digests."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dis_lightning.data import ExactResize
from dis_lightning.metrics import ImageFolder, OwnSources, Statistics
from dis_lightning.metrics.references import Looker, base, digest_of, digest_of_set, statistics


def brightness(images: torch.Tensor) -> torch.Tensor:
    return images.double().mean(dim=(2, 3))[:, None].float()


BRIGHTNESS = Looker(brightness, "brightness")


def checked(reference: ImageFolder | Statistics, side: int = 4) -> ImageFolder | Statistics:
    reference.check((3, side, side), None)
    return reference


def save(folder: Path, sizes: list[int]) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    pictures = [random.integers(256, size=(side, side, 3), dtype=np.uint8) for side in sizes]
    for number, picture in enumerate(pictures):
        file = folder / "deep" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(file)
    return pictures


def test_a_folder_is_known_by_the_features_of_all_its_images(tmp_path: Path) -> None:
    pictures = save(tmp_path, [4, 4, 4])
    known = checked(ImageFolder(tmp_path)).know(BRIGHTNESS, {}, "")
    means = np.stack([picture.mean(axis=(0, 1)) for picture in pictures])
    assert known.features is not None
    assert known.features.numpy() == pytest.approx(means, rel=1e-6)
    assert (known.gaussian.root @ known.gaussian.root.T).numpy() == pytest.approx(np.cov(means.T), rel=1e-4)
    digests = [hashlib.sha256(picture.transpose(2, 0, 1).tobytes()).digest() for picture in pictures]
    assert known.definition["reference_digest"] == hashlib.sha256(b"".join(digests)).hexdigest()
    assert known.definition["reference_images"] == 3


def test_the_runs_sources_and_a_folder_of_them_have_one_digest(tmp_path: Path) -> None:
    images = [torch.from_numpy(picture).permute(2, 0, 1) for picture in save(tmp_path, [4, 4])]
    digest = digest_of_set(map(digest_of, images))
    own = {number: brightness(image[None])[0] for number, image in enumerate(images)}
    assert OwnSources().know(BRIGHTNESS, own, digest).definition["reference_digest"] == digest
    assert checked(ImageFolder(tmp_path)).know(BRIGHTNESS, {}, "").definition["reference_digest"] == digest


def test_statistics_are_read_as_others_write_them(tmp_path: Path) -> None:
    covariance = np.array([[2.0, 1.0], [1.0, 3.0]])
    np.savez(tmp_path / "statistics.npz", mu=np.array([1.0, 2.0]), sigma=covariance)
    reference = Statistics(tmp_path / "statistics.npz")
    checked(reference)
    known = reference.know(BRIGHTNESS, {}, "")
    assert known.gaussian.mean.tolist() == [1, 2]
    assert (known.gaussian.root @ known.gaussian.root.T).numpy() == pytest.approx(covariance)


def test_a_reference_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no images"):
        checked(ImageFolder(tmp_path))
    with pytest.raises(FileNotFoundError, match="does not exist"):
        checked(Statistics(tmp_path / "none.npz"))
    np.savez(tmp_path / "other.npz", arr_0=np.zeros(3))
    with pytest.raises(ValueError, match=r"holds images of shape \(\) .* but the run's are \(4, 4, 3\)"):
        checked(Statistics(tmp_path / "other.npz"))


def test_statistics_that_cannot_be_used_are_refused_by_the_check(tmp_path: Path) -> None:
    file = tmp_path / "statistics.npz"
    np.savez(file, mu=np.array([0.0, np.inf]), sigma=np.eye(2))
    with pytest.raises(ValueError, match=r"statistics.npz is no reference \(.*1 numbers are not finite"):
        checked(Statistics(file))
    np.savez(file, mu=np.zeros(2), sigma=np.eye(3))
    with pytest.raises(ValueError, match=r"statistics.npz is no reference \(.*got \(2,\) and \(3, 3\)"):
        checked(Statistics(file))
    np.savez_compressed(file, mu=np.zeros(2), sigma=np.eye(2))
    content = bytearray(file.read_bytes())
    content[content.index(b"mu.npy") + 30] ^= 0xFF  # in what is compressed
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"statistics.npz is no reference"):
        checked(Statistics(file))
    np.savez(file, mu=np.zeros(2), sigma=np.eye(3))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"statistics.npz is no reference .*; give an .npz file with `mu` and `sigma`"):
        checked(Statistics(file))


def test_images_in_the_order_of_fortran_are_refused(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(256, size=(7, 4, 4, 3), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", arr_0=np.asfortranarray(images))
    with pytest.raises(ValueError, match=r"in Fortran's order; save numpy.ascontiguousarray"):
        checked(Statistics(tmp_path / "images.npz"))


def test_a_grey_run_does_not_look_at_the_colours_that_were_kept(tmp_path: Path) -> None:
    pictures = save(tmp_path / "images", [4, 4, 4])
    for channels in (3, 1):
        reference = ImageFolder(tmp_path / "images", keep=tmp_path / "kept.npz")
        reference.check((channels, 4, 4), None)
        known = reference.know(BRIGHTNESS, {}, "")
        assert known.features is not None
        assert known.features.shape == (3, channels)
    grey = [np.asarray(Image.fromarray(picture).convert("L")).mean() for picture in pictures]
    assert known.features[:, 0].numpy() == pytest.approx(grey, abs=0.6)


def test_statistics_need_features_of_as_many_numbers(tmp_path: Path) -> None:
    np.savez(tmp_path / "statistics.npz", mu=np.zeros(2), sigma=np.eye(2))
    reference = Statistics(tmp_path / "statistics.npz")
    checked(reference).require(2)
    with pytest.raises(ValueError, match=r"statistics.npz holds .* of 2 numbers, but those of the run have 3; give"):
        reference.require(3)


def test_a_folder_is_read_as_the_data_are(tmp_path: Path) -> None:
    """16 bits are rounded to 8, hidden folders are passed over, and pictures become the run's size by its transform."""
    deep = np.random.default_rng(0).integers(0, 65536, size=(6, 6), dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    wide = Image.fromarray(np.random.default_rng(1).integers(256, size=(6, 9, 3), dtype=np.uint8))
    wide.save(tmp_path / "wide.png")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    Image.new("RGB", (6, 6)).save(tmp_path / ".ipynb_checkpoints" / "copy.png")

    with pytest.raises(ValueError, match=r"All images must have one size, but .*deep.png is 6 x 6"):
        ImageFolder(tmp_path).check((3, 6, 6), None)
    expected = [np.repeat((deep / 257).round().mean(), 3), np.array(ExactResize(6)(wide)).mean(axis=(0, 1))]
    own, given = ImageFolder(tmp_path, ExactResize(6)), ImageFolder(tmp_path)
    own.check((3, 6, 6), None)
    given.check((3, 6, 6), ExactResize(6))  # that of the run's data
    for reference in (own, given):
        known = reference.know(BRIGHTNESS, {}, "")
        assert known.features is not None
        assert known.features.numpy() == pytest.approx(np.stack(expected), rel=1e-6)
        assert known.definition["reference_transform"] == "ExactResize(size=6)"


def test_a_damaged_reference_is_named_by_the_check(tmp_path: Path) -> None:
    save(tmp_path, [4, 4])
    (tmp_path / "deep" / "1.png").write_bytes((tmp_path / "deep" / "1.png").read_bytes()[:60])
    with pytest.raises(ValueError, match=r"1.png"):
        ImageFolder(tmp_path).check((3, 4, 4), None)


def test_features_are_kept_for_later_and_for_others_as_long_as_the_images_are_the_same(tmp_path: Path) -> None:
    pictures = save(tmp_path / "images", [4, 4, 4])
    kept = tmp_path / "kept.npz"
    reference = checked(ImageFolder(tmp_path / "images", keep=kept))
    fresh = reference.know(Looker(brightness, "first"), {}, "")
    means = np.stack([picture.mean(axis=(0, 1)) for picture in pictures])
    with np.load(kept) as content:
        assert content["mu"] == pytest.approx(means.mean(axis=0), rel=1e-6)
        assert content["sigma"] == pytest.approx(np.cov(means.T), rel=1e-4)
        assert content["feats"] == pytest.approx(means, rel=1e-6)
    others = checked(Statistics(kept))
    assert others.know(Looker(refused, "elsewhere"), {}, "").gaussian.mean.numpy() == pytest.approx(means.mean(axis=0))

    base.REMEMBERED.clear()  # as in another process
    again = checked(ImageFolder(tmp_path / "images", keep=kept)).know(Looker(refused, "first"), {}, "")
    assert torch.equal(again.features, fresh.features)
    assert again.definition == fresh.definition
    for looker in (Looker(brightness, "second"), Looker(brightness, "first")):  # another network, then other images
        changed = checked(ImageFolder(tmp_path / "images", keep=kept)).know(looker, {}, "")
        assert (changed.definition == fresh.definition) == (looker.identity == "second")
        Image.fromarray(255 - pictures[0]).save(tmp_path / "images" / "deep" / "0.png")


def refused(images: torch.Tensor) -> torch.Tensor:
    raise AssertionError("nothing is to be looked at")


def test_images_of_guided_diffusion_and_features_of_clean_fid_are_read(tmp_path: Path, monkeypatch) -> None:
    images = np.random.default_rng(0).integers(256, size=(7, 4, 4, 3), dtype=np.uint8)
    monkeypatch.setattr(statistics, "CHUNK", 3)
    np.savez(tmp_path / "batch.npz", arr_0=images)
    means = images.mean(axis=(1, 2))
    batch = checked(Statistics(tmp_path / "batch.npz"))
    assert (batch.count(5), batch.has_features) == (7, True)
    assert batch.know(BRIGHTNESS, {}, "").features.numpy() == pytest.approx(means, rel=1e-6)

    np.savez_compressed(tmp_path / "feats.npz", feats=means.astype(np.float32))
    features = checked(Statistics(tmp_path / "feats.npz"))
    known = features.know(Looker(refused, "any"), {}, "")
    assert known.features.numpy() == pytest.approx(means, rel=1e-6)
    assert known.groups.tolist() == list(range(7))
    with pytest.raises(ValueError, match="of 3 numbers, but those of the run have 4"):
        features.require(4)

    # A batch with the statistics of a larger set: the distance of Fréchet is to these.
    np.savez(tmp_path / "both.npz", arr_0=images, mu=np.ones(3), sigma=np.eye(3))
    both = checked(Statistics(tmp_path / "both.npz")).know(BRIGHTNESS, {}, "")
    assert both.gaussian.mean.tolist() == [1, 1, 1]
    assert both.features.numpy() == pytest.approx(means, rel=1e-6)

    with pytest.raises(ValueError, match=r"holds images of shape \(4, 4, 3\) .* but the run's are \(8, 8, 3\)"):
        checked(Statistics(tmp_path / "batch.npz"), 8)


def test_one_thing_is_looked_at_once(tmp_path: Path) -> None:
    """FID and KID ask for the features of the same folder."""
    save(tmp_path, [4, 4])
    calls = []

    def counted(images: torch.Tensor) -> torch.Tensor:
        calls.append(len(images))
        return brightness(images)

    for _ in range(2):
        checked(ImageFolder(tmp_path)).know(Looker(counted, "counted"), {}, "")
    assert calls == [2]
