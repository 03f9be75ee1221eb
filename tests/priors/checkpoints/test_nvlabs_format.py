"""NVlabs' pickles: the networks in them give what NVlabs' code gives, from the pickle and from the plain file."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nvlabs_files import EasyDict, ModuleDict, Saved, denoised, network, preconditioned, write
from safetensors.torch import load_file
from torch import Tensor

from dis_lightning.priors import EDM, ConsistencyModel, SongUNet, UNet, load_network, save_diffusers, save_network
from dis_lightning.priors.checkpoints.cards import file_cards
from dis_lightning.priors.checkpoints.loading import build
from dis_lightning.priors.checkpoints.sources import find
from dis_lightning.priors.networks.base import RawNetwork

VECTORS = ("nv_adm_tiny", "nv_ddpmpp_tiny", "nv_ncsnpp_tiny")


def relative_error(came: Tensor, wanted: Tensor) -> float:
    return float((came - wanted).detach().norm() / wanted.norm())


def converted(file: Path, folder: Path) -> Path:
    save_network(load_network(file), folder / "plain.safetensors", "posterior mean")
    return folder / "plain.safetensors"


def same(file: Path, folder: Path) -> Path:
    return file


@pytest.mark.parametrize("form", [same, converted])
@pytest.mark.parametrize("name", VECTORS)
def test_an_edm_denoises_as_nvlabs_code(
    name: str, form: Callable[[Path, Path], Path], vectors_folder: Path, tmp_path: Path
) -> None:
    io = load_file(vectors_folder / f"{name}.io.safetensors")
    prior = EDM(form(vectors_folder / f"{name}.pkl", tmp_path))
    prior = prior.given(io["y"]) if "y" in io else prior
    x_t = io["x_noisy"].requires_grad_()
    x_0 = prior(x_t, io["sigma"])
    assert relative_error(x_0, io["denoised"]) < 1e-5
    (gradient,) = torch.autograd.grad(x_0.square().sum(), x_t)
    assert relative_error(gradient, io["sqnorm_grad"]) < 1e-4


@pytest.mark.parametrize("name", VECTORS)
def test_a_network_keeps_its_time_input_wherever_it_goes(name: str, vectors_folder: Path, tmp_path: Path) -> None:
    io = load_file(vectors_folder / f"{name}.io.safetensors")
    found = load_network(vectors_folder / f"{name}.pkl")
    again = load_network(converted(vectors_folder / f"{name}.pkl", tmp_path))
    assert type(found) is type(again) is (UNet if name == "nv_adm_tiny" else SongUNet)
    assert found.arguments == again.arguments
    assert found.time_input == "ln sigma / 4"
    copy = type(found)(**found.arguments)
    copy.load_state_dict(found.state_dict())
    for raw in (found, again, copy.eval().requires_grad_(False)):
        prior = EDM(raw).given(io["y"]) if "y" in io else EDM(raw)
        assert relative_error(prior(io["x_noisy"], io["sigma"]), io["denoised"]) < 1e-5
    # The other time input would go unnoticed otherwise.
    other = type(found)(**{**found.arguments, "time_input": "250 ln sigma"})
    other.load_state_dict(found.state_dict())
    prior = EDM(other.eval()).given(io["y"]) if "y" in io else EDM(other.eval())
    assert relative_error(prior(io["x_noisy"], io["sigma"]), io["denoised"]) > 3e-4


def error(song: bool, file: Path, changes: dict[str, Any], given: dict[str, Any], dtype: torch.dtype) -> float:
    """The relative error of the network's own part of the estimate, against the independent evaluation."""
    model = network(song, dtype, **given)
    loss = Saved("EDMLoss", {"P_mean": -1.2}, P_mean=-1.2, sigma_data=np.float64(0.5))
    augment = Saved("AugmentPipe", EasyDict(p=0.12), p=0.12, rotate_frac=np.float32(1))
    data = EasyDict(class_name="training.dataset.ImageFolderDataset", path="x.zip", resolution=16)
    content = {"ema": preconditioned(model, **changes), "loss_fn": loss, "augment_pipe": augment}
    write(file, content | {"dataset_kwargs": data})
    x_t = torch.randn(2, model._init_kwargs["in_channels"], 16, 16)
    sigma, labels = torch.tensor([0.1, 3.0]), torch.tensor([0, 2]) if model._init_kwargs["label_dim"] else None
    prior = EDM(file) if labels is None else EDM(file).given(labels)
    s, sigma_data = sigma.reshape(-1, 1, 1, 1), changes.get("sigma_data", 0.5)
    skipped = sigma_data**2 / (s**2 + sigma_data**2) * x_t
    wanted = denoised(model, x_t, sigma, labels, sigma_data)
    return relative_error(prior(x_t, sigma) - skipped, wanted - skipped)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"label_dim": 4, "augment_dim": 9, "dropout": 0.1, "label_dropout": 0.1},
        {"model_channels": 32, "channel_mult": [1, 2, 3], "attn_resolutions": [16, 4]},  # no head where 32 channels are
        {"model_channels": 32, "attn_resolutions": [16, 8]},  # no attention at all
        {"model_channels": 40, "channel_mult": [1, 2], "num_blocks": 2, "attn_resolutions": [16, 8]},
        {"model_channels": 96, "channel_mult": [1, 2], "channel_mult_emb": 2, "attn_resolutions": (16, 8)},
        {"model_channels": 128, "channel_mult": [1], "attn_resolutions": [16]},
        {"in_channels": 1, "out_channels": 1, "num_blocks": 2, "attn_resolutions": [32]},
    ],
)
def test_every_dhariwal_unet_is_our_unet(given: dict[str, Any], tmp_path: Path) -> None:
    assert error(False, tmp_path / "a.pkl", {}, given, torch.float32) < 1e-5
    assert isinstance(load_network(tmp_path / "a.pkl"), UNet)


KINDS = product(
    ["positional", "fourier"], ["standard", "skip", "residual"], ["standard", "skip"], [[1, 1], [1, 3, 3, 1]]
)


@pytest.mark.parametrize(
    "given",
    [
        *[
            {"embedding_type": embedding, "encoder_type": encoder, "decoder_type": decoder, "resample_filter": taps}
            for embedding, encoder, decoder, taps in KINDS
        ],
        {"label_dim": 4, "augment_dim": 9, "dropout": 0.1, "embedding_type": "fourier", "channel_mult_noise": 2},
        {"in_channels": 1, "out_channels": 1, "channel_mult": [1], "num_blocks": 3, "channel_mult_emb": 2},
        {
            "label_dim": 3,
            "encoder_type": "skip",
            "decoder_type": "skip",
            "resample_filter": [1, 2, 3, 4, 2, 1],
            "channel_mult": [2, 1, 3],
            "num_blocks": 2,
            "attn_resolutions": [16, 4],
        },
        {"encoder_type": "residual", "resample_filter": [1, 2, 3, 4], "channel_mult": [2, 2, 2]},
    ],
)
def test_every_song_unet_is_ours(given: dict[str, Any], tmp_path: Path) -> None:
    assert error(True, tmp_path / "a.pkl", {}, given, torch.float32) < 1e-5
    assert isinstance(load_network(tmp_path / "a.pkl"), SongUNet)


@pytest.mark.parametrize("song", [False, True])
def test_weights_in_half_precision_are_read_as_they_are(song: bool, tmp_path: Path) -> None:
    assert error(song, tmp_path / "a.pkl", {}, {"label_dim": 3}, torch.float16) < 1e-5
    assert load_network(tmp_path / "a.pkl").dtype == torch.float32


@pytest.mark.parametrize("song", [False, True])
def test_sigma_data_is_the_files(song: bool, tmp_path: Path) -> None:
    assert error(song, tmp_path / "a.pkl", {"sigma_data": 0.7}, {}, torch.float32) < 1e-5
    assert EDM(load_network(converted(tmp_path / "a.pkl", tmp_path))).sigma_data == 0.7
    assert EDM(tmp_path / "a.pkl", sigma_data=0.4).sigma_data == 0.4


def test_what_was_built_with_positional_arguments_and_defaults_is_known(tmp_path: Path) -> None:
    model = network(True, label_dim=3)
    wanted = find(write(tmp_path / "a.pkl", {"ema": preconditioned(model)})).arguments()
    model.state["_init_args"] = (16, 3, 3, 3, 0, 32, [1, 2])
    model.state["_init_kwargs"] = EasyDict(num_blocks=1, attn_resolutions=[8])
    assert find(write(tmp_path / "a.pkl", {"ema": preconditioned(model)})).arguments() == wanted
    assert load_network(tmp_path / "a.pkl").num_classes == 3

    model.state["_init_args"], model.state["_init_kwargs"] = (16, 3, 3), {}
    left = find(write(tmp_path / "a.pkl", {"ema": preconditioned(model)})).arguments()
    assert left == wanted | {
        "model_channels": 128,
        "channel_mult": [1, 2, 2, 2],
        "num_res_blocks": 4,
        "attention_resolutions": [16],
        "num_classes": None,
    }


def test_another_scale_and_another_way_of_steering_are_read_from_the_blocks(tmp_path: Path) -> None:
    model = network(True)
    for block in model.all():
        if block.kind == "UNetBlock":
            block.state["skip_scale"] = 0.5
    write(tmp_path / "a.pkl", {"ema": preconditioned(model)})
    x_t, sigma = torch.randn(1, 3, 16, 16), torch.tensor([1.0])
    assert relative_error(EDM(tmp_path / "a.pkl")(x_t, sigma), denoised(model, x_t, sigma)) < 1e-5


def changed(song: bool, kind: str, **attributes: Any) -> Saved:
    model = network(song)
    part = [part for part in model.all() if part.kind == kind][-1]
    part.state |= attributes
    return model


def with_arguments(song: bool, **given: Any) -> Saved:
    model = network(song)
    model.state["_init_kwargs"] = model._init_kwargs | given
    return model


def with_filter() -> Saved:
    model = network(True)
    part = next(part for part in model.all() if "resample_filter" in part._buffers)
    part._buffers["resample_filter"] = torch.ones(1, 1, 2, 2)
    return model


def silent() -> Saved:
    model = network(True)
    model.state["_init_kwargs"] = None
    return model


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (lambda: {"net": preconditioned(network(True))}, "must hold a network under 'ema'.*the entries net"),
        (lambda: [1, 2], "must hold a network under 'ema'.*no entries"),
        (lambda: {"ema": ModuleDict({})}, "is a ModuleDict"),
        (lambda: {"ema": preconditioned(network(True), "VPPrecond")}, "is a VPPrecond; what is read here is an EDMPr"),
        (lambda: {"ema": preconditioned(network(True), "VEPrecond")}, "is a VEPrecond"),
        (lambda: {"ema": preconditioned(network(False), "iDDPMPrecond")}, "is a iDDPMPrecond"),
        (lambda: {"ema": preconditioned(Saved("Generator"))}, "holds a Generator"),
        (lambda: {"ema": Saved("EDMPrecond", sigma_data=0.5)}, "holds nothing"),
        (lambda: {"ema": preconditioned(network(True), sigma_data="half")}, "does not say its sigma_data"),
        (lambda: {"ema": preconditioned(with_arguments(True, magnitude=2))}, "it was built with magnitude=2"),
        (lambda: {"ema": preconditioned(with_arguments(False, encoder_type="skip"))}, "built with encoder_type='skip'"),
        (lambda: {"ema": preconditioned(silent())}, "does not say what it was built with"),
        (lambda: {"ema": preconditioned(changed(False, "UNetBlock", skip_scale=0.5))}, "another skip_scale"),
        (lambda: {"ema": preconditioned(changed(True, "UNetBlock", skip_scale=0.5))}, "differ in skip_scale"),
        (lambda: {"ema": preconditioned(changed(True, "GroupNorm", eps=1e-5))}, "differ in eps"),
        (lambda: {"ema": preconditioned(changed(True, "GroupNorm", num_groups=2))}, "its normalisation has 2 groups"),
        (lambda: {"ema": preconditioned(changed(True, "PositionalEmbedding", endpoint=False))}, "max_positions"),
        (lambda: {"ema": preconditioned(with_filter())}, "resample_filter is"),
        (lambda: {"ema": preconditioned(with_arguments(True, channel_mult=[1, 2, 2]))}, "another network than"),
        (lambda: {"ema": preconditioned(with_arguments(True, resample_filter=[1, 2, 1]))}, "even number of taps"),
    ],
)
def test_other_networks_are_refused_by_name(content: Callable[[], object], told: str, tmp_path: Path) -> None:
    write(tmp_path / "a.pkl", content())
    with pytest.raises(ValueError, match=told) as refused:
        load_network(tmp_path / "a.pkl")
    assert "\n" not in str(refused.value)


def test_a_pickle_is_no_consistency_model(vectors_folder: Path) -> None:
    with pytest.raises(ValueError, match="trained to give a posterior mean"):
        ConsistencyModel(vectors_folder / "nv_ddpmpp_tiny.pkl")


def test_the_format_of_diffusers_does_not_take_what_it_cannot_say(vectors_folder: Path, tmp_path: Path) -> None:
    for name in VECTORS:
        with pytest.raises(
            ValueError, match=r"The format of diffusers has no such network, but this one has.*time_input"
        ):
            save_diffusers(load_network(vectors_folder / f"{name}.pkl"), tmp_path / "folder")  # type: ignore[arg-type]
        assert not (tmp_path / "folder").exists()


def test_a_torch_file_may_have_the_name_of_a_pickle(tmp_path: Path) -> None:
    small = UNet(16, 32, 1, [8], [1, 1], num_head_channels=32)
    torch.save(small.state_dict(), tmp_path / "weights.pkl")
    again = load_network(tmp_path / "weights.pkl", arguments=small.arguments)
    assert all(torch.equal(again.state_dict()[key], value) for key, value in small.state_dict().items())


def test_classes_are_bound_once_and_checked(vectors_folder: Path) -> None:
    prior = EDM(vectors_folder / "nv_adm_tiny.pkl")
    assert prior.num_classes == 5
    with pytest.raises(ValueError, match=r"in 0 \.\. 4"):
        prior.given(torch.tensor([5]))
    x_t = torch.randn(1, 3, 16, 16)
    first, second = (prior.given(torch.tensor([label]))(x_t, 1.0) for label in (0, 1))
    assert not torch.allclose(first, second)


SIZES = {
    "edm-cifar10-32x32-uncond-vp": 55_732_739,
    "edm-imagenet-64x64-cond-adm": 295_899_267,
}
"""Parameters of two networks without `map_augment`, which NVlabs counts too: 9 x 128 more in the first."""


def test_every_published_pickle_has_a_card() -> None:
    cards = {name: card for name, card in file_cards().items() if "nvlabs" in card.url}
    sets = {"cifar10-32x32-cond", "cifar10-32x32-uncond", "ffhq-64x64-uncond", "afhqv2-64x64-uncond"}
    assert set(cards) == {
        "edm-imagenet-64x64-cond-adm",
        *[f"edm-{data}-{arch}" for data in sets for arch in ("vp", "ve")],
    }
    for name, card in cards.items():
        assert card.url == f"https://nvlabs-fi-cdn.nvidia.com/edm/pretrained/{name}.pkl"
        assert card.path.name == f"{name}.pkl"
        assert (card.kind, card.licence) == ("posterior mean", "CC BY-NC-SA 4.0")
        built = build(card.arguments)
        assert f"{built.shape[1]}x{built.shape[2]}" in name
        assert (built.num_classes is not None) == ("-cond" in name)
        assert isinstance(built, UNet if name.endswith("adm") else SongUNet)
        assert built.time_input == "ln sigma / 4"
        if name in SIZES:
            assert sum(parameter.numel() for parameter in built.parameters()) == SIZES[name]


def test_the_card_of_a_pickle_and_the_pickle_say_the_same(tmp_path: Path) -> None:
    # The published networks are large; the same classes with fewer channels have cards that differ in these alone.
    for song, card in ((False, "edm-imagenet-64x64-cond-adm"), (True, "edm-ffhq-64x64-uncond-ve")):
        wanted = file_cards()[card].arguments
        ve = {"embedding_type": "fourier", "encoder_type": "residual", "channel_mult_noise": 2}
        given = {
            "img_resolution": wanted["image_size"],
            "model_channels": 64,
            "channel_mult": wanted["channel_mult"],
            "num_blocks": wanted["num_res_blocks"],
            "attn_resolutions": wanted["attention_resolutions"],
            "label_dim": wanted.get("num_classes") or 0,
            **(ve | {"resample_filter": [1, 3, 3, 1]} if song else {}),
        }
        write(tmp_path / "a.pkl", {"ema": preconditioned(network(song, **given))})
        said, known = (build(a).arguments for a in (find(tmp_path / "a.pkl").arguments(), wanted))
        assert {name for name in said if said[name] != known[name]} == {"model_channels"}


def test_unknown_classes_and_arguments_are_told() -> None:
    with pytest.raises(ValueError, match="network must be one of UNet, SongUNet"):
        build({"network": "VNet"})
    with pytest.raises(ValueError, match="do not fit SongUNet"):
        build({"network": "SongUNet", "depth": 3})
    with pytest.raises(ValueError, match="time_input must be one of 250 ln sigma, ln sigma / 4"):
        UNet(16, 32, 1, [8], [1, 1], num_head_channels=32, time_input="sigma")  # type: ignore[arg-type]


def test_both_networks_keep_one_contract(vectors_folder: Path) -> None:
    for name in VECTORS:
        found: RawNetwork = load_network(vectors_folder / f"{name}.pkl", dtype="bfloat16")
        assert found.dtype == torch.bfloat16
        assert not any(parameter.requires_grad for parameter in found.parameters())
        assert (found.shape, found.reduction) == ((3, 16, 16), 2)
        y = torch.tensor([1]) if found.num_classes else None
        assert found(torch.randn(1, 3, 16, 8), torch.zeros(1), y).dtype == torch.float32
        with pytest.raises(ValueError, match="multiples of 2"):
            found(torch.randn(1, 3, 16, 9), torch.zeros(1), y)
