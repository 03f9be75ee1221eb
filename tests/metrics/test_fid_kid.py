"""FID and KID of a run's samples: features gathered by image, references, patches, and what is refused."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from batches import CPU, batch, noise_images, solver
from lightning import Trainer
from PIL import Image
from torch import Tensor

from dis_lightning.callbacks import Writer
from dis_lightning.data import ExactResize
from dis_lightning.metrics import (
    FID,
    KID,
    FeatureNetwork,
    ImageFolder,
    Statistics,
)
from dis_lightning.metrics.feature_distance import FeatureDistance
from dis_lightning.metrics.functional import fit_gaussian, frechet_distance, kernel_distance
from dis_lightning.operators import AveragePool
from dis_lightning.rooms import RoomsData

RUN = solver(AveragePool(4), 2)

pytestmark = pytest.mark.filterwarnings("ignore:.* images is ")


class Means(FeatureNetwork):
    """The mean and the scatter of each channel."""

    name: ClassVar[str] = "means"

    def load(self, device: torch.device | str = "cpu") -> None:
        self.device = device

    def features(self, images: Tensor) -> Tensor:
        pixels = images.double().flatten(2)
        return torch.cat([pixels.mean(dim=2), pixels.std(dim=2)], dim=1)

    def define(self) -> dict[str, Any]:
        return {"network": "means"}


def scored(metric: FeatureDistance, *numbers: int, order: int = 1) -> dict[str, dict[str, Any]]:
    """The reduction of batches of so many images each, looked at in order or in reverse."""
    metric.prepare(RUN, CPU)
    metric.rows = {}
    firsts = [sum(numbers[:k]) for k in range(len(numbers))]
    for first, number in list(zip(firsts, numbers, strict=True))[::order]:
        samples, source = (noise_images(9, 2, 3, 8, 8), noise_images(9, 3, 8, 8, seed=1))
        part = slice(first, first + number)
        metric.score(batch(samples[part], source[part], first=first), RUN)
    return metric.reduce(dict(sorted(metric.rows.items())))["set"]


def test_it_is_the_distance_of_the_features_of_all_samples_to_those_of_the_sources() -> None:
    x = Means().features(noise_images(9, 2, 3, 8, 8).flatten(0, 1)).float()
    y = Means().features(noise_images(9, 3, 8, 8, seed=1)).float()
    metric = FID(Means())
    found = scored(metric, 4, 5) | scored(KID(Means()), 4, 5)
    assert found["fid_means"]["mean"] == pytest.approx(frechet_distance(fit_gaussian(x), fit_gaussian(y)), rel=1e-9)
    expected = kernel_distance(x, y, torch.arange(9).repeat_interleave(2), torch.arange(9), paired=True)
    assert found["kid_means"]["mean"] == pytest.approx(expected.value, rel=1e-9)
    assert found["kid_means"]["standard_error"] == pytest.approx(expected.standard_error, rel=1e-9)
    assert metric.definition("fid_means")["n"] == 18
    assert metric.definition("fid_means")["reference_images"] == 9


@pytest.mark.parametrize("kind", [FID, KID])
def test_neither_the_batches_nor_their_order_change_anything(kind: type[FeatureDistance]) -> None:
    whole = kind(Means())
    expected = scored(whole, 9)
    split = kind(Means())
    assert scored(split, 2, 2, 2, 2, 1, order=-1) == expected
    assert split.definition(split.key) == whole.definition(whole.key)


def test_patches_are_cut_without_overlap_and_have_a_name_of_their_own() -> None:
    found = scored(FID(Means(), patch=4), 9) | scored(KID(Means(), patch=4), 9)
    samples, sources = noise_images(9, 2, 3, 8, 8).flatten(0, 1), noise_images(9, 3, 8, 8, seed=1)

    def cut(images: Tensor) -> Tensor:
        quarters = [images[:, :, i : i + 4, j : j + 4] for i in (0, 4) for j in (0, 4)]
        return Means().features(torch.cat(quarters)).float()

    expected = frechet_distance(fit_gaussian(cut(samples)), fit_gaussian(cut(sources)))
    assert found["fid_means_patches_4"]["mean"] == pytest.approx(expected, rel=1e-9)
    assert set(found) == {"fid_means_patches_4", "kid_means_patches_4"}
    with pytest.raises(ValueError, match="cannot be cut into squares of 3"):
        FID(Means(), patch=3).prepare(RUN, CPU)


def test_a_folder_and_its_statistics_are_references_too(tmp_path: Path) -> None:
    sources = noise_images(9, 3, 8, 8, seed=1)
    (tmp_path / "images").mkdir()
    for number, source in enumerate(sources):
        Image.fromarray(source.permute(1, 2, 0).numpy()).save(tmp_path / "images" / f"{number}.png")
    features = Means().features(sources).float().double().numpy()
    np.savez(tmp_path / "statistics.npz", mu=features.mean(axis=0), sigma=np.cov(features.T))

    own, folder = scored(FID(Means()), 9), scored(FID(Means(), ImageFolder(tmp_path / "images")), 9)
    known = scored(FID(Means(), Statistics(tmp_path / "statistics.npz")), 9)
    assert folder["fid_means"]["mean"] == pytest.approx(own["fid_means"]["mean"], rel=1e-9)
    assert known["fid_means"]["mean"] == pytest.approx(own["fid_means"]["mean"], rel=1e-6)
    folder = scored(KID(Means(), ImageFolder(tmp_path / "images")), 9)
    x = Means().features(noise_images(9, 2, 3, 8, 8).flatten(0, 1)).float()
    groups = torch.arange(9)
    expected = kernel_distance(x, Means().features(sources).float(), groups.repeat_interleave(2), groups, paired=False)
    assert folder["kid_means"]["mean"] == pytest.approx(expected.value, rel=1e-9)
    with pytest.raises(ValueError, match="kid_means compares features one by one"):
        KID(Means(), Statistics(tmp_path / "statistics.npz")).prepare(RUN, CPU)


def test_two_references_stand_side_by_side_under_names_of_their_own(tmp_path: Path) -> None:
    np.savez(tmp_path / "statistics.npz", mu=np.zeros(6), sigma=np.eye(6))
    own = scored(FID(Means()), 9)
    other = FID(Means(), Statistics(tmp_path / "statistics.npz"), name="grey")
    found = scored(other, 9)
    assert own.keys() | found.keys() == {"fid_means", "fid_means_grey"}
    assert own["fid_means"] != found["fid_means_grey"]
    assert other.definition("fid_means_grey")["reference"] == "statistics statistics.npz"
    assert scored(KID(Means(), patch=4, name="own"), 9).keys() == {"kid_means_patches_4_own"}


def test_a_reference_that_cannot_be_compared_with_is_refused_before_anything_is_sampled(tmp_path: Path) -> None:
    np.savez(tmp_path / "statistics.npz", mu=np.zeros(4), sigma=np.eye(4))
    with pytest.raises(ValueError, match="features of 4 numbers, but those of the run have 6"):
        FID(Means(), Statistics(tmp_path / "statistics.npz")).prepare(RUN, CPU)
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 10)).save(tmp_path / "images" / "tall.png")
    with pytest.raises(ValueError, match="images are 10 x 8 pixels, but the run's are 8 x 8; give the reference a"):
        FID(Means(), ImageFolder(tmp_path / "images")).prepare(RUN, CPU)
    FID(Means(), ImageFolder(tmp_path / "images", ExactResize(8))).prepare(RUN, CPU)


def test_diverged_samples_are_left_out() -> None:
    samples, metric = noise_images(4, 2, 3, 8, 8), FID(Means())
    lost = torch.tensor([[False, True], [False, False], [True, True], [False, False]])
    metric.prepare(RUN, CPU)
    metric.score(batch(samples, noise_images(4, 3, 8, 8, seed=1), diverged=lost), RUN)
    found, images = (metric.reduce(metric.rows)["set"]["fid_means"][key] for key in ("mean", "images"))
    assert images == 3
    y = Means().features(noise_images(4, 3, 8, 8, seed=1)).float()
    x = Means().features(samples[~lost]).float()
    assert found == pytest.approx(frechet_distance(fit_gaussian(x), fit_gaussian(y)), rel=1e-9)


def test_one_image_is_refused() -> None:
    with pytest.raises(ValueError, match="two images or more"):
        scored(FID(Means()), 1)


def test_one_image_is_refused_before_anything_is_sampled(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="but the run has 2 and the reference 1; raise num_images"):
        Trainer(accelerator="cpu", logger=False, callbacks=[FID(Means()), Writer(tmp_path / "run")]).predict(
            RUN, datamodule=RoomsData(num_images=1, size=8)
        )
    assert not (tmp_path / "run").exists()


def test_what_is_counted_are_samples_references_and_their_pieces(tmp_path: Path) -> None:
    FID(Means()).require(RUN, 2)
    FID(Means(), patch=4).require(RUN, 1)
    with pytest.raises(ValueError, match="compares images with other images, two or more, but the run has 1"):
        KID(Means(), patch=4).require(RUN, 1)
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "images" / "0.png")
    with pytest.raises(ValueError, match="the run has 18 and the reference 1"):
        FID(Means(), ImageFolder(tmp_path / "images")).require(RUN, 9)
    np.savez(tmp_path / "statistics.npz", mu=np.zeros(6), sigma=np.eye(6))
    known = Statistics(tmp_path / "statistics.npz")
    FID(Means(), known).require(RUN, 1)  # two samples
    with pytest.raises(ValueError, match="the run has 1 and the reference a known mean"):
        FID(Means(), known).require(solver(AveragePool(4), 1), 1)


@pytest.mark.filterwarnings("error")
def test_few_images_are_warned_about() -> None:
    with pytest.warns(UserWarning, match="Against 9 images, fid_means of the samples of 9 images is biased; 2048"):
        scored(FID(Means()), 9)


@pytest.mark.parametrize(("kind", "said"), [(FID, "is biased"), (KID, "may be negative by chance.")])
def test_what_is_warned_about_is_in_the_definition(
    kind: type[FeatureDistance], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    metric = kind(Means())
    scored(metric, 9)
    assert said in metric.definition(metric.key)["caution"]
    monkeypatch.setattr("dis_lightning.metrics.feature_distance.ENOUGH", 9)
    scored(metric, 9)
    assert "caution" not in metric.definition(metric.key)


@pytest.mark.filterwarnings("error")
def test_images_are_counted_and_not_their_samples_or_pieces_and_the_references_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dis_lightning.metrics.feature_distance.ENOUGH", 9)
    scored(FID(Means()), 9)
    with pytest.warns(UserWarning, match="Against 8 images, .* of 8 images is biased"):  # 64 pieces of 16 samples
        scored(FID(Means(), patch=4), 8)
    (tmp_path / "images").mkdir()
    for number in range(2):
        Image.fromarray(noise_images(8, 8, 3, seed=number).numpy()).save(tmp_path / "images" / f"{number}.png")
    with pytest.warns(UserWarning, match="Against 2 images, .* of 9 images is biased"):
        scored(FID(Means(), ImageFolder(tmp_path / "images")), 9)
    np.savez(tmp_path / "statistics.npz", mu=np.zeros(6), sigma=np.eye(6))
    known = Statistics(tmp_path / "statistics.npz")
    scored(FID(Means(), known), 9)
    with pytest.warns(UserWarning, match="Against known statistics, .* of 8 images is biased"):
        scored(FID(Means(), known), 8)
