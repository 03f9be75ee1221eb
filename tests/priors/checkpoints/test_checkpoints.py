import hashlib
import json
import pickle
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from lightning.pytorch.cli import LightningArgumentParser
from safetensors.torch import save_file
from torch import Tensor
from torch._dynamo.testing import CompileCounter

from dis_lightning.priors import Denoiser
from dis_lightning.priors.checkpoints import sources
from dis_lightning.priors.checkpoints.cards import file_cards, repository_cards
from dis_lightning.priors.checkpoints.loading import load_network, save_network
from dis_lightning.priors.checkpoints.pretrained import PretrainedNetwork
from dis_lightning.priors.checkpoints.sources import File, find
from dis_lightning.priors.consistency import ConsistencyModel
from dis_lightning.priors.edm import EDM
from dis_lightning.weights import FileCard


class Trap:
    """A pickle that would write a file if anybody executed it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.fixture
def published(imagenet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileCard:
    """A tiny network as if it were published, at an address of this file system, with an empty cache."""
    torch.save(imagenet.weights, tmp_path / "published.pt")
    card = FileCard("tiny", (tmp_path / "published.pt").as_uri(), None, imagenet.arguments)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sources, "file_cards", lambda: {"tiny": card})
    return card


def same_output(network: Callable[..., Tensor], reference) -> bool:
    output = network(reference.io["x"], reference.io["t"], reference.labels)
    return bool((output - reference.io["unet"]).norm() < 1e-5 * reference.io["unet"].norm())


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors", "_legacy.pt"])
def test_a_file_loads_with_the_arguments_given(reference, tmp_path: Path, suffix: str):
    path = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(reference.weights, path)
    else:
        torch.save(reference.weights, path, _use_new_zipfile_serialization="legacy" not in suffix)
    network = load_network(path, arguments=reference.arguments)
    assert same_output(network, reference)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_saved_network_says_how_it_is_built(reference, tmp_path: Path):
    network = reference.network(dtype=torch.bfloat16)
    save_network(network, tmp_path / "saved.safetensors")
    again = load_network(tmp_path / "saved.safetensors", dtype=torch.bfloat16)
    assert again.arguments == network.arguments
    for key, tensor in network.state_dict().items():
        assert torch.equal(again.state_dict()[key], tensor)
        assert again.state_dict()[key].dtype == tensor.dtype


def test_the_torso_takes_the_precision_asked_for(reference, tmp_path: Path):
    save_file(reference.weights, tmp_path / "w.safetensors")
    network = load_network(tmp_path / "w.safetensors", arguments=reference.arguments, dtype=torch.bfloat16)
    built = reference.network(dtype=torch.bfloat16)
    assert {k: v.dtype for k, v in network.state_dict().items()} == {k: v.dtype for k, v in built.state_dict().items()}
    x, t, labels = reference.io["x"], reference.io["t"], reference.labels
    assert torch.equal(network(x, t, labels), built(x, t, labels))


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_weights_stay_in_the_file_until_they_are_read(imagenet, tmp_path: Path, suffix: str):
    path = tmp_path / f"w{suffix}"
    save_file(imagenet.weights, path) if suffix == ".safetensors" else torch.save(imagenet.weights, path)
    network = load_network(path, arguments=imagenet.arguments)
    assert str(path) in {mapped.path for mapped in psutil.Process().memory_maps()}
    assert same_output(network, imagenet)


def test_a_network_loaded_in_inference_mode_still_gives_gradients(lsun, tmp_path: Path):
    save_network(lsun.network(), tmp_path / "w.safetensors")
    with torch.inference_mode():
        network = load_network(tmp_path / "w.safetensors", dtype=torch.bfloat16)
    x = lsun.io["x"].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network(x, lsun.io["t"]).sum(), x)
    assert gradient.isfinite().all()


def test_the_first_download_is_recorded_and_later_ones_are_checked(published: FileCard, imagenet):
    assert same_output(load_network("tiny"), imagenet)
    record = json.loads(Path(f"{published.path}.json").read_text())
    assert record == {"url": published.url, "sha256": hashlib.sha256(published.path.read_bytes()).hexdigest()}

    Path(published.url.removeprefix("file://")).unlink()
    assert same_output(load_network("tiny"), imagenet)  # from the cache

    published.path.write_bytes(published.path.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match=f"damaged or is not tiny: .*{record['sha256']} was expected"):
        load_network("tiny")


def test_a_card_with_a_sha256_needs_no_record(published: FileCard):
    good = hashlib.sha256(Path(published.url.removeprefix("file://")).read_bytes()).hexdigest()
    assert FileCard("good", published.url, good, {}).fetch().name == "good.pt"
    with pytest.raises(ValueError, match=f"but {'0' * 64} was expected"):
        FileCard("bad", published.url, "0" * 64, {}).fetch()


def test_without_a_network_the_error_says_which_file_to_put_where(published: FileCard):
    Path(published.url.removeprefix("file://")).unlink()
    with pytest.raises(ConnectionError, match=rf"get {published.url} elsewhere and put it at {published.path}"):
        load_network("tiny")


def test_a_download_that_breaks_off_is_not_kept(published: FileCard, monkeypatch: pytest.MonkeyPatch):
    opened = urllib.request.urlopen

    def announce_more(url: str) -> Any:
        response = opened(url)
        response.headers.replace_header("Content-Length", str(int(response.headers["Content-Length"]) + 1))
        return response

    monkeypatch.setattr(urllib.request, "urlopen", announce_more)
    with pytest.raises(ConnectionError, match="broken off after"):
        load_network("tiny")
    assert not published.path.exists()


@pytest.mark.parametrize("kind", [EDM, ConsistencyModel])
def test_a_prior_by_name_reads_nothing_until_it_is_used(kind, published: FileCard, imagenet):
    prior = kind("tiny", dtype=torch.bfloat16)
    assert (prior.shape, prior.num_classes) == ((3, 16, 16), 10)
    assert not published.path.exists()
    assert list(prior.parameters()) == []

    x_t = imagenet.io["x_noisy"]
    first, second = prior.given(imagenet.labels), prior.given(imagenet.labels.flip(0))
    wanted = kind(imagenet.network(dtype=torch.bfloat16)).given(imagenet.labels)
    assert torch.equal(first(x_t, 1.3), wanted(x_t, 1.3))
    second(x_t, 1.3)
    assert first.network is second.network is prior.network


def test_a_prior_can_be_loaded_before_it_is_used(published: FileCard):
    prior = EDM("tiny")
    prior.load()
    network = prior.network
    assert isinstance(network, PretrainedNetwork)
    assert network.network is not None
    assert prior.network.load() is network.network


def test_a_prior_is_compiled_once_for_all_levels(published: FileCard, imagenet):
    torch._dynamo.reset()
    counter, levels = CompileCounter(), (80.0, 1.3, 0.002)
    prior, x_t = EDM("tiny").given(imagenet.labels), imagenet.io["x_noisy"]
    wanted = [prior(x_t, sigma) for sigma in levels]
    prior.compile(backend=counter, fullgraph=True)
    for sigma, x_0 in zip(levels, wanted, strict=True):
        assert torch.equal(prior(x_t, sigma), x_0)
    assert counter.frame_count == 1


def test_every_published_network_has_a_card():
    kinds = ("edm_{}_ema", "cd_{}_l2", "cd_{}_lpips", "ct_{}")
    names = {kind.format(data) for data in ("imagenet64", "bedroom256", "cat256") for kind in kinds}
    cards = file_cards()
    assert names < set(cards)
    for name in names:
        card = cards[name]
        assert card.url.endswith(f"/{name}.pt")
        assert card.arguments["image_size"] == (64 if "imagenet64" in name else 256)
        assert (card.arguments["num_classes"] is not None) == ("imagenet64" in name)
        assert card.kind == ("posterior mean" if name.startswith("edm") else "consistency map")
    assert len(repository_cards()) == 10


def test_a_local_file_named_after_its_card_knows_how_it_is_built(tmp_path: Path):
    (tmp_path / "cd_cat256_lpips.pt").touch()
    assert ConsistencyModel(str(tmp_path / "cd_cat256_lpips.pt")).shape == (3, 256, 256)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("edm_bedrom256_ema", "Did you mean `edm_bedroom256_ema"),
        ("weights/missing.pt", "is no file and no folder"),
        ("", "is no U-Net in the format of diffusers"),
    ],
)
def test_an_unknown_name_is_refused_at_once(source: str, message: str):
    with pytest.raises(FileNotFoundError, match=message):
        EDM(source)


@pytest.mark.parametrize("kind", ["EDM", "ConsistencyModel"])
def test_a_file_named_on_the_command_line_is_read_by_the_prior_alone(kind: str, tmp_path: Path):
    file = tmp_path / {"EDM": "edm_cat256_ema.pt", "ConsistencyModel": "cd_cat256_l2.pt"}[kind]
    file.write_text("class_path: torch.nn.Identity")
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Denoiser, "denoiser")
    parsed = parser.parse_args([f"--denoiser={kind}", f"--denoiser.network={file}"])
    denoiser = parser.instantiate(parsed).denoiser
    assert denoiser.network.source == str(file)
    with pytest.raises(ValueError, match=rf"{file.name} cannot be read"):
        denoiser.load()


def test_a_file_that_does_not_say_how_it_is_built_is_refused(lsun, tmp_path: Path):
    save_file(lsun.weights, tmp_path / "mine.safetensors")
    with pytest.raises(ValueError, match=r"Give its arguments \(those of UNet"):
        EDM(str(tmp_path / "mine.safetensors"))


def test_a_checkpoint_of_another_width_is_refused_with_the_first_keys_that_differ(lsun, tmp_path: Path):
    save_file(lsun.weights, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="differ in shape") as refusal:
        load_network(tmp_path / "w.safetensors", arguments={**lsun.arguments, "model_channels": 64})
    assert "w.safetensors" in str(refusal.value)
    assert "'model_channels': 64" in str(refusal.value)
    assert "time_embed.0.weight (128, 32) instead of (256, 64)" in str(refusal.value)


def test_weights_too_many_and_too_few_are_named(lsun, imagenet, tmp_path: Path):
    save_file({**imagenet.weights, "extra": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"weights are missing .*input_blocks.5.0.*are not known \(label_emb|extra"):
        load_network(tmp_path / "w.safetensors", arguments=lsun.arguments)


def test_no_file_is_ever_executed(lsun, tmp_path: Path):
    trapped = tmp_path / "executed"
    torch.save({"weights": Trap(trapped)}, tmp_path / "trap.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps({"weights": Trap(trapped)}))
    for name in ("trap.pt", "plain.pt"):
        with pytest.raises(ValueError, match=f"{name} cannot be read as a plain file of tensors"):
            load_network(tmp_path / name, arguments=lsun.arguments)
    assert not trapped.exists()


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("length", [0, 100, 100_000])
def test_a_truncated_file_is_refused(lsun, tmp_path: Path, suffix: str, length: int):
    whole, broken = tmp_path / f"whole{suffix}", tmp_path / f"broken{suffix}"
    save_file(lsun.weights, whole) if suffix == ".safetensors" else torch.save(lsun.weights, whole)
    broken.write_bytes(whole.read_bytes()[:length])
    with pytest.raises(ValueError, match="damaged"):
        load_network(broken, arguments=lsun.arguments)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state_dict": {"weight": torch.zeros(1)}}, "tensors alone.*'state_dict': 'dict'"),
        ([torch.zeros(1)], "dictionary of tensors, but holds one list"),
    ],
)
def test_a_file_of_something_else_is_refused(content: object, message: str, lsun, tmp_path: Path):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=message):
        load_network(tmp_path / "w.pt", arguments=lsun.arguments)


@pytest.mark.parametrize(
    "source",
    ["models/x.pkl", "x.safetensors", "./x", "../a/x", "/no/x", "~/no/x", "a/b/x", "tests/priors/x", "A/x.PTH"],
)
@pytest.mark.usefixtures("in_project")
def test_what_looks_like_a_path_is_a_missing_file_and_never_looked_up_on_a_hub(
    source: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sources, "fetch_from_hub", lambda *_: pytest.fail("asked the hub"))
    with pytest.raises(FileNotFoundError, match="is no file and no folder: put it there, or give its path"):
        EDM(source)


def test_the_home_folder_is_found(lsun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    save_network(lsun.network(), "~/networks/n.safetensors")
    assert EDM("~/networks/n.safetensors").shape == (3, 32, 32)
    assert load_network(Path("~/networks/n.safetensors")).shape == (3, 32, 32)
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}/networks/m.pt is no file"):
        EDM("~/networks/m.pt")
    with pytest.raises(FileNotFoundError, match=r"~nobody_at_all/m\.pt is no file"):
        EDM("~nobody_at_all/m.pt")


def test_a_network_is_taken_by_the_prior_that_it_was_trained_for_alone(lsun, tmp_path: Path):
    for kind, other in ((EDM, ConsistencyModel), (ConsistencyModel, EDM)):
        save_network(lsun.network(), tmp_path / "n.safetensors", kind.kind)
        assert kind(str(tmp_path / "n.safetensors")).shape == (3, 32, 32)
        with pytest.raises(
            ValueError, match=f"give a {kind.kind}, which {other.__name__} would take for a {other.kind}"
        ):
            other(str(tmp_path / "n.safetensors"))
    save_network(lsun.network(), tmp_path / "n.safetensors")
    assert EDM(str(tmp_path / "n.safetensors")).shape == ConsistencyModel(str(tmp_path / "n.safetensors")).shape


@pytest.mark.parametrize("name", ["cd_cat256_l2", "ct_bedroom256"])
def test_the_card_of_a_consistency_model_is_not_taken_for_an_edm(name: str, tmp_path: Path):
    (tmp_path / f"{name}.pt").touch()
    for source in (name, str(tmp_path / f"{name}.pt")):
        with pytest.raises(ValueError, match="It is for ConsistencyModel"):
            EDM(source)


def test_written_weights_may_be_read_by_whom_the_umask_says(lsun, tmp_path: Path):
    save_network(lsun.network(), tmp_path / "n.safetensors")
    (tmp_path / "other").touch()
    assert (tmp_path / "n.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("dtype", ["bfloat16", "torch.bfloat16", torch.bfloat16])
def test_a_precision_is_a_type_or_its_name(dtype, published: FileCard):
    assert EDM("tiny", dtype=dtype).network.load().dtype == torch.bfloat16


@pytest.mark.parametrize(("dtype", "error"), [("float61", ValueError), (torch.int32, ValueError), (16, TypeError)])
def test_what_is_no_precision_is_refused(dtype, error: type[Exception]):
    with pytest.raises(error, match="A dtype is one of float32, bfloat16, float16"):
        EDM("edm_cat256_ema", dtype=dtype)


def test_the_command_line_takes_the_name_of_a_precision(published: FileCard):
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Denoiser, "denoiser")
    arguments = ["--denoiser=EDM", "--denoiser.network=tiny"]
    for name in ("float16", "torch.float16"):
        parsed = parser.parse_args([*arguments, f"--denoiser.dtype={name}"])
        assert parser.instantiate(parsed).denoiser.network.load().dtype == torch.float16


def test_sources_are_recognised(tmp_path: Path):
    (tmp_path / "w.pt").touch()
    assert find(tmp_path / "w.pt") == File(tmp_path / "w.pt")
    assert find("edm_cat256_ema").arguments()["image_size"] == 256
    assert find("openai/diffusers-cd_imagenet64_l2").arguments()["num_classes"] == 1000
