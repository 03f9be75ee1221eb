"""Every file of configs/callbacks and configs/loggers that needs no download is run; the others say what is missing."""

import csv
import json
import urllib.request
from pathlib import Path
from urllib.error import URLError

import pytest
import yaml
from small_run import ROOT, SMALL

from dis_lightning.main import main
from dis_lightning.metrics.base import SECTIONS

DOWNLOADS = {
    "clip_score": "huggingface.co/timm/vit_large_patch14_clip_224.openai",
    "diversity": "alexnet-owt-7be5be79.pth",
    "fid": "weights-inception-2015-12-05-6726825d.pth",
    "lpips": "alexnet-owt-7be5be79.pth",
    "y_classification_xu2024": "vit_b_16-c867db91.pth",
    "y_segmentation_xu2024": "ade20k-resnet50dilated-ppm_deepsup/encoder_epoch_20.pth",
}
"""What each file says where there is no network."""

JUDGED = {
    "y_room_layout_xu2024": ("rooms_layout", {"y_miou"}),
    "y_rooms_caption": ("rooms_caption", {"y_accuracy"}),
    "y_rooms_class": ("rooms_class", {"y_accuracy"}),
    "y_rooms_layout": ("rooms_layout", {"y_miou", "y_miou_of_set"}),
    "y_rooms_segmentation": ("rooms_segmentation", {"y_miou", "y_miou_of_set"}),
    "y_segmentation_xu2024_model_a": ("rooms_segmentation", {"y_miou_a", "y_miou_a_noisy"}),
}
"""What a judge of rooms adds, and where: by the file of the operator that measures classes."""

LARGER = ["--data.size=32", "--denoiser=dis_lightning.commands.scoring.UnreadPrior", "--denoiser.shape=[3, 32, 32]"]
"""Images that LPIPS can look at, of which none is sampled."""

OTHERS = {"fid_patches", "running_means", "trajectory", "y_labels"}

FILES = {file.stem: file for file in (ROOT / "configs" / "callbacks").glob("*.yaml")}

RUNS = sorted(FILES.keys() - DOWNLOADS.keys() - JUDGED.keys() - OTHERS)
"""All others: they add their metrics to any run."""

pytestmark = [
    pytest.mark.usefixtures("in_project"),
    pytest.mark.filterwarnings("ignore:.* images is "),
]


def arguments(file: str, folder: Path) -> list[str]:
    return ["predict", *SMALL, f"--config=configs/{file}.yaml", "--model.num_samples=3", f"--writer.folder={folder}"]


def test_every_file_that_is_named_here_is_there() -> None:
    assert DOWNLOADS.keys() | JUDGED.keys() | OTHERS <= FILES.keys()
    assert {"aligned", "diversity_rooms", "fid_rooms", "y_mse"} <= set(RUNS)


@pytest.mark.parametrize("name", RUNS)
def test_a_file_adds_its_metrics(name: str, tmp_path: Path) -> None:
    main(arguments(f"callbacks/{name}", tmp_path))
    summary = json.loads((tmp_path / "metrics.json").read_text())
    for callback in yaml.safe_load(FILES[name].read_text())["trainer"]["callbacks+"]:
        by = f".{callback['class_path'].rpartition('.')[2]}, dis_lightning "
        values = {value for value, definition in summary["definitions"].items() if by in definition["by"]}
        found = {value: entry["mean"] for section in SECTIONS for value, entry in summary.get(section, {}).items()}
        assert values
        assert all(found[value] is not None for value in values)


@pytest.mark.parametrize("name", DOWNLOADS)
def test_missing_weights_are_named_before_anything_is_sampled(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def offline(*_: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    monkeypatch.setattr("open_clip.download_pretrained", offline)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    words = "--config=configs/operators/rooms_caption.yaml"  # for the score that needs them
    with pytest.raises(SystemExit):
        main([*arguments(f"callbacks/{name}", tmp_path / "run"), *LARGER, words])
    message = capsys.readouterr().err
    assert DOWNLOADS[name] in message
    assert "Traceback" not in message
    assert not (tmp_path / "run" / "samples").exists()


@pytest.mark.parametrize("name", JUDGED)
def test_measured_classes_are_judged_and_so_they_are_by_a_second_look(name: str, tmp_path: Path) -> None:
    operator, added = JUDGED[name]
    file = f"configs/operators/{operator}.yaml"
    small = [argument.replace("configs/operators/average_pool_x4.yaml", file) for argument in SMALL]
    main(["predict", *small, f"--config=configs/callbacks/{name}.yaml", f"--writer.folder={tmp_path}"])
    summary = json.loads((tmp_path / "metrics.json").read_text())
    values = summary["consistency"] | summary["set"]
    assert added < values.keys()
    assert all(0 <= values[value]["mean"] <= 1 for value in added)
    assert all(len(summary["definitions"][value]["weights_tensors_sha256"]) == 64 for value in added)
    (tmp_path / "metrics.json").unlink()
    main(["evaluate", str(tmp_path), "--device=cpu"])
    assert json.loads((tmp_path / "metrics.json").read_text()) == summary


@pytest.mark.parametrize("name", ["diversity", "lpips"])
def test_images_too_small_for_a_metric_are_refused_before_anything_is_sampled(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments(f"callbacks/{name}", tmp_path))
    assert "LPIPS needs images of 31 pixels or more a side, but got 8 x 8" in capsys.readouterr().err
    assert not (tmp_path / "samples").exists()


def test_small_rooms_cannot_be_cut_into_large_squares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments("callbacks/fid_patches", tmp_path))
    assert "Images of 8 x 8 pixels cannot be cut into squares of 64" in capsys.readouterr().err


def test_the_film_file_makes_films(tmp_path: Path) -> None:
    main(arguments("callbacks/trajectory", tmp_path))
    assert len(list(tmp_path.glob("trajectories/*.gif"))) == 4


def test_classes_cannot_be_judged_where_none_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments("callbacks/y_labels", tmp_path))
    assert "AveragePool does not; give the metric another as judge" in capsys.readouterr().err


def test_words_cannot_be_scored_where_none_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments("callbacks/clip_score", tmp_path))
    assert "CLIPScore needs words, but AveragePool does not measure any; give it a text" in capsys.readouterr().err


def test_a_judge_of_other_classes_is_refused_before_anything_is_sampled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments("callbacks/y_rooms_layout", tmp_path))
    told = "RoomsLayout cannot judge this run: it measures 5 classes (frontal, left, right, floor, ceiling) at 8 x 8"
    message = capsys.readouterr().err
    assert told in message
    assert "Traceback" not in message
    assert not (tmp_path / "samples").exists()


def test_the_published_judge_of_classes_looks_at_pictures_as_its_paper_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*arguments("callbacks/y_classification_xu2024", tmp_path), "--print_config"])
    callbacks = yaml.safe_load(capsys.readouterr().out)["trainer"]["callbacks"]
    judge = callbacks[-1]["init_args"]["judge"]["init_args"]
    assert (judge["size"], judge["interpolation"]) == (224, "bilinear")
    assert (judge["mean"], judge["std"]) == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


@pytest.mark.parametrize("name", ["csv", "tensorboard", "wandb_offline"])
def test_every_logger_file_runs(name: str, tmp_path: Path) -> None:
    main([*arguments(f"loggers/{name}", tmp_path / "run"), f"--trainer.logger.save_dir={tmp_path}"])
    if name == "csv":
        with next(tmp_path.glob("csv/version_0/metrics.csv")).open() as file:
            assert "metrics/psnr" in next(csv.reader(file))
        assert "AveragePool" in next(tmp_path.glob("csv/version_0/hparams.yaml")).read_text()
    else:
        pattern = {"tensorboard": "tensorboard/version_0/events*", "wandb_offline": "wandb/offline-run-*/*.wandb"}[name]
        assert len(list(tmp_path.glob(pattern))) == 1


def test_the_online_logger_file_is_understood(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([*arguments("loggers/wandb", tmp_path), "--print_config"])
    assert "WandbLogger" in capsys.readouterr().out
