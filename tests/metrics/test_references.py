"""What a set is compared with: folders, statistics, digests."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dis_lightning.metrics import ImageFolder, OwnSources, Statistics
from dis_lightning.metrics.references import digest_of, digest_of_set


def brightness(images: torch.Tensor) -> torch.Tensor:
    return images.double().mean(dim=(2, 3))[:, None]


def save(folder: Path, sizes: list[int]) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    pictures = [random.integers(256, size=(side, side, 3), dtype=np.uint8) for side in sizes]
    for number, picture in enumerate(pictures):
        file = folder / "deep" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(file)
    return pictures


def test_a_folder_is_known_by_the_features_of_all_its_images(tmp_path: Path) -> None:
    pictures = save(tmp_path, [4, 6, 5])
    (tmp_path / "notes.txt").write_text("no image")
    known = ImageFolder(tmp_path).know(brightness, {}, "")
    means = np.stack([picture.mean(axis=(0, 1)) for picture in pictures])
    assert known.features is not None
    assert known.features.numpy() == pytest.approx(means)
    assert (known.gaussian.root @ known.gaussian.root.T).numpy() == pytest.approx(np.cov(means.T))
    digests = [hashlib.sha256(picture.transpose(2, 0, 1).tobytes()).digest() for picture in pictures]
    assert known.definition["reference_digest"] == hashlib.sha256(b"".join(digests)).hexdigest()
    assert known.definition["reference_images"] == 3


def test_the_runs_sources_and_a_folder_of_them_have_one_digest(tmp_path: Path) -> None:
    images = [torch.from_numpy(picture).permute(2, 0, 1) for picture in save(tmp_path, [4, 4])]
    digest = digest_of_set(map(digest_of, images))
    own = {number: brightness(image[None])[0] for number, image in enumerate(images)}
    assert OwnSources().know(brightness, own, digest).definition["reference_digest"] == digest
    assert ImageFolder(tmp_path).know(brightness, {}, "").definition["reference_digest"] == digest


def test_statistics_are_read_as_others_write_them(tmp_path: Path) -> None:
    covariance = np.array([[2.0, 1.0], [1.0, 3.0]])
    np.savez(tmp_path / "statistics.npz", mu=np.array([1.0, 2.0]), sigma=covariance)
    reference = Statistics(tmp_path / "statistics.npz")
    reference.check()
    known = reference.know(brightness, {}, "")
    assert known.gaussian.mean.tolist() == [1, 2]
    assert (known.gaussian.root @ known.gaussian.root.T).numpy() == pytest.approx(covariance)


def test_a_reference_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no images"):
        ImageFolder(tmp_path).check()
    with pytest.raises(FileNotFoundError, match="does not exist"):
        Statistics(tmp_path / "none.npz").check()
    np.savez(tmp_path / "other.npz", arr_0=np.zeros(3))
    with pytest.raises(ValueError, match="holds no mu and sigma, but arr_0"):
        Statistics(tmp_path / "other.npz").check()
