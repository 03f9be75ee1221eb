import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from diffusers import UNet2DModel
from torch import Tensor

from dis_lightning.priors.checkpoints.diffusers_config import arguments_from, config_from
from dis_lightning.priors.checkpoints.diffusers_format import from_diffusers, save_diffusers, to_diffusers
from dis_lightning.priors.checkpoints.loading import load_network
from dis_lightning.priors.checkpoints.pretrained import PretrainedNetwork
from dis_lightning.priors.consistency import ConsistencyModel
from dis_lightning.priors.edm import EDM
from dis_lightning.priors.networks.unet import UNet

ODD = {
    "image_size": 16,
    "model_channels": 32,
    "num_res_blocks": 2,
    "attention_resolutions": [16, 4],
    "channel_mult": [1, 3, 2],
    "num_head_channels": 8,
    "use_scale_shift_norm": True,
    "num_classes": 5,
    "in_channels": 2,
    "out_channels": 4,
}


def random_network(arguments: dict[str, Any]) -> UNet:
    network = UNet(**arguments).requires_grad_(False).eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():  # the layers that start at zero, too
        parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network


def close(came: Tensor, wanted: Tensor) -> bool:
    return bool((came - wanted).norm() < 1e-5 * wanted.norm())


def test_diffusers_reads_what_is_written_here(reference, tmp_path: Path):
    save_diffusers(reference.network(), tmp_path)
    theirs = UNet2DModel.from_pretrained(tmp_path, low_cpu_mem_usage=False).requires_grad_(False).eval()
    output = theirs(reference.io["x"], reference.io["t"], class_labels=reference.labels).sample
    assert close(output, reference.io["unet"])


@pytest.mark.parametrize("safetensors", [True, False])
@pytest.mark.parametrize("subfolder", ["unet", ""])
def test_what_diffusers_writes_is_read_here(tmp_path: Path, safetensors: bool, subfolder: str):
    arguments = arguments_from(config_from(UNet(**ODD).arguments))
    torch.manual_seed(0)
    theirs = UNet2DModel(**config_from(arguments)).requires_grad_(False).eval()
    theirs.save_pretrained(tmp_path / subfolder, safe_serialization=safetensors)
    ours = load_network(tmp_path)
    x, t, labels = torch.randn(3, 2, 16, 16), torch.tensor([-1553.6, 0.4, 1095.5]), torch.tensor([0, 4, 2])
    assert close(ours(x, t, labels), theirs(x, t, class_labels=labels).sample)
    assert PretrainedNetwork(tmp_path).shape == (2, 16, 16)


@pytest.mark.parametrize("changes", [{}, {"num_classes": None, "use_scale_shift_norm": False}, {"num_res_blocks": 3}])
def test_renaming_there_and_back_changes_nothing(changes: dict[str, Any]):
    network = random_network({**ODD, **changes})
    there = to_diffusers(network.state_dict(), network.arguments)
    back = from_diffusers(there, network.arguments)
    assert sorted(back) == sorted(network.state_dict())
    assert all(torch.equal(back[key], tensor) for key, tensor in network.state_dict().items())
    assert set(there) == set(UNet2DModel(**config_from(network.arguments)).state_dict())
    assert arguments_from(config_from(network.arguments)) == network.arguments


def test_a_half_precision_network_is_written_in_float32(lsun, tmp_path: Path):
    save_diffusers(lsun.network(dtype=torch.bfloat16), tmp_path)
    again = load_network(tmp_path, dtype=torch.bfloat16)
    wanted = lsun.network(dtype=torch.bfloat16)(lsun.io["x"], lsun.io["t"])
    assert torch.equal(again(lsun.io["x"], lsun.io["t"]), wanted)
    assert {tensor.dtype for tensor in load_network(tmp_path).state_dict().values()} == {torch.float32}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"new_field": 1}, r"fields that are not known here: \['new_field'\]"),
        ({"act_fn": "gelu"}, "act_fn must be 'silu', but is 'gelu'"),
        ({"downsample_type": "conv", "freq_shift": 1}, "downsample_type must be 'resnet'.*freq_shift must be 0"),
        ({"attn_norm_num_groups": None}, "attn_norm_num_groups must be 32"),
        ({"sample_size": [16, 16, 3]}, "image_size >= 1, one whole number or height and width"),
        ({"block_out_channels": [32, 48, 64]}, "block_out_channels must be multiples"),
        ({"down_block_types": ["DownBlock2D"] * 3}, "down_block_types must be among"),
        ({"up_block_types": ["AttnUpBlock2D"] * 3}, "up_block_types must mirror"),
        ({"attention_head_dim": None}, "attention_head_dim must be a number"),
        ({"resnet_time_scale_shift": "spatial"}, "resnet_time_scale_shift must be one of"),
    ],
)
def test_a_configuration_of_another_network_is_refused(changes: dict[str, Any], message: str, tmp_path: Path):
    save_diffusers(random_network(ODD), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **changes}))
    with pytest.raises(ValueError, match=message):
        EDM(str(tmp_path))


def test_a_configuration_without_what_is_needed_is_refused():
    with pytest.raises(ValueError, match=r"lacks.*'block_out_channels'"):
        arguments_from({"_class_name": "UNet2DModel"})


def test_a_network_that_diffusers_does_not_have_is_not_written(tmp_path: Path):
    with pytest.raises(ValueError, match="channel_mult to start with 1"):
        save_diffusers(random_network({**ODD, "channel_mult": [2, 2, 4]}), tmp_path)


def test_weights_of_another_network_are_refused(lsun, tmp_path: Path):
    save_diffusers(lsun.network(), tmp_path)
    save_diffusers(random_network({**ODD, "in_channels": 3, "out_channels": 3}), tmp_path / "other")
    shutil.copy(tmp_path / "other" / "config.json", tmp_path)
    with pytest.raises(ValueError, match="holds another network"):
        load_network(tmp_path)


def test_a_folder_without_weights_is_refused(lsun, tmp_path: Path):
    save_diffusers(lsun.network(), tmp_path)
    (tmp_path / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no diffusion_pytorch_model\.safetensors or .*\.bin"):
        load_network(tmp_path)


@pytest.fixture
def offline_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of the hub, in its own layout, with no network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    repository, revision = tmp_path / "models--someone--network", "0" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(revision)
    return repository / "snapshots" / revision


def test_a_repository_of_the_hub_is_read_from_its_cache(offline_hub: Path, lsun):
    save_diffusers(lsun.network(), offline_hub / "unet")
    assert EDM("someone/network").shape == (3, 32, 32)
    assert close(load_network("someone/network")(lsun.io["x"], lsun.io["t"]), lsun.io["unet"])

    # Most of the published repositories have no safetensors.
    weights = to_diffusers(lsun.weights, lsun.network().arguments)
    (offline_hub / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    torch.save(weights, offline_hub / "unet" / "diffusion_pytorch_model.bin")
    assert close(load_network("someone/network")(lsun.io["x"], lsun.io["t"]), lsun.io["unet"])


def test_without_a_network_the_error_says_what_to_do(offline_hub: Path):
    with pytest.raises(ConnectionError, match=r"someone/other could not be downloaded.*give its folder"):
        load_network("someone/other")


def test_a_published_repository_is_known_without_a_network(offline_hub: Path):
    assert ConsistencyModel("openai/diffusers-cd_bedroom256_lpips").shape == (3, 256, 256)


@pytest.mark.parametrize("says", ["model_index.json", "scheduler/scheduler_config.json"])
@pytest.mark.parametrize("place", [".", "unet"])
def test_a_pipeline_is_taken_by_the_prior_that_it_was_made_for_alone(says: str, place: str, lsun, tmp_path: Path):
    names = {
        "model_index.json": {"ConsistencyModelPipeline": ConsistencyModel, "KarrasVePipeline": EDM},
        "scheduler/scheduler_config.json": {
            "CMStochasticIterativeScheduler": ConsistencyModel,
            "EDMEulerScheduler": EDM,
        },
    }[says]
    save_diffusers(lsun.network(), tmp_path / "unet")
    for name, kind in names.items():
        (tmp_path / says).parent.mkdir(exist_ok=True)
        (tmp_path / says).write_text(json.dumps({"_class_name": name}))
        other = EDM if kind is ConsistencyModel else ConsistencyModel
        assert kind(str(tmp_path / place)).shape == (3, 32, 32)
        with pytest.raises(
            ValueError, match=f"{other.__name__} would take for a {other.kind}.* It is for {kind.__name__}"
        ):
            other(str(tmp_path / place))


def test_a_pipeline_of_another_kind_is_taken_by_none_and_an_unknown_one_by_both(lsun, tmp_path: Path):
    save_diffusers(lsun.network(), tmp_path / "unet")
    (tmp_path / "model_index.json").write_text('{"_class_name": "DDPMPipeline"}')
    for kind in (EDM, ConsistencyModel):
        with pytest.raises(ValueError, match="prediction of noise"):
            kind(str(tmp_path))
    (tmp_path / "model_index.json").write_text('{"_class_name": "MyPipeline"}')
    assert EDM(str(tmp_path)).shape == ConsistencyModel(str(tmp_path)).shape
    (tmp_path / "model_index.json").write_text('{"_class_name":')
    with pytest.raises(ValueError, match=r"model_index.json is no JSON .*: it is damaged; get it again"):
        EDM(str(tmp_path))


def test_a_repository_says_what_its_network_is_for(offline_hub: Path, lsun):
    save_diffusers(lsun.network(), offline_hub / "unet")
    (offline_hub / "model_index.json").write_text('{"_class_name": "ConsistencyModelPipeline"}')
    assert ConsistencyModel("someone/network").shape == (3, 32, 32)
    for name in ("someone/network", "openai/diffusers-cd_cat256_l2"):
        with pytest.raises(ValueError, match="It is for ConsistencyModel"):
            EDM(name)
    with pytest.raises(ValueError, match="It is for EDM"):
        ConsistencyModel("dg845/diffusers-cm_edm_imagenet64_ema")
