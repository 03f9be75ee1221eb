import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import VECTORS
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from dis_lightning.levels import KarrasLevels, Levels, VPLevels
from dis_lightning.main import main
from dis_lightning.operators import AveragePool
from dis_lightning.priors import EDM, VP, ConsistencyModel, Denoiser, GaussianPrior, UNet, load_network, save_network
from dis_lightning.priors.checkpoints.cards import file_cards
from dis_lightning.schedules import DiscreteSchedule
from dis_lightning.solvers import DPS, Unguided

NAMES = ("gd_legacy_tiny", "gd_new_classes_tiny")
CPU = torch.device("cpu")


def said(name: str) -> dict[str, Any]:
    """What the file of a vector says beside its weights, as arguments of `VP`."""
    content = json.loads((VECTORS / f"{name}.json").read_text())
    arguments = {"arguments": content["network"], "attention_order": content["attention_order"]}
    return arguments | {"schedule": content["schedule"]}


def expected(name: str) -> dict[str, Tensor]:
    return load_file(VECTORS / f"{name}.io.safetensors")


def prior(name: str, **changes: Any) -> Denoiser:
    found = VP(VECTORS / f"{name}.pt", **{**said(name), **changes})
    io = expected(name)
    return found.given(io["y"]) if "y" in io else found


def off(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).detach().norm() / wanted.norm())


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_guided_diffusion_denoises_as_its_own_code_does(name: str) -> None:
    io, denoiser = expected(name), prior(name)
    assert tuple(denoiser.shape) == (3, 32, 32)
    x_t = io["x_noisy"].clone().requires_grad_()
    x_0 = denoiser(x_t, io["sigma"])
    (slope,) = torch.autograd.grad(x_0.square().sum(), x_t)
    assert off(x_0, io["denoised"]) < 1e-5
    assert off(slope, io["sqnorm_grad"]) < 1e-4
    # And one by one, at levels that are floats.
    for row, sigma in enumerate(io["sigma"].tolist()):
        alone = prior(name)
        if "y" in io:
            alone = alone.given(io["y"][row : row + 1])
        assert off(alone(io["x_noisy"][row : row + 1], sigma), io["denoised"][row : row + 1]) < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_the_raw_network_gives_all_that_it_learned_the_variance_too(name: str) -> None:
    io = expected(name)
    told = said(name)
    network = load_network(VECTORS / f"{name}.pt", arguments=told["arguments"], attention_order=told["attention_order"])
    z = io["x_noisy"] / (1 + io["sigma"].square())[:, None, None, None].sqrt()
    raw = network(z, io["timestep"].float(), io.get("y"))
    assert raw.shape[1] == 6
    assert off(raw, io["raw_output"]) < 1e-5


@pytest.mark.parametrize(("name", "other"), [("gd_legacy_tiny", "new"), ("gd_new_classes_tiny", "legacy")])
def test_the_other_order_of_the_attention_is_seen_in_the_result(name: str, other: str) -> None:
    io = expected(name)
    assert off(prior(name, attention_order=other)(io["x_noisy"], io["sigma"]), io["denoised"]) > 1e-3


def test_a_network_is_saved_in_the_order_of_our_own(tmp_path: Path) -> None:
    told = said("gd_legacy_tiny")
    network = load_network(VECTORS / "gd_legacy_tiny.pt", arguments=told["arguments"], attention_order="legacy")
    save_network(network, tmp_path / "plain.safetensors", kind=VP.gives, schedule="linear")
    with pytest.raises(ValueError, match="the schedule linear, as its card or file says, but got cosine"):
        VP(tmp_path / "plain.safetensors", "cosine")
    io = expected("gd_legacy_tiny")
    assert off(VP(tmp_path / "plain.safetensors")(io["x_noisy"], io["sigma"]), io["denoised"]) < 1e-5
    with pytest.raises(ValueError, match="has the order of UNet"):
        VP(tmp_path / "plain.safetensors", attention_order="legacy").load()
    with pytest.raises(ValueError, match=r"prediction of noise, which EDM would take for a posterior mean.*for VP"):
        EDM(tmp_path / "plain.safetensors")


class Known(nn.Module):
    """A network of Gaussian images, right by the closed form: what it predicts, at an index of its schedule."""

    num_classes = None

    def __init__(self, law: GaussianPrior, schedule: DiscreteSchedule, predicts: str) -> None:
        super().__init__()
        self.law, self.schedule, self.predicts, self.shape = law, schedule, predicts, law.shape

    def forward(self, z: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        sigma = self.schedule.sigmas[t.round().long()]
        abar = 1 / (1 + sigma**2)[:, None, None, None]
        x_0 = self.law((z.double() / abar.sqrt()), sigma)
        epsilon = (z.double() - abar.sqrt() * x_0) / (1 - abar).sqrt()
        velocity = abar.sqrt() * epsilon - (1 - abar).sqrt() * x_0
        return {"epsilon": epsilon, "v_prediction": velocity, "sample": x_0}[self.predicts].to(z.dtype)


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "cosine"])
@pytest.mark.parametrize("predicts", ["epsilon", "v_prediction", "sample"])
def test_noise_velocity_and_image_lead_to_the_posterior_mean(schedule: Any, predicts: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(12, 12, generator=generator, dtype=torch.float64) / 4
    law = GaussianPrior(torch.zeros(3, 2, 2, dtype=torch.float64), root @ root.T + 0.01 * torch.eye(12))
    table = DiscreteSchedule.named(schedule)
    vp = VP(Known(law, table, predicts), schedule, prediction=predicts)  # type: ignore[arg-type]
    for index in (0, 1, 250, 700, 950):
        sigma = float(table.sigmas[index])
        x_t = (1 + sigma) * torch.randn(4, 3, 2, 2, generator=generator, dtype=torch.float64)
        torch.testing.assert_close(vp(x_t, sigma), law(x_t, sigma), rtol=1e-5, atol=1e-5)
        sigmas = torch.full((4,), sigma, dtype=torch.float64)
        torch.testing.assert_close(vp(x_t, sigmas), law(x_t, sigma), rtol=1e-5, atol=1e-5)


def test_below_its_lowest_level_an_image_keeps_its_noise_and_the_network_is_told_that_level() -> None:
    vp, heard = VP(tiny()), []
    vp.network.register_forward_pre_hook(lambda _, inputs: heard.append(inputs[1]))  # type: ignore[union-attr]
    x_t = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    x_0 = vp(x_t, 1e-4)
    assert heard[0].tolist() == [0.0]
    torch.testing.assert_close(x_0, x_t, atol=1e-3, rtol=0)


def test_clipped_pixels_pass_no_gradient() -> None:
    law = GaussianPrior(torch.full((3, 2, 2), 2.0), torch.eye(12))
    vp = VP(Known(law, DiscreteSchedule.named("linear"), "epsilon"), clip=True)  # type: ignore[arg-type]
    x_t = torch.zeros(1, 3, 2, 2).requires_grad_()
    x_0 = vp(x_t, 3.0)
    assert x_0.max() <= 1
    (slope,) = torch.autograd.grad(x_0.sum(), x_t)
    assert not slope[x_0 == 1].any()


def tiny(**changes: Any) -> UNet:
    arguments = {"model_channels": 32, "num_res_blocks": 1, "attention_resolutions": [8], "channel_mult": [1, 2]}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return UNet(16, **{**arguments, "num_head_channels": 16, **changes}).requires_grad_(False).eval()


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "cosine"])
def test_the_levels_that_it_knows_are_the_ends_of_its_schedule(schedule: Any) -> None:
    vp, levels = VP(tiny(), schedule), VPLevels(1000, schedule)
    assert vp.sigma_range == (levels[-2], levels[0])
    assert EDM(tiny()).sigma_range == (0.002, 80.0)


OPERATOR = AveragePool(factor=4, noise_std=0.1)


def test_levels_above_those_of_the_prior_are_refused_before_anything_is_sampled() -> None:
    with pytest.raises(ValueError, match=r"start at 80, but VP was trained on 0.02917 to 14.61: .* sigma_max 14.61"):
        Unguided(OPERATOR, VP(tiny(), "scaled_linear"), KarrasLevels(10, sigma_min=0.05))
    with pytest.raises(ValueError, match=r"start at 90, but EDM was trained on 0.002 to 80"):
        Unguided(OPERATOR, EDM(tiny()), Levels([90.0, 1.0, 0.0]))


def test_levels_below_those_of_the_prior_are_warned_of() -> None:
    with pytest.warns(UserWarning, match=r"1 of the 10 levels .* write sigma_min 0\.01 "):
        Unguided(OPERATOR, VP(tiny()), KarrasLevels(10, sigma_min=0.005, sigma_max=80.0, rho=3.0))
    # Not those that the papers take, nor the schedule's own, nor a prior in closed form.
    Unguided(OPERATOR, EDM(tiny()), KarrasLevels(10))
    Unguided(OPERATOR, VP(tiny()), VPLevels(10))
    Unguided(OPERATOR, GaussianPrior(torch.zeros(3, 16, 16), torch.eye(768)), KarrasLevels(10, 1e-5, 1e4))


class Own(Denoiser):
    """A prior of a user's own, which says nothing of noise levels."""

    shape = (3, 16, 16)

    def forward(self, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        return x_t / 2


def test_a_prior_that_does_not_say_its_levels_takes_all() -> None:
    assert Own().sigma_range == (0.0, float("inf"))
    Unguided(OPERATOR, Own(), KarrasLevels(10, 1e-6, 1e5))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attention_order": None}, "is of guided-diffusion, .* give attention_order"),
        ({"attention_order": "old"}, "attention_order must be one of legacy, new, not 'old'"),
        ({"arguments": None}, r"Nothing says how the network in .* \(those of UNet"),
        ({"schedule": "quadratic"}, "schedule must be one of linear, scaled_linear, cosine, but got 'quadratic'"),
        ({"prediction": "noise"}, "prediction must be one of epsilon, v_prediction, sample, not 'noise'"),
        ({"arguments": {"out_channels": 3}}, "out.2.weight .* instead of"),
        ({"arguments": {"out_channels": 5}}, "must give 3, or 6 with a learned variance, but this one gives 5"),
        ({"arguments": {"in_channels": 1, "out_channels": 1}}, "differ in shape"),
        ({"arguments": {"num_head_channels": 20}}, "num_head_channels"),
        ({"arguments": {"chanels": 3}}, "do not fit UNet"),
    ],
)
def test_what_does_not_fit_the_file_is_said_before_anything_is_sampled(changes: dict[str, Any], message: str) -> None:
    told = said("gd_legacy_tiny")
    if changes.get("arguments"):
        changes = {"arguments": told["arguments"] | changes["arguments"]}
    with pytest.raises(ValueError, match=message) as error:
        VP(VECTORS / "gd_legacy_tiny.pt", **{**told, **changes}).load()
    assert "PosixPath" not in str(error.value)


def test_a_file_cut_short_is_named(tmp_path: Path) -> None:
    whole = (VECTORS / "gd_legacy_tiny.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cut\.pt"):
        VP(tmp_path / "cut.pt", **said("gd_legacy_tiny")).load()


def test_an_order_that_is_not_the_cards_is_refused_before_a_download() -> None:
    with pytest.raises(ValueError, match="attention_order legacy, as its card or file says, but got new"):
        VP("imagenet256_uncond", attention_order="new")


def test_a_network_that_is_built_already_takes_no_arguments() -> None:
    with pytest.raises(ValueError, match="built already"):
        VP(tiny(), attention_order="new")


@pytest.mark.parametrize(
    ("file", "card"),
    [
        ("ffhq_10m.pt", "ffhq_256"),
        ("diffusion_ffhq_10m.pt", "ffhq_256"),
        ("256x256_diffusion_uncond.pt", "imagenet256_uncond"),
        ("64x64_diffusion.pt", "imagenet64"),
        ("lsun_horse.pt", "lsun_horse"),
    ],
)
def test_a_published_file_is_known_by_its_name(file: str, card: str, tmp_path: Path) -> None:
    (tmp_path / file).touch()
    vp = VP(tmp_path / file)
    size = 64 if card == "imagenet64" else 256
    assert (vp.shape, vp.num_classes) == ((3, size, size), file_cards()[card].arguments["num_classes"])
    schedule = "cosine" if card == "imagenet64" else "linear"
    assert vp.sigma_range == DiscreteSchedule.named(schedule).range
    other = "linear" if card == "imagenet64" else "cosine"
    with pytest.raises(ValueError, match=f"has the schedule {schedule}, as its card or file says"):
        VP(tmp_path / file, other)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="prediction of noise"):
        EDM(tmp_path / file)


def test_a_file_of_another_kind_of_prior_is_refused(tmp_path: Path) -> None:
    (tmp_path / "edm_cat256_ema.pt").touch()
    with pytest.raises(ValueError, match=r"posterior mean, which VP would take for a prediction of noise.* for EDM"):
        VP(tmp_path / "edm_cat256_ema.pt")


def test_ddpm_with_its_own_levels_is_our_ancestral_sampler() -> None:
    """Ten lines of DDPM with the smaller of its two variances, in its own variable, and ours, on the same noise."""
    vp = VP(tiny())
    levels = VPLevels(20)
    solver = DPS(AveragePool(factor=4, noise_std=0.1), vp, levels, scale=0.0)
    noise = torch.randn(21, 3, 16, 16, generator=torch.Generator().manual_seed(2))

    abar = [1 / (1 + sigma**2) for sigma in levels]
    z = noise[0] * (1 - abar[0]) ** 0.5
    for step in range(20):
        x_0 = vp((z / abar[step] ** 0.5)[None], levels[step])[0]
        alpha = abar[step] / abar[step + 1]
        beta = 1 - alpha
        left = 1 - abar[step]
        z = (abar[step + 1] ** 0.5 * beta * x_0 + alpha**0.5 * (1 - abar[step + 1]) * z) / left
        z = z + (beta * (1 - abar[step + 1]) / left) ** 0.5 * noise[step + 1]

    class Fixed:
        """The same numbers, draw by draw."""

        def __init__(self) -> None:
            self.drawn = 0

        def __len__(self) -> int:
            return 1

        def normal(self, shape: Any) -> Tensor:
            self.drawn += 1
            return noise[self.drawn - 1][None]

        def like(self, x: Tensor) -> Tensor:
            return self.normal(x.shape)

    *_, last = solver.iterate(torch.zeros(1, 3, 4, 4), Fixed())  # type: ignore[arg-type]
    torch.testing.assert_close(last.x_t[0], z, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_dps_with_a_file_of_guided_diffusion_from_the_command_line(name: str, tmp_path: Path, in_project: None) -> None:
    folder = tmp_path / "pictures" / "3"
    folder.mkdir(parents=True)
    for shade in (40, 200):
        Image.new("RGB", (32, 32), (shade, 90, 20)).save(folder / f"{shade}.png")
    shutil.copy(VECTORS / f"{name}.pt", tmp_path / "file.pt")
    denoiser = {"class_path": "VP", "init_args": {"network": str(tmp_path / "file.pt"), **said(name)}}
    (tmp_path / "prior.yaml").write_text(yaml.safe_dump({"denoiser": denoiser}))
    data = ["--config=configs/data/imagenet64.yaml", "--data.transform.size=32"]
    where = [f"--data.root={folder.parent}", "--data.num_images=2", "--data.batch_size=2", "--data.num_workers=0"]
    levels = ["--model.levels=VPLevels", "--model.levels.steps=3"]
    if said(name)["schedule"] == "cosine":
        levels = ["--model.levels=KarrasLevels", "--model.levels.steps=3", "--model.levels.sigma_min=0.01"]
    run = [f"--writer.folder={tmp_path / 'run'}", "--trainer.accelerator=cpu"]
    operator = "--config=configs/operators/average_pool_x4.yaml"
    solver = "--config=configs/solvers/dps.yaml"
    main(["predict", *data, *where, f"--config={tmp_path / 'prior.yaml'}", operator, solver, *levels, *run])
    assert len(list((tmp_path / "run" / "samples").glob("*.png"))) == 2


@pytest.mark.parametrize("prior", [EDM, ConsistencyModel])
def test_a_network_of_noise_is_not_taken_for_another_prior(prior: type[EDM]) -> None:
    told = said("gd_legacy_tiny")
    message = f"{prior.__name__} needs a network .* gives 6: .* or it predicts noise and is for VP"
    with pytest.raises(ValueError, match=message):
        prior(VECTORS / "gd_legacy_tiny.pt", arguments=told["arguments"], attention_order=told["attention_order"])
