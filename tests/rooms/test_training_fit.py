import warnings

import pytest
import torch
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from dis_lightning.priors import EDM, UNet
from dis_lightning.priors.checkpoints.loading import load_network, save_network
from dis_lightning.rooms import render_room
from dis_lightning.rooms.captions import facts
from dis_lightning.rooms.readers import ReaderA, ReaderB
from dis_lightning.rooms.training.album import album
from dis_lightning.rooms.training.base import Training, average_decay, rate_factor
from dis_lightning.rooms.training.consistency import ConsistencyDistillation
from dis_lightning.rooms.training.data import RoomBatch, RoomBatches
from dis_lightning.rooms.training.edm import EDMTraining
from dis_lightning.rooms.training.fit import fit
from dis_lightning.rooms.training.reading import ReaderTraining
from dis_lightning.rooms.world import draw_scene

pytestmark = [
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated"),  # Lightning, of its own doing
    pytest.mark.filterwarnings("ignore:Found .* in eval mode"),  # the average, and a teacher, are meant to be
    pytest.mark.filterwarnings("ignore:Checkpoint directory"),
    pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before"),  # shown harmless
    pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*logger.*:UserWarning"),
]


def network(seed=0):
    torch.manual_seed(seed)
    return UNet(8, 32, 1, [], [1], num_head_channels=32)


def batches(folder, **arguments):
    return RoomBatches(num_images=16, batch_size=4, size=8, folder=folder, **arguments)


def trainer(folder, steps, every=100):
    return Trainer(
        accelerator="cpu",
        max_steps=steps,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[ModelCheckpoint(folder, "last", every_n_train_steps=every, enable_version_counter=False)],
    )


def rooms(number=8, size=8):
    pages = [render_room("train", index, size) for index in range(number)]
    images = torch.stack([torch.from_numpy(page.image).permute(2, 0, 1) for page in pages])
    maps = ([torch.from_numpy(getattr(page, name)) for page in pages] for name in ("segmentation", "layout"))
    labels = torch.tensor([page.label for page in pages], dtype=torch.uint8)
    known = torch.tensor([facts(draw_scene("train", index)) for index in range(number)], dtype=torch.uint8)
    return RoomBatch(images, *map(torch.stack, maps), labels, known)


class Counting(Training):
    """One weight, which is 1, 2, 3, .. after each step."""

    def __init__(self, sharpness):
        super().__init__(nn.Linear(1, 1, bias=False), rate=1.0, warm_up=1, decay_after=1000, sharpness=sharpness)
        nn.init.zeros_(self.model.weight)
        nn.init.zeros_(self.average.weight)

    def configure_optimizers(self):
        return torch.optim.SGD(self.model.parameters(), 1.0)

    def losses(self, rooms, random):
        return -self.model.weight.sum().expand(len(rooms.labels))

    def save(self, path):
        path.write_text("")


def test_the_average_without_sharpness_is_the_plain_mean_of_the_weights(tmp_path):
    counting = Counting(sharpness=0.0)
    trainer(tmp_path, 9).fit(counting, batches(tmp_path))
    assert counting.model.weight.item() == pytest.approx(9)
    assert counting.average.weight.item() == pytest.approx(5)


def test_the_sharp_average_weighs_steps_by_a_power():
    average, weights = 0.0, torch.zeros(2000, dtype=torch.float64)
    for step in range(1, 2001):
        decay = average_decay(step, 6.0)
        average = decay * average + (1 - decay) * step
        weights *= decay
        weights[step - 1] = 1 - decay
    assert average == pytest.approx(2000 * 7 / 8, rel=1e-3)  # the mean of density 7 u^6 on [0, 1]
    assert (weights[1999] / weights[999]).item() == pytest.approx(2**6, rel=0.01)


class Keeping(Callback):
    """Keeps what the model holds after each step."""

    def __init__(self):
        self.states = []

    def on_train_batch_end(self, trainer, training, *_):
        self.states.append({name: value.clone() for name, value in training.model.state_dict().items()})


def test_the_statistics_of_batch_norms_are_averaged_with_the_weights(tmp_path):
    torch.manual_seed(0)
    training = ReaderTraining(ReaderA((8, 8, 8, 8)))
    keeping, run = Keeping(), trainer(tmp_path, 4)
    run.callbacks.append(keeping)
    run.fit(training, batches(tmp_path))
    average = training.average.state_dict()
    moving = [name for name, value in average.items() if value.is_floating_point()]
    assert any(name.endswith("running_var") for name in moving)
    for name in moving:
        expected = torch.zeros_like(average[name])
        for step, state in enumerate(keeping.states, start=1):
            expected = expected.lerp(state[name], 1 - average_decay(step, training.sharpness))
        torch.testing.assert_close(average[name], expected, msg=name)
        if name.endswith("running_mean"):
            assert not torch.equal(average[name], keeping.states[-1][name])


def test_a_run_says_how_far_it_is_as_often_as_it_is_logged(tmp_path, capsys):
    run = trainer(tmp_path, 5)
    run.log_every_n_steps = 2
    run.fit(Counting(sharpness=0.0), batches(tmp_path))
    assert capsys.readouterr().out.splitlines() == ["Step 2 of 5: loss -1", "Step 4 of 5: loss -3"]


def test_the_rate_warms_up_and_falls_with_the_root_of_the_steps():
    assert [rate_factor(step, 10, 100) for step in (1, 5, 10, 100)] == [0.1, 0.5, 1, 1]
    assert rate_factor(400, 10, 100) == pytest.approx(0.5)


@pytest.mark.parametrize("kind", ["edm", "consistency", "reader_a", "reader_b"])
def test_steps_lower_the_loss_of_a_batch(kind, tmp_path):
    torch.manual_seed(0)
    if kind == "consistency":
        teacher = network()
        nn.init.normal_(teacher.out[2].weight, std=0.1)  # one that says anything at all
        save_network(teacher, tmp_path / "teacher.safetensors")
        training = ConsistencyDistillation(str(tmp_path / "teacher.safetensors"))
    else:
        training = {
            "edm": lambda: EDMTraining(EDM(network())),
            "reader_a": lambda: ReaderTraining(ReaderA((8, 8, 8, 8))),
            "reader_b": lambda: ReaderTraining(ReaderB(8, (1, 2))),
        }[kind]()
    optimizer = torch.optim.Adam(training.model.parameters(), 1e-3)
    batch, history = rooms(), []
    for _ in range(12):
        loss = training.losses(batch, torch.Generator().manual_seed(0)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert history[-1] < 0.97 * history[0]


def test_a_resumed_run_equals_an_unbroken_one(tmp_path):
    def run(steps, resume=None):
        training = EDMTraining(EDM(network()), rate=1e-2, warm_up=3, decay_after=4)
        fit(training, batches(tmp_path), trainer(tmp_path, steps, every=3), tmp_path / "out.safetensors", resume)
        return training.state_dict()

    unbroken = run(6)
    (tmp_path / "last.ckpt").unlink()
    run(3)
    resumed = run(6, tmp_path / "last.ckpt")
    for name, weight in unbroken.items():
        torch.testing.assert_close(resumed[name], weight, rtol=0, atol=0, msg=name)


def test_fit_writes_the_averaged_network(tmp_path):
    training = EDMTraining(EDM(network()))
    fit(training, batches(tmp_path), trainer(tmp_path, 2), tmp_path / "out.safetensors", tmp_path / "missing.ckpt")
    written = load_network(tmp_path / "out.safetensors").state_dict()
    for name, weight in training.average.network.state_dict().items():
        assert torch.equal(written[name], weight)
    assert any(not torch.equal(written[name], weight) for name, weight in training.model.network.state_dict().items())


def test_a_run_without_an_end_is_refused(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        endless = Trainer(accelerator="cpu", max_steps=-1, logger=False, enable_checkpointing=False)
    with pytest.raises(ValueError, match=r"needs trainer.max_steps"):
        fit(EDMTraining(EDM(network())), batches(tmp_path), endless, tmp_path / "out.safetensors")


def test_an_album_holds_the_rooms_of_the_world_and_is_rendered_once(tmp_path):
    first = album("train", 9, size=8, folder=tmp_path)
    room = render_room("train", 5, 8)
    assert (first.images[5].transpose(1, 2, 0) == room.image).all()
    assert (first.segmentation[5] == room.segmentation).all()
    assert (first.layout[5] == room.layout).all()
    assert first.labels[5] == room.label
    (kept,) = tmp_path.iterdir()
    (kept / "labels.npy").unlink()
    with pytest.raises(FileNotFoundError):
        album("train", 9, size=8, folder=tmp_path)


def test_bad_albums_and_parts_are_refused(tmp_path):
    with pytest.raises(ValueError, match="num_images >= 1, but got 0"):
        album("train", 0, folder=tmp_path)
    with pytest.raises(ValueError, match=r"album of 16 rooms was needed, but got part=\(8, 17\)"):
        batches(tmp_path, part=(8, 17))
    with pytest.raises(ValueError, match="steps >= 3, but got 2"):
        ConsistencyDistillation("nowhere", steps=2)
