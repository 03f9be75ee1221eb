"""What a set is compared with: folders, statistics, digests."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dis_lightning.metrics import ImageFolder, OwnSources, Statistics
from dis_lightning.metrics.references import Looker, digest_of, digest_of_set


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


def test_statistics_need_features_of_as_many_numbers(tmp_path: Path) -> None:
    np.savez(tmp_path / "statistics.npz", mu=np.zeros(2), sigma=np.eye(2))
    reference = Statistics(tmp_path / "statistics.npz")
    checked(reference).require(2, patch=None)
    with pytest.raises(ValueError, match=r"statistics.npz holds .* of 2 numbers, but those of the run have 3; give"):
        reference.require(3, patch=None)


def test_squares_that_would_cut_a_rim_off_are_refused(tmp_path: Path) -> None:
    save(tmp_path, [6, 6])
    reference = checked(ImageFolder(tmp_path), 6)
    for side in (2, None):
        reference.require(1, patch=side)
    with pytest.raises(ValueError, match=r"Images of 6 x 6 pixels in .* cannot be cut into squares of 4; change patch"):
        reference.require(1, patch=4)
