"""The Gaussian of rooms has the moments of the rooms, and says what takes long."""

import numpy as np
import pytest
import torch

from dis_lightning.rooms import prior, render_room, rooms_gaussian


def test_it_has_the_mean_and_the_covariance_of_the_rooms() -> None:
    fitted = rooms_gaussian(size=8, num_images=50, split="tune", seed=2)
    rooms = np.stack([render_room("tune", index, 8, 2).image for index in range(50)])
    pixels = rooms.transpose(0, 3, 1, 2).reshape(50, -1) / 127.5 - 1
    np.testing.assert_allclose(fitted.mean.flatten(), pixels.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(fitted.covariance, np.cov(pixels.T), atol=1e-5)


def test_a_large_one_says_that_it_takes_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rooms_gaussian(size=8, num_images=5)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(prior, "LONG", 7)
    assert rooms_gaussian(size=8, num_images=5).shape == torch.Size([3, 8, 8])
    assert "covariance of 192 values: minutes" in capsys.readouterr().err


def test_one_room_has_no_covariance() -> None:
    with pytest.raises(ValueError, match="two rooms or more, but got num_images=1"):
        rooms_gaussian(num_images=1)
