"""Motion blur against SciPy and DeepInverse, and the law of its paths."""

import math

import deepinv.physics
import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import torch
from PIL import Image, ImageDraw, ImageFilter

from dis_lightning.operators import MotionBlur
from dis_lightning.operators.motion import _drawn, _path


def images(height: int = 24, width: int = 40) -> torch.Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1


@pytest.mark.parametrize(("kernel_size", "intensity", "seed"), [(9, 0.5, 0), (15, 1.0, 3), (1, 0.0, 1)])
def test_it_is_the_circular_convolution_of_scipy(kernel_size: int, intensity: float, seed: int) -> None:
    operator, x = MotionBlur(kernel_size, intensity, seed=seed), images()
    expected = scipy.ndimage.convolve(x.numpy(), operator.kernel().numpy()[None, None], mode="wrap")
    np.testing.assert_allclose(operator(x), expected, rtol=0, atol=1e-12)


def test_a_kernel_larger_than_the_image_wraps_around_it() -> None:
    operator, x = MotionBlur(31, 0.5, seed=1), images(8, 12)
    repeated = scipy.ndimage.convolve(x.repeat(1, 1, 5, 5).numpy(), operator.kernel().numpy()[None, None], mode="wrap")
    np.testing.assert_allclose(operator(x), repeated[..., 16:24, 24:36], rtol=0, atol=1e-12)


def test_it_is_the_fourier_blur_of_deepinverse() -> None:
    operator, x = MotionBlur(9, 0.5, seed=4, tolerance=1e-4), images()
    twin = deepinv.physics.BlurFFT((3, 24, 40), filter=operator.kernel()[None, None])
    y = operator(x)
    torch.testing.assert_close(twin.A(x), y, rtol=0, atol=1e-12)
    torch.testing.assert_close(twin.A_adjoint(y), operator.adjoint(y), rtol=0, atol=1e-12)
    torch.testing.assert_close(twin.prox_l2(x, y, gamma=3.0), operator.proximal(x, y, step=3.0), rtol=0, atol=1e-9)


@pytest.mark.parametrize("intensity", [0.0, 0.5, 1.0])
def test_a_kernel_is_a_distribution_centred_at_its_middle_pixel(intensity: float) -> None:
    for seed in range(20):
        kernel = MotionBlur(31, intensity, seed=seed).kernel()
        assert kernel.min() >= 0
        assert kernel.sum().item() == pytest.approx(1, abs=1e-12)
        assert kernel.shape == (31, 31)
    path = _path(np.random.default_rng(0), 31, intensity)
    assert abs(path.mean()) < 1e-12


def test_the_path_follows_from_the_seed_alone() -> None:
    assert torch.equal(MotionBlur(seed=7).kernel(), MotionBlur(noise_std=0.3, seed=7).kernel())
    assert not torch.equal(MotionBlur(seed=7).kernel(), MotionBlur(seed=8).kernel())


def drawn_by_the_source(random: np.random.Generator, size: int, intensity: float) -> tuple[np.ndarray, np.ndarray]:
    """A kernel by the rules of the field's generator, step by step, at twice the size; and the lengths of its steps."""
    wide = 2 * size
    diagonal, steps, angles = math.hypot(wide, wide), [], []
    most = 0.75 * diagonal * (random.uniform() + random.uniform(0, intensity**2))
    while sum(steps) < most:
        if (step := random.beta(1, 30) * (1.1 - intensity) * diagonal) < most:
            steps.append(step)
    largest, turning = random.uniform(0, intensity * math.pi), random.beta(2, 20)
    angles.append(random.uniform(-largest, largest))
    for _ in steps[1:]:
        size_of_angle = random.triangular(0, intensity * largest, largest + 0.1)
        angles.append(size_of_angle * math.copysign(1, angles[-1]) * (-1 if random.uniform() < turning else 1))
    ends = np.cumsum([step * np.exp(1j * angle) for step, angle in zip(steps, angles, strict=True)])
    ends = (ends - ends.sum() / len(ends)) * np.exp(1j * random.uniform(0, math.pi)) + (wide + 1j * wide) / 2
    picture = Image.new("RGB", (wide, wide))
    ImageDraw.Draw(picture).line([(end.real, end.imag) for end in ends], width=int(diagonal / 150))
    picture = picture.filter(ImageFilter.GaussianBlur(int(diagonal * 0.01))).resize((size, size), Image.LANCZOS)
    kernel = np.asarray(picture.convert("L"), dtype=float)
    return kernel / kernel.sum(), np.abs(np.diff(ends)) / 2


def test_kernels_have_the_law_of_the_fields_generator() -> None:
    """Their effective number of pixels, the length of the path and of its steps, the number of steps, the spread."""

    def seen(kernel: np.ndarray, steps: np.ndarray) -> list[float]:
        place = np.arange(61) - 30
        spread = (kernel.sum(axis=0) * place**2).sum() + (kernel.sum(axis=1) * place**2).sum()
        return [1 / (kernel**2).sum(), steps.sum(), steps.mean(), len(steps), spread]

    ours, theirs = [], []
    for seed in range(600):
        path = _path(np.random.default_rng(seed), 61, 0.5)
        ours.append(seen(_drawn(path, 61), np.abs(np.diff(path))))
        theirs.append(seen(*drawn_by_the_source(np.random.default_rng(20_000 + seed), 61, 0.5)))
    for one, other in zip(np.transpose(ours), np.transpose(theirs), strict=True):
        assert scipy.stats.ks_2samp(one, other).pvalue > 1e-3
    assert np.mean(ours, axis=0)[0] == pytest.approx(78, abs=6)  # it was 66 with one segment more and without the blur


def test_a_path_begins_at_the_end_of_its_first_step() -> None:
    for seed in range(20):
        random = np.random.default_rng(seed)
        length, steps = 0.75 * math.hypot(61, 61) * (random.uniform() + random.uniform(0, 0.25)), []
        while sum(steps) < length:
            steps += [step for step in [0.6 * math.hypot(61, 61) * random.beta(1, 30)] if step < length]
        path = _path(np.random.default_rng(seed), 61, 0.5)
        np.testing.assert_allclose(np.abs(np.diff(path)), steps[1:], rtol=1e-12)


def test_without_intensity_a_path_is_almost_straight_and_with_it_it_turns() -> None:
    def turn(intensity: float) -> float:
        steps = [np.diff(_path(np.random.default_rng(seed), 61, intensity)) for seed in range(50)]
        return float(np.mean([np.abs(np.angle(step[1:] / step[:-1])).mean() for step in steps if len(step) > 2]))

    assert turn(0.0) < 0.05
    assert turn(0.0) < turn(0.3) < turn(1.0)


def test_a_straight_line_is_even_and_thin() -> None:
    kernel = _drawn(np.array([-20, 20]), 61)
    along, across = kernel.sum(axis=0), kernel.sum(axis=1)
    np.testing.assert_allclose(along[12:49], along[30], rtol=0.02)
    assert across[29:32].sum() > 0.9
    assert max(along[:8].max(), along[-8:].max()) == 0


def test_a_place_that_is_crossed_again_is_as_bright_as_any_other() -> None:
    there = _drawn(np.array([-20, 20]), 61)
    np.testing.assert_array_equal(_drawn(np.array([-20, 20, -20]), 61), there)


def test_what_leaves_the_kernel_is_cut_off() -> None:
    kernel = _drawn(np.array([0, 100]), 61)
    assert kernel[:, :28].sum() == 0
    np.testing.assert_allclose(kernel.sum(axis=0)[33:], kernel.sum(axis=0)[45], rtol=0.02)


@pytest.mark.parametrize("size", [1, 3, 5, 9])
def test_small_kernels_have_a_line_too(size: int) -> None:
    assert all(np.isfinite(_drawn(_path(np.random.default_rng(seed), size, 1.0), size)).all() for seed in range(200))


def test_the_pseudo_inverse_restores_the_frequencies_that_the_kernel_passes() -> None:
    operator = MotionBlur(15, 0.5, seed=2)
    kept = operator.pseudo_inverse(operator(images()))
    torch.testing.assert_close(operator.pseudo_inverse(operator(kept)), kept, rtol=0, atol=1e-10)
    gain = operator.pseudo_inverse(torch.randn(1, 3, 24, 40, dtype=torch.float64)).std()
    assert gain < 1 / operator.tolerance


@pytest.mark.parametrize(
    "arguments", [{"kernel_size": 60}, {"intensity": 1.5}, {"intensity": -0.1}, {"tolerance": 0.0}, {"seed": -1}]
)
def test_arguments_out_of_range_are_refused_with_their_values(arguments: dict[str, float]) -> None:
    ((name, value),) = arguments.items()
    with pytest.raises(ValueError, match=f"MotionBlur needs .* but got .*{name}={value}"):
        MotionBlur(**arguments)
