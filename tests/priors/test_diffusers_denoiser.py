"""Priors read from folders that the diffusers package wrote, against its own samplers."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, EulerDiscreteScheduler, UNet2DModel
from PIL import Image
from torch import Tensor

from dis_lightning.levels import VPLevels
from dis_lightning.main import main
from dis_lightning.operators import AveragePool
from dis_lightning.priors import EDM, DiffusersDenoiser
from dis_lightning.solvers import DPS

SIZE = 8
SMALL = {
    "sample_size": SIZE,
    "block_out_channels": (32, 32),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    # As in the repositories of google/ddpm-*.
    "freq_shift": 1,
    "flip_sin_to_cos": False,
    "norm_eps": 1e-6,
    "attention_head_dim": None,
    "downsample_padding": 0,
}


def network(**changes: Any) -> UNet2DModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return UNet2DModel(**SMALL, **changes).requires_grad_(False).eval()


def written(folder: Path, scheduler: Any, *, layout: str = "unet", safe: bool = True, **changes: Any) -> UNet2DModel:
    """A repository as diffusers writes it today, or as those of 2022 are: everything at the root."""
    unet = network(**changes)
    unet.save_pretrained(folder / layout, safe_serialization=safe)
    scheduler.save_pretrained(folder / ("scheduler" if layout else ""))
    return unet


SCHEDULERS: dict[str, Any] = {
    "ddpm": DDPMScheduler(clip_sample=False),
    "scaled_linear": DDPMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False
    ),
    "cosine": DDIMScheduler(beta_schedule="squaredcos_cap_v2", clip_sample=False),
    "sigmoid": DDPMScheduler(beta_schedule="sigmoid", clip_sample=False),
    "own betas": DDPMScheduler(trained_betas=[0.01, 0.02, 0.1, 0.3], num_train_timesteps=4, clip_sample=False),
    "velocity": DDIMScheduler(prediction_type="v_prediction", clip_sample=False),
    "sample": DDIMScheduler(prediction_type="sample", clip_sample=False),
    "zero snr": DDIMScheduler(rescale_betas_zero_snr=True, prediction_type="v_prediction", clip_sample=False),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_clean_image_is_that_of_the_samplers_of_diffusers(name: str, tmp_path: Path) -> None:
    scheduler = SCHEDULERS[name]
    unet = written(tmp_path, scheduler)
    prior = DiffusersDenoiser(tmp_path)
    abar = scheduler.alphas_cumprod.double()
    steps = len(abar)
    assert len(prior.schedule) == steps - (name == "zero snr")
    generator = torch.Generator().manual_seed(1)
    for t in {steps // 4, steps // 2, 3 * steps // 4}:
        z = torch.randn(2, 3, SIZE, SIZE, generator=generator)
        scheduler.set_timesteps(steps)
        said = scheduler.step(unet(z, t).sample, t, z).pred_original_sample
        sigma = float((1 / abar[t] - 1).sqrt())
        assert float(prior.schedule.sigmas[t]) == pytest.approx(sigma, rel=1e-3)
        # At the level of our own table, for theirs is in float32.
        sigma = float(prior.schedule.sigmas[t])
        x_t = z * (1 + sigma**2) ** 0.5
        found = prior(x_t, sigma)
        assert (found - said).norm() < 2e-4 * max(float(said.norm()), sigma * float(z.norm()))
        torch.testing.assert_close(prior(x_t, torch.full((2,), sigma)), found, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layout", ["unet", ""])
@pytest.mark.parametrize("safe", [True, False])
def test_old_and_new_layouts_and_both_kinds_of_weights_are_read(layout: str, safe: bool, tmp_path: Path) -> None:
    unet = written(tmp_path, SCHEDULERS["ddpm"], layout=layout, safe=safe)
    prior = DiffusersDenoiser(tmp_path)
    assert prior.shape == (3, SIZE, SIZE)
    z = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2))
    sigma = float(prior.schedule.sigmas[500])
    expected = (1 + sigma**2) ** 0.5 * z - sigma * unet(z, 500).sample
    torch.testing.assert_close(prior((1 + sigma**2) ** 0.5 * z, sigma), expected, rtol=1e-5, atol=1e-4)
    if layout:  # the network's own folder is enough, where the sampler's lies beside it
        assert DiffusersDenoiser(tmp_path / "unet").shape == (3, SIZE, SIZE)


def test_attention_of_2022_is_known_by_its_old_names(tmp_path: Path) -> None:
    unet = written(tmp_path, SCHEDULERS["ddpm"], layout="", safe=False)
    file = tmp_path / "diffusion_pytorch_model.bin"
    old = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    state = torch.load(file, weights_only=True)
    for new, before in old.items():
        state = {key.replace(new, before): value for key, value in state.items()}
    assert any(".query." in key for key in state)
    torch.save(state, file)
    z = torch.randn(1, 3, SIZE, SIZE)
    prior = DiffusersDenoiser(tmp_path)
    sigma = float(prior.schedule.sigmas[300])
    expected = (1 + sigma**2) ** 0.5 * z - sigma * unet(z, 300).sample
    torch.testing.assert_close(prior((1 + sigma**2) ** 0.5 * z, sigma), expected, rtol=1e-5, atol=1e-4)


def test_a_learned_variance_is_dropped_and_classes_are_bound(tmp_path: Path) -> None:
    unet = written(tmp_path, SCHEDULERS["ddpm"], out_channels=6, num_class_embeds=5)
    prior = DiffusersDenoiser(tmp_path)
    assert prior.num_classes == 5
    labels, z = torch.tensor([4, 1]), torch.randn(2, 3, SIZE, SIZE)
    sigma = float(prior.schedule.sigmas[100])
    found = prior.given(labels)((1 + sigma**2) ** 0.5 * z, sigma)
    said = unet(z, 100, class_labels=labels).sample[:, :3]
    torch.testing.assert_close(found, (1 + sigma**2) ** 0.5 * z - sigma * said, rtol=1e-5, atol=1e-4)
    with pytest.raises(ValueError, match="integer label"):
        prior.given(torch.tensor([5]))


def test_gradients_reach_the_noisy_image_and_a_precision_is_the_networks(tmp_path: Path) -> None:
    written(tmp_path, SCHEDULERS["ddpm"])
    x_t = torch.randn(1, 3, SIZE, SIZE).requires_grad_()
    exact = DiffusersDenoiser(tmp_path)(x_t, 0.5)
    (slope,) = torch.autograd.grad(exact.sum(), x_t)
    assert slope.isfinite().all()
    half = DiffusersDenoiser(tmp_path, dtype="bfloat16")(x_t, 0.5)
    assert half.dtype == torch.float32
    assert 0 < float((half - exact).detach().abs().max()) < 0.1


def spoiled(folder: Path, file: str, **changes: Any) -> None:
    path = folder / file
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, **changes}))


def test_what_cannot_be_read_is_said_in_one_line(tmp_path: Path) -> None:
    written(tmp_path, SCHEDULERS["ddpm"])
    scheduler = "scheduler/scheduler_config.json"
    spoiled(tmp_path, scheduler, prediction_type="flow")
    with pytest.raises(ValueError, match="predicts 'flow'"):
        DiffusersDenoiser(tmp_path)
    spoiled(tmp_path, scheduler, prediction_type="epsilon", beta_schedule="exp")
    with pytest.raises(ValueError, match=r"beta_schedule must be one of linear, .* but got 'exp'"):
        DiffusersDenoiser(tmp_path)
    spoiled(tmp_path, scheduler, beta_schedule="linear", _class_name="CMStochasticIterativeScheduler")
    with pytest.raises(ValueError, match="networks give a consistency map: take ConsistencyModel"):
        DiffusersDenoiser(tmp_path)
    (tmp_path / scheduler).write_text("{")
    with pytest.raises(ValueError, match="is no JSON"):
        DiffusersDenoiser(tmp_path)
    (tmp_path / scheduler).unlink()
    with pytest.raises(FileNotFoundError, match=r"has no scheduler_config\.json, which says on which noise levels"):
        DiffusersDenoiser(tmp_path)
    with pytest.raises(FileNotFoundError, match="neither a folder nor a hub id"):
        DiffusersDenoiser(tmp_path / "nowhere" / "at" / "all")


def test_weights_cut_short_or_of_another_network_are_named(tmp_path: Path) -> None:
    written(tmp_path, SCHEDULERS["ddpm"])
    file = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="diffusion_pytorch_model"):
        DiffusersDenoiser(tmp_path).load()
    file.write_bytes(whole)
    spoiled(tmp_path, "unet/config.json", block_out_channels=[32, 64])
    with pytest.raises(ValueError, match="differ in shape"):
        DiffusersDenoiser(tmp_path).load()


def test_an_edm_is_not_made_of_it(tmp_path: Path) -> None:
    written(tmp_path, DDPMScheduler())
    # Ours has no such blocks; what the sampler says is seen first where the blocks fit.
    with pytest.raises(ValueError, match="diffusers"):
        EDM(tmp_path)


def test_a_sampler_of_edm_form_is_refused(tmp_path: Path) -> None:
    written(tmp_path, EulerDiscreteScheduler())
    assert DiffusersDenoiser(tmp_path).prediction == "epsilon"  # Euler steps on a discrete schedule


def test_without_the_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, SCHEDULERS["ddpm"])
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ModuleNotFoundError, match=r"dis-lightning\[diffusers\]"):
        DiffusersDenoiser(tmp_path).load()


def test_dps_with_a_folder_of_diffusers_in_python_and_from_the_command_line(tmp_path: Path, in_project: None) -> None:
    written(tmp_path / "ddpm", SCHEDULERS["ddpm"])
    operator = AveragePool(4, noise_std=0.1)
    solver = DPS(operator, DiffusersDenoiser(tmp_path / "ddpm", clip=True), VPLevels(3), scale=1.0)
    assert solver.denoiser.sigma_range == (VPLevels(1000)[-2], VPLevels(1000)[0])
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (SIZE, SIZE), (200, 90, 20)).save(tmp_path / "pictures" / "a.png")
    main(
        [
            "predict",
            "--config=configs/data/folder.yaml",
            f"--data.root={tmp_path / 'pictures'}",
            "--data.num_images=1",
            f"--data.transform.size={SIZE}",
            "--data.num_workers=0",
            "--denoiser=DiffusersDenoiser",
            f"--denoiser.network={tmp_path / 'ddpm'}",
            "--denoiser.clip=true",
            "--config=configs/operators/average_pool_x4.yaml",
            "--config=configs/solvers/dps.yaml",
            "--model.levels=VPLevels",
            "--model.levels.steps=3",
            "--trainer.accelerator=cpu",
            f"--writer.folder={tmp_path / 'run'}",
        ]
    )
    assert len(list((tmp_path / "run" / "samples").glob("*.png"))) == 1


def test_levels_of_a_tensor_are_those_of_each_image(tmp_path: Path) -> None:
    written(tmp_path, SCHEDULERS["ddpm"])
    prior = DiffusersDenoiser(tmp_path)
    x_t: Tensor = torch.randn(2, 3, SIZE, SIZE)
    both = prior(x_t, torch.tensor([0.3, 5.0]))
    for row, sigma in enumerate((0.3, 5.0)):
        torch.testing.assert_close(both[row : row + 1], prior(x_t[row : row + 1], sigma), rtol=1e-4, atol=1e-4)
