"""Inpainting: which pixels each mask shows, and measurements that carry a mask of their own."""

import math
from pathlib import Path

import deepinv.physics
import numpy as np
import pytest
import scipy.stats
import torch
from lightning import Trainer
from lightning.pytorch.cli import LightningArgumentParser
from PIL import Image

from dis_lightning.arguments.parser import Parser
from dis_lightning.errors import InvalidValueError
from dis_lightning.levels import KarrasLevels
from dis_lightning.noise import NoiseSource
from dis_lightning.operators import BoxInpainting, Inpainting, MaskInpainting, Operator, RandomInpainting
from dis_lightning.priors import FiniteAtomPrior
from dis_lightning.rooms import RoomsData
from dis_lightning.solvers import Unguided


def images(count: int = 2, height: int = 32, width: int = 32) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0)) + 1


@pytest.mark.parametrize(("visible", "count"), [(0.1, 102), (0.2, 205), (0.5, 512), (1.0, 1024)])
def test_exactly_the_visible_share_of_the_pixels_is_seen(visible: float, count: int) -> None:
    mask = RandomInpainting(visible).mask(images())
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    assert mask.sum() == count


def test_the_same_pixels_are_seen_in_all_images_and_channels() -> None:
    seen = RandomInpainting(0.3)(images()) != 0
    assert torch.equal(seen, seen[:1, :1].expand_as(seen))
    assert torch.equal(seen[0, 0], RandomInpainting(0.3)(images(7))[6, 2] != 0)


def test_seen_pixels_keep_their_value_and_the_others_are_zero() -> None:
    x, measured = images(), RandomInpainting(0.3)(images())
    seen = measured != 0
    assert torch.equal(measured[seen], x[seen])
    assert 0 < seen.float().mean() < 1


def test_the_mask_follows_from_seed_and_size_alone() -> None:
    mask = RandomInpainting(0.5, seed=3).mask(images())
    used = RandomInpainting(0.5, noise_std=1.0, seed=3)
    used.measure(images(1, 8, 8), NoiseSource(9, [4]))
    assert torch.equal(used.mask(images(5).double()), mask.double())


def test_masks_of_other_seeds_agree_by_chance_alone() -> None:
    count, seen = 1024, 512
    masks = torch.stack([RandomInpainting(0.5, seed=seed).mask(images()) for seed in range(6)]).flatten(1)
    # Pixels seen by two independent masks: hypergeometric, variance n^2/4 (1/4) / (n - 1) for halves of n pixels.
    overlap = masks @ masks.T - count / 4
    spread = math.sqrt(seen**2 / 4 / (count - 1))
    assert overlap.fill_diagonal_(0).abs().max() < 5 * spread


def test_pixels_are_chosen_evenly_over_the_image() -> None:
    shares = torch.stack([RandomInpainting(0.25, seed=seed).mask(images(1, 8, 8)) for seed in range(400)]).mean(0)
    assert (shares - 0.25).abs().max() < 5 * math.sqrt(0.25 * 0.75 / 400)


def test_hidden_pixels_of_a_measurement_hold_noise_and_its_picture_shows_them_grey() -> None:
    operator = RandomInpainting(0.2, noise_std=0.1)
    y = operator.measure(images(), NoiseSource(0, [0, 1]))
    hidden = (operator.mask(y) == 0).expand_as(y)
    count = int(hidden.sum())
    assert abs(y[hidden].std() / 0.1 - 1) < 5 / math.sqrt(2 * count)
    assert (operator.picture(y)[hidden] == 0).all()


@pytest.mark.parametrize("visible", [0.0, -0.1, 1.1, float("nan"), (0.7, 0.3), (0.0, 0.5), (0.5, 1.1)])
def test_a_share_out_of_range_is_refused(visible: float | tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"visible share in \(0, 1\]"):
        RandomInpainting(visible)


def test_a_share_of_no_pixel_is_refused() -> None:
    with pytest.raises(ValueError, match=r"visible=0\.001 of 8 x 8 pixels is none; use a larger share"):
        RandomInpainting(0.001)(images(1, 8, 8))


def test_the_mask_tells_nothing_of_the_measurement_noise() -> None:
    # Seed 0 chooses the mask, and seed 0 and image 0 the noise: streams that must not be the same.
    operator = RandomInpainting(visible=0.2, noise_std=1.0, seed=0)
    x_0 = torch.zeros(1, 3, 64, 64)
    y = operator.measure(x_0, NoiseSource(0, [0]))
    seen = operator.mask(x_0).bool()
    count = int(seen.sum())
    assert (y[0][:, seen].mean(dim=1).abs() < 5 / count**0.5).all()


EACH_ITS_OWN = [RandomInpainting(0.3, noise_std=0.1, per_image=True), BoxInpainting(0.5, noise_std=0.1)]

for_masks_of_their_own = pytest.mark.parametrize("operator", EACH_ITS_OWN, ids=repr)


@for_masks_of_their_own
def test_a_mask_of_its_own_follows_from_the_noise_of_its_image_alone(operator: Inpainting) -> None:
    together = operator.measure(images(3), NoiseSource(0, [4, 0, 9]))
    alone = operator.measure(images(3)[1:2], NoiseSource(0, [0]))
    torch.testing.assert_close(together[1:2], alone, rtol=0, atol=0, equal_nan=True)
    seen = ~together.isnan()
    assert torch.equal(seen, seen[:, :1].expand_as(seen))
    assert not torch.equal(seen[0], seen[1])


@for_masks_of_their_own
def test_only_pixels_that_were_seen_count(operator: Inpainting) -> None:
    x, other = images(2), images(2) + 0.5
    y = operator.measure(x, NoiseSource(0, [0, 1]))
    seen = ~y.isnan()
    assert torch.equal(operator.distance(other.where(seen, 7.0), y), operator.distance(other, y))
    residual = (other - y).nan_to_num(0.0).flatten(1).double()
    torch.testing.assert_close(operator.distance(other, y).double(), residual.norm(dim=1))
    torch.testing.assert_close(operator.energy(other, y).double(), residual.square().sum(1) / (2 * 0.1**2))
    slope = torch.func.grad(lambda x: operator.distance(x, y).sum())(other)
    assert (slope[~seen] == 0).all()
    assert slope.isfinite().all()
    torch.testing.assert_close(slope, operator.adjoint(other - y) / operator.distance(other, y).reshape(-1, 1, 1, 1))


@for_masks_of_their_own
def test_merging_a_measurement_into_an_image_changes_the_seen_pixels_alone(operator: Inpainting) -> None:
    x, other = images(2), images(2) + 0.5
    y = operator.measure(x, NoiseSource(0, [0, 1]))
    merged = other - operator.pseudo_inverse(operator(other) - y)
    torch.testing.assert_close(merged, torch.where(y.isnan(), other, y))
    halfway = torch.where(y.isnan(), other, (other + 3 * y) / 4)
    torch.testing.assert_close(operator.proximal(other, y, step=3.0), halfway)
    assert (operator.picture(y)[y.isnan()] == 0).all()


@for_masks_of_their_own
def test_the_noise_of_a_seen_pixel_does_not_tell_whether_its_neighbours_are_seen(operator: Inpainting) -> None:
    y = operator.measure(torch.zeros(40, 3, 16, 16), NoiseSource(0, range(40)))
    noise = y[~y.isnan()]
    assert scipy.stats.kstest(noise / 0.1, "norm").pvalue > 1e-4


def test_the_posterior_of_atoms_is_that_of_the_seen_pixels() -> None:
    operator = RandomInpainting(0.3, noise_std=0.8, per_image=True)
    atoms = images(6, 8, 8)
    y = operator.measure(atoms[2:3], NoiseSource(1, [0]))
    log_likelihood = -(atoms - y).square().nansum(dim=(1, 2, 3)) / (2 * 0.8**2)
    posterior = FiniteAtomPrior(atoms).posterior(operator, y)
    torch.testing.assert_close(posterior.weights, log_likelihood.softmax(0))


@pytest.mark.parametrize(("visible", "count"), [(0.1, 102), (0.5, 512)])
def test_each_mask_of_its_own_has_exactly_the_visible_share(visible: float, count: int) -> None:
    operator = RandomInpainting(visible, per_image=True)
    seen = ~operator.measure(images(5), NoiseSource(0, range(5))).isnan()
    assert seen[:, 0].sum(dim=(1, 2)).tolist() == [count] * 5


def test_a_share_that_is_drawn_is_even_between_its_ends_and_of_the_image_alone() -> None:
    operator = RandomInpainting((0.3, 0.7), per_image=True)
    masks = operator.masks(16, 16, NoiseSource(0, range(400)))
    shares = masks.mean(dim=(1, 2, 3))
    assert scipy.stats.kstest(shares.numpy(), scipy.stats.uniform(0.3, 0.4).cdf).pvalue > 1e-3
    assert torch.equal(operator.masks(16, 16, NoiseSource(0, [7, 5])), masks[[7, 5]])
    # The pixels are those of a share that is not drawn, as far as they go.
    fixed = RandomInpainting(0.3, per_image=True).masks(16, 16, NoiseSource(0, range(400)))
    assert (masks >= fixed).all()
    for_all = torch.stack([RandomInpainting((0.2, 0.4), seed=seed).mask(images()).mean() for seed in range(40)])
    assert 0.2 <= for_all.min() < 0.25 < 0.35 < for_all.max() <= 0.4


def test_the_ends_of_a_share_are_read_from_a_configuration() -> None:
    parser = Parser()
    parser.add_subclass_arguments(Operator, "operator")
    given = {"class_path": "RandomInpainting", "init_args": {"visible": [0.3, 0.7], "per_image": True}}
    operator = parser.instantiate_classes(parser.parse_object({"operator": given}))["operator"]
    assert operator.visible == (0.3, 0.7)


def test_masks_of_their_own_choose_pixels_evenly_over_the_image() -> None:
    masks = RandomInpainting(0.25, per_image=True).masks(8, 8, NoiseSource(0, range(400)))
    assert (masks.mean(0) - 0.25).abs().max() < 5 * math.sqrt(0.25 * 0.75 / 400)


def test_there_is_no_mask_for_all_where_each_image_has_its_own() -> None:
    with pytest.raises(ValueError, match="RandomInpainting has no mask for all images"):
        RandomInpainting(0.5, per_image=True).mask(images())


def test_a_box_hides_its_pixels_and_no_other() -> None:
    measured = BoxInpainting(0.5, position=(0.25, 0.375))(images(1, 16, 32))
    hidden = torch.zeros(16, 32, dtype=torch.bool)
    hidden[4:12, 12:28] = True
    assert torch.equal(measured[0, 0] == 0, hidden)
    assert torch.equal(measured[0, 2][~hidden], images(1, 16, 32)[0, 2][~hidden])


def test_boxes_are_drawn_evenly_over_the_places_that_keep_their_distance_from_the_border() -> None:
    masks = BoxInpainting(0.5, margin=1 / 16).masks(64, 64, NoiseSource(0, range(1000)))[:, 0]
    for axis in (1, 2):
        hidden = (masks == 0).any(dim=3 - axis)
        assert (hidden.sum(dim=1) == 32).all()
        first = hidden.int().argmax(dim=1)
        assert (first.min(), first.max()) == (4, 28)
        assert first.float().mean().item() == pytest.approx(16, abs=5 * 24 / math.sqrt(12 * 1000))


def test_a_box_without_noise_is_the_mask_of_deepinverse() -> None:
    operator, x = BoxInpainting(0.5, position=(0.0, 0.5)), images(2, 8, 8)
    twin = deepinv.physics.Inpainting((3, 8, 8), mask=operator.mask(x).expand(3, 8, 8))
    for mine, theirs in (
        (operator, twin.A),
        (operator.adjoint, twin.A_adjoint),
        (operator.pseudo_inverse, twin.A_dagger),
    ):
        torch.testing.assert_close(mine(x), theirs(x))


@pytest.mark.parametrize(
    "arguments",
    [{"size": 0.0}, {"size": 1.0}, {"size": 0.9, "margin": 0.1}, {"margin": -0.1}, {"position": (0.6, 0.0)}],
)
def test_a_box_that_does_not_fit_is_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"BoxInpainting needs size in .* box inside the image"):
        BoxInpainting(**arguments)


@pytest.mark.parametrize("size", [0.01, 0.99])
def test_a_box_that_is_empty_or_all_of_a_small_image_is_refused(size: float) -> None:
    with pytest.raises(ValueError, match=f"box of size={size} of 8 x 8 pixels is empty or hides all"):
        BoxInpainting(size, position=(0.0, 0.0))(images(1, 8, 8))


def half_seen(file: Path) -> np.ndarray:
    """Write a mask of 8 x 6 pixels, the upper half seen."""
    mask = np.zeros((8, 6), dtype=bool)
    mask[:4] = True
    if file.suffix == ".npy":
        np.save(file, mask[None].astype(np.float32))
    else:
        Image.fromarray((mask * 255).astype(np.uint8)).save(file)
    return mask


@pytest.mark.parametrize("name", ["mask.npy", "mask.png"])
def test_a_mask_is_read_from_a_file(name: str, tmp_path: Path) -> None:
    mask = half_seen(tmp_path / name)
    x = images(2, 8, 6)
    measured = MaskInpainting(str(tmp_path / name))(x)
    np.testing.assert_array_equal(measured, x.numpy() * mask)


def test_a_mask_of_another_size_is_refused_with_both_sizes(tmp_path: Path) -> None:
    half_seen(tmp_path / "mask.npy")
    with pytest.raises(ValueError, match=r"mask.npy has \(8, 6\) pixels and the images have \(8, 8\)"):
        MaskInpainting(str(tmp_path / "mask.npy"))(images(1, 8, 8))


@pytest.mark.parametrize("mask", [np.ones((3, 4, 4)), np.ones(4)])
def test_a_mask_that_is_no_map_is_refused(mask: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "mask.npy", mask)
    with pytest.raises(ValueError, match=r"must be one map, \(H, W\), but has the shape"):
        MaskInpainting(str(tmp_path / "mask.npy"))


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("name", ["mask.npy", "mask.png"])
@pytest.mark.parametrize(("value", "where"), [(0, "nowhere"), (1, "everywhere")])
def test_a_mask_that_hides_all_or_nothing_is_refused(
    value: int, where: str, name: str, invert: bool, tmp_path: Path
) -> None:
    file, mask = tmp_path / name, np.full((4, 4), value, dtype=np.uint8)
    np.save(file, mask) if name.endswith("npy") else Image.fromarray(mask * 255).save(file)
    with pytest.raises(ValueError, match=rf"must show some pixels and hide others, but is .* {where}"):
        MaskInpainting(str(file), invert=invert)


@pytest.mark.parametrize("name", ["mask.npy", "mask.png"])
def test_an_inverted_mask_has_white_holes(name: str, tmp_path: Path) -> None:
    mask = half_seen(tmp_path / name)
    x = images(2, 8, 6)
    np.testing.assert_array_equal(MaskInpainting(str(tmp_path / name), invert=True)(x), x.numpy() * ~mask)


def with_a_hole(file: Path, mask: np.ndarray, form: str = "RGBA") -> None:
    """A picture of noise that is opaque where it is seen, and nearly transparent elsewhere."""
    noise = np.random.default_rng(0).integers(0, 256, (*mask.shape, 3), dtype=np.uint8)
    opacity = np.where(mask, 128, 127).astype(np.uint8)
    Image.fromarray(np.dstack([noise, opacity])).convert(form).save(file)


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("form", ["RGBA", "LA"])
def test_a_mask_in_the_alpha_channel_is_read_whatever_the_colours(form: str, invert: bool, tmp_path: Path) -> None:
    mask = half_seen(tmp_path / "mask.npy")
    with_a_hole(tmp_path / "photo.png", mask, form)
    operator, x = MaskInpainting(str(tmp_path / "photo.png"), alpha=True, invert=invert), images(1, 8, 6)
    np.testing.assert_array_equal(operator(x), x.numpy() * (mask != invert))


def test_a_palette_with_a_transparent_colour_is_a_mask_in_the_alpha_channel(tmp_path: Path) -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.putdata([0, 1])
    picture.save(tmp_path / "mask.png", transparency=0)
    assert MaskInpainting(str(tmp_path / "mask.png"), alpha=True).mask(images(1, 1, 2)).tolist() == [[0, 1]]


def test_what_alpha_says_is_not_ignored(tmp_path: Path) -> None:
    with_a_hole(tmp_path / "photo.png", half_seen(tmp_path / "mask.png"))
    with pytest.raises(InvalidValueError, match=r"photo\.png has transparent pixels: set alpha=true if"):
        MaskInpainting(str(tmp_path / "photo.png"))
    with pytest.raises(InvalidValueError, match=r"mask\.png must show some .* is more than half opaque everywhere"):
        MaskInpainting(str(tmp_path / "mask.png"), alpha=True)
    half_seen(tmp_path / "mask.npy")
    with pytest.raises(InvalidValueError, match=r"mask\.npy must be one map.*; an array has no alpha channel"):
        MaskInpainting(str(tmp_path / "mask.npy"), alpha=True)


def test_an_opaque_alpha_channel_does_not_matter(tmp_path: Path) -> None:
    mask = half_seen(tmp_path / "mask.png")
    Image.open(tmp_path / "mask.png").convert("RGBA").save(tmp_path / "opaque.png")
    np.testing.assert_array_equal(MaskInpainting(str(tmp_path / "opaque.png")).mask(images(1, 8, 6)), mask)


def test_a_mask_of_16_bit_is_seen_where_it_is_brighter_than_half(tmp_path: Path) -> None:
    values = np.array([[0, 300, 32767, 32768, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "mask.png")
    assert MaskInpainting(str(tmp_path / "mask.png")).mask(images(1, 1, 5)).tolist() == [[0, 0, 0, 1, 1]]


def test_a_tilde_in_the_path_of_a_mask_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = half_seen(tmp_path / "mask.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    np.testing.assert_array_equal(MaskInpainting("~/mask.png").mask(images(1, 8, 6)), mask)


def masks_of(folder: Path, *names: str, size: tuple[int, int] = (4, 5)) -> dict[str, np.ndarray]:
    """Write random masks, pictures and arrays, other ones for each name."""
    generator = np.random.default_rng(0)
    masks = {name: generator.permutation(math.prod(size)).reshape(size) % 3 == 0 for name in names}
    for name, mask in masks.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(folder / name, mask) if name.endswith(".npy") else Image.fromarray(mask).save(folder / name)
    return masks


def test_each_image_has_the_mask_of_its_index_in_any_batch(tmp_path: Path) -> None:
    masks = masks_of(tmp_path, "10.png", "2.npy", "a/0.png", ".hidden/1.png")
    (tmp_path / "LICENSE.txt").touch()
    operator, x = MaskInpainting(str(tmp_path), noise_std=0.1), images(3, 4, 5)
    indices = [2, 0, 1]
    together = operator.measure(x, NoiseSource(3, indices))
    for row, index in enumerate(indices):
        alone = operator.measure(x[row : row + 1], NoiseSource(3, [index]))
        torch.testing.assert_close(together[row : row + 1], alone, rtol=0, atol=0, equal_nan=True)
        mask = masks[["10.png", "2.npy", "a/0.png"][index]]
        assert np.array_equal(~together[row].isnan().numpy(), np.broadcast_to(mask, (3, 4, 5)))
        seen = together[row].numpy()[:, mask]
        noise = (seen - x[row].numpy()[:, mask]) / 0.1
        assert 0.3 < np.abs(noise).mean() < 1.5


def test_masks_for_each_image_can_be_inverted_or_in_the_alpha_channel(tmp_path: Path) -> None:
    mask = half_seen(tmp_path / "elsewhere.npy")
    (tmp_path / "masks").mkdir()
    with_a_hole(tmp_path / "masks" / "0.png", mask)
    operator = MaskInpainting(str(tmp_path / "masks"), alpha=True, invert=True)
    y = operator.measure(images(1, 8, 6), NoiseSource(0, [0]))
    assert np.array_equal(y[0, 0].isnan(), mask)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a.jpg", "b.jpg", "c.jpg", "d.jpg"], r"holds masks for 3 images, but there is an image 3; .*num_images=3"),
        (
            ["a.jpg", "c.jpg"],
            r"Image 1 is c\.jpg, but mask 1 of \S+ is b\.png; give a mask for each image in their order",
        ),
        (["n01440764/b.JPEG", "n01440764/c.JPEG"], r"Image 0 is n01440764/b\.JPEG, but mask 0 of \S+ is a\.png"),
    ],
)
def test_masks_that_are_too_few_or_of_other_images_are_refused(names: list[str], message: str, tmp_path: Path) -> None:
    masks_of(tmp_path, "a.png", "b.png", "c.png")
    operator = MaskInpainting(str(tmp_path))
    with pytest.raises(InvalidValueError, match=message):
        operator.require(names)
    for right in (["a.jpg", "b.jpg"], ["val/a", "val/b", "val/c"], ["test/00000", "test/00001"], ["0.png"]):
        operator.require(right)


def test_masks_in_folders_belong_to_images_in_the_same(tmp_path: Path) -> None:
    masks_of(tmp_path, "a/0.png", "b/0.png")
    MaskInpainting(str(tmp_path)).require(["a/0.jpg", "b/0.jpg"])
    with pytest.raises(InvalidValueError, match=r"Image 0 is b/0\.jpg, but mask 0"):
        MaskInpainting(str(tmp_path)).require(["b/0.jpg"])


def test_a_folder_of_masks_is_checked_before_anything_is_sampled(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no masks"):
        MaskInpainting(str(tmp_path))
    masks_of(tmp_path, "0.png", "1.png")
    with pytest.raises(InvalidValueError, match=r"0\.png has \(4, 5\) pixels and the images have \(8, 8\)"):
        MaskInpainting(str(tmp_path)).accept((3, 8, 8))
    Image.fromarray(np.ones((4, 5), dtype=bool)).save(tmp_path / "2.png")
    masks_of(tmp_path, "3.png", size=(5, 4))
    operator = MaskInpainting(str(tmp_path))
    operator.require(["x", "y"])
    with pytest.raises(InvalidValueError, match=r"2\.png must show some pixels and hide others"):
        operator.require(["x", "y", "z"])
    (tmp_path / "2.png").unlink()
    with pytest.raises(InvalidValueError, match=r"3\.png has \(5, 4\) pixels and the images have \(4, 5\)"):
        MaskInpainting(str(tmp_path)).require(["x", "y", "z"])


def test_a_run_meets_the_mask_of_each_image_whatever_the_batches(tmp_path: Path) -> None:
    masks = masks_of(tmp_path / "masks", *(f"0000{index}.png" for index in range(3)), size=(8, 8))
    seen = [torch.from_numpy(mask).expand(3, 8, 8) for mask in masks.values()]
    for batch_size in (1, 2, 3):
        trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
        solver = Unguided(
            MaskInpainting(str(tmp_path / "masks")), FiniteAtomPrior(images(2, 8, 8) - 1), KarrasLevels(2)
        )
        found = trainer.predict(solver, RoomsData(size=8, num_images=3, batch_size=batch_size))
        assert torch.equal(~torch.cat([batch.measurement for batch in found]).isnan(), torch.stack(seen))
    with pytest.raises(InvalidValueError, match="holds masks for 3 images, but there is an image 3"):
        trainer.predict(solver, RoomsData(size=8, num_images=4))


def test_a_mask_of_complex_numbers_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "mask.npy", np.eye(4) * 1j)
    with pytest.raises(ValueError, match=r"mask\.npy holds complex numbers"):
        MaskInpainting(tmp_path / "mask.npy")


@pytest.mark.parametrize(
    ("mask", "count"),
    [(np.full((4, 4), np.nan), 16), (np.array([[1.0, np.nan], [0.0, 1.0]]), 1), (np.full((1, 4), np.inf), 4)],
)
def test_a_mask_of_numbers_that_are_neither_seen_nor_hidden_is_refused(
    mask: np.ndarray, count: int, tmp_path: Path
) -> None:
    np.save(tmp_path / "mask.npy", mask)
    with pytest.raises(ValueError, match=rf"mask\.npy has {count} values that are not finite"):
        MaskInpainting(str(tmp_path / "mask.npy"))


@pytest.mark.parametrize("suffix", [".npy", ".png"])
@pytest.mark.parametrize("length", [0, 20, 100])
def test_a_mask_that_broke_off_is_refused_with_its_name(suffix: str, length: int, tmp_path: Path) -> None:
    file = tmp_path / f"mask{suffix}"
    half_seen(file)
    file.write_bytes(file.read_bytes()[: min(length, file.stat().st_size - 20)])
    with pytest.raises(ValueError, match=rf"The mask .*mask\{suffix} cannot be read"):
        MaskInpainting(str(file))


@pytest.mark.parametrize("mask", [np.array([[None, 1]]), np.array([["seen", "hidden"]]), np.zeros((2, 2), dtype="f,i")])
def test_a_mask_of_other_things_than_numbers_is_refused_with_its_name(mask: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "mask.npy", mask, allow_pickle=True)
    with pytest.raises(ValueError, match=r"The mask .*mask\.npy cannot be read .* no \.npy array of numbers"):
        MaskInpainting(str(tmp_path / "mask.npy"))


def test_the_command_line_names_a_mask_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "mask.npy").write_bytes(b"broken")
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Operator, "operator")
    parsed = parser.parse_args(["--operator=MaskInpainting", f"--operator.file={tmp_path / 'mask.npy'}"])
    with pytest.raises(ValueError, match=r"mask\.npy") as refusal:
        parser.instantiate(parsed)
    cause: BaseException = refusal.value
    while cause.__cause__ is not None:  # as the command line does
        cause = cause.__cause__
    assert "mask.npy cannot be read" in str(cause)


def test_a_mask_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"There is no mask .*lost\.png"):
        MaskInpainting(str(tmp_path / "lost.png"))
