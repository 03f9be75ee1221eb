"""`dis-lightning convert`, and runs with NVlabs' pickles from the command line."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from nvlabs_files import Saved, write
from PIL import Image
from small_run import ROOT

from dis_lightning.main import main
from dis_lightning.priors import VP, UNet, load_network, save_diffusers
from dis_lightning.weights import read_metadata

VECTORS = ROOT / "tests" / "data" / "vectors"
PICKLE = VECTORS / "nv_ncsnpp_tiny.pkl"


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return os.system, (f"touch {self.path}",)


def refused(capsys: pytest.CaptureFixture[str], *args: str | Path) -> str:
    with pytest.raises(SystemExit) as ending:
        main([str(arg) for arg in args])
    assert ending.value.code == 2
    told = capsys.readouterr().err.strip()
    assert "\n" not in told
    return told


def test_a_pickle_becomes_a_file_that_says_how_it_is_built(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["convert", str(PICKLE), str(tmp_path / "plain.safetensors")])
    told = capsys.readouterr().out
    assert told.startswith(f"Network:  {tmp_path / 'plain.safetensors'} (SongUNet, 3x16x16, time input ln sigma / 4, ")
    assert "gives the posterior mean" in told
    metadata = read_metadata(tmp_path / "plain.safetensors")
    assert json.loads(metadata["arguments"])["network"] == "SongUNet"
    assert json.loads(metadata["arguments"])["time_input"] == "ln sigma / 4"
    assert metadata["kind"] == "posterior mean"
    plain, pickled = load_network(tmp_path / "plain.safetensors").state_dict(), load_network(PICKLE).state_dict()
    assert plain.keys() == pickled.keys()
    assert all(torch.equal(plain[key], value) for key, value in pickled.items())


def test_folders_and_plain_weights_are_converted_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = UNet(16, 32, 1, [8], [1, 1], num_head_channels=32)
    save_diffusers(network, tmp_path / "folder")
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    given = ["--arguments", json.dumps(network.arguments)]
    for source, more in ((tmp_path / "folder", []), (tmp_path / "weights.pt", given)):
        main(["convert", str(source), str(tmp_path / f"{source.stem}.safetensors"), *more])
        again = load_network(tmp_path / f"{source.stem}.safetensors").state_dict()
        assert all(torch.equal(again[key], value) for key, value in network.state_dict().items())
    assert "UNet, 3x16x16, time input 250 ln sigma)" in capsys.readouterr().out
    assert "Nothing says how the network in" in refused(
        capsys, "convert", tmp_path / "weights.pt", tmp_path / "x.safetensors"
    )


def test_what_cannot_be_converted_is_told_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there.safetensors").write_text("mine")
    out = tmp_path / "out.safetensors"
    assert "is there already and is not overwritten" in refused(
        capsys, "convert", PICKLE, tmp_path / "there.safetensors"
    )
    assert (tmp_path / "there.safetensors").read_text() == "mine"
    assert f"{tmp_path / 'no'} is no folder" in refused(capsys, "convert", PICKLE, tmp_path / "no" / "out.safetensors")
    assert "must end in .safetensors" in refused(capsys, "convert", PICKLE, tmp_path / "out.pt")
    assert "is no file and no folder" in refused(capsys, "convert", tmp_path / "gone.pkl", out)
    assert "output is missing" in refused(capsys, "convert", PICKLE)
    (tmp_path / "half.pkl").write_bytes(PICKLE.read_bytes()[:100_000])
    assert "damaged" in refused(capsys, "convert", tmp_path / "half.pkl", out)
    write(tmp_path / "trap.pkl", {"ema": Saved("EDMPrecond", sigma_data=Trap(tmp_path / "executed"))})
    assert "asks for posix.system" in refused(capsys, "convert", tmp_path / "trap.pkl", out)
    assert not (tmp_path / "executed").exists()
    assert not out.exists()


RUN = [
    "--config=configs/data/rooms.yaml",
    "--data.size=16",
    "--data.num_images=2",
    "--data.batch_size=1",
    "--data.num_workers=0",
    "--config=configs/operators/average_pool_x4.yaml",
    "--config=configs/solvers/dps.yaml",
    "--model.levels.steps=3",
    "--trainer.accelerator=cpu",
]


@pytest.mark.usefixtures("in_project")
def test_dps_runs_with_a_pickle_and_with_what_it_is_converted_to(tmp_path: Path) -> None:
    main(["convert", str(PICKLE), str(tmp_path / "plain.safetensors")])
    (tmp_path / "prior.yaml").write_text(
        f"denoiser:\n  class_path: EDM\n  init_args:\n    network: {PICKLE}\n    clip: true\n"
    )
    plain = ["--denoiser=EDM", f"--denoiser.network={tmp_path / 'plain.safetensors'}", "--denoiser.clip=true"]
    for name, prior in (("pickle", [f"--config={tmp_path / 'prior.yaml'}"]), ("plain", plain)):
        main(["predict", *RUN, *prior, f"--writer.folder={tmp_path / name}"])
    for sample in ("00000_00.png", "00001_00.png"):
        first, second = (np.asarray(Image.open(tmp_path / name / "samples" / sample)) for name in ("pickle", "plain"))
        # A file that is mapped into memory is aligned otherwise, with which kernels round otherwise.
        assert np.abs(first.astype(int) - second).max() <= 1


@pytest.mark.usefixtures("in_project")
def test_classes_of_the_data_are_given_to_a_pickle(tmp_path: Path) -> None:
    (tmp_path / "classes" / "3").mkdir(parents=True)
    for name in ("a", "b"):
        Image.linear_gradient("L").convert("RGB").save(tmp_path / "classes" / "3" / f"{name}.png")
    data = ["--config=configs/data/imagenet64.yaml", f"--data.root={tmp_path / 'classes'}"]
    data += ["--data.transform.size=16", *RUN[2:]]
    prior = ["--denoiser=EDM", f"--denoiser.network={VECTORS / 'nv_adm_tiny.pkl'}"]
    main(["predict", *data, *prior, f"--writer.folder={tmp_path / 'run'}"])
    assert len(list((tmp_path / "run" / "samples").iterdir())) == 2


@pytest.mark.usefixtures("in_project")
def test_a_pickle_that_cannot_be_used_ends_a_run_before_any_sampling(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "trap.pkl", {"ema": Saved("EDMPrecond"), "loss_fn": Trap(tmp_path / "executed")})
    run = ["predict", *RUN, "--denoiser=EDM", f"--denoiser.network={tmp_path / 'trap.pkl'}"]
    assert "asks for posix.system" in refused(capsys, *run, f"--writer.folder={tmp_path / 'run'}")
    assert not (tmp_path / "executed").exists()
    assert not (tmp_path / "run" / "samples").exists()


def test_a_schedule_that_the_file_does_not_say_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = UNet(16, 32, 1, [8], [1, 1], num_head_channels=32)
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    arguments = ["--arguments", json.dumps(network.arguments)]
    main(["convert", str(tmp_path / "weights.pt"), str(first), *arguments, "--schedule=cosine", "--prediction=sample"])
    assert "gives the prediction of noise, schedule cosine, prediction sample)" in capsys.readouterr().out
    main(["convert", str(first), str(second)])  # and stays
    for file in (first, second):
        prior = VP(file)
        assert prior.schedule.range == VP(network, "cosine").schedule.range != VP(network, "linear").schedule.range
        assert prior.prediction == "sample"
    told = refused(capsys, "convert", first, tmp_path / "third.safetensors", "--schedule=linear")
    assert "has the schedule cosine" in told
    told = refused(capsys, "convert", PICKLE, tmp_path / "third.safetensors", "--schedule=linear")
    assert "gives a posterior mean: a schedule" in told
    assert "linear" in refused(capsys, "convert", first, tmp_path / "third.safetensors", "--schedule=square")
    assert not (tmp_path / "third.safetensors").exists()
