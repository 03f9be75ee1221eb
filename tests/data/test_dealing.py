from types import SimpleNamespace

import lightning
import pytest
import torch

from dis_lightning.data import FolderData

NAMES = [f"{index:02d}.png" for index in range(11)]


@pytest.fixture
def folder(tmp_path, save_pictures):
    save_pictures(tmp_path, *NAMES)
    return tmp_path


def seen_by(rank: int, processes: int, data: FolderData) -> list[list[int]]:
    data.trainer = SimpleNamespace(world_size=processes, global_rank=rank)
    data.setup()
    return [batch["index"].tolist() for batch in data.predict_dataloader()]


@pytest.mark.parametrize("processes", [1, 2, 3, 4])
@pytest.mark.parametrize(("num_images", "batch_size"), [(11, 1), (11, 2), (8, 2), (9, 2), (11, 3), (7, 2)])
def test_every_batch_goes_to_one_process_and_is_the_same_for_any_number_of_them(
    folder, processes, num_images, batch_size
):
    indices = list(range(num_images))
    batches = [indices[first : first + batch_size] for first in range(0, num_images, batch_size)]
    for rank in range(processes):
        data = FolderData(folder, num_images=num_images, batch_size=batch_size)
        assert seen_by(rank, processes, data) == batches[rank::processes]


def test_a_batch_holds_what_its_items_hold(folder):
    data = FolderData(folder, num_images=5, batch_size=3)
    data.setup()
    first, last = data.predict_dataloader()
    assert first["image"].shape == (3, 3, 4, 6)
    assert first["image"].is_contiguous()
    assert torch.equal(last["image"], torch.stack([data.images[3]["image"], data.images[4]["image"]]))
    assert last["index"].dtype == torch.int64
    assert last["name"] == NAMES[3:5]


@pytest.mark.parametrize(("num_images", "processes", "largest"), [(11, 2, 10), (11, 3, 5), (10, 4, 3), (4, 4, 1)])
def test_fewer_batches_than_processes_name_the_largest_batch_size_on_every_process(
    folder, num_images, processes, largest
):
    for rank in range(processes):
        with pytest.raises(ValueError, match=rf", 1 in all; set --data\.batch_size={largest} or less"):
            seen_by(rank, processes, FolderData(folder, num_images=num_images, batch_size=num_images))
        assert seen_by(rank, processes, FolderData(folder, num_images=num_images, batch_size=largest))
        with pytest.raises(ValueError, match="Every process needs a batch"):
            seen_by(rank, processes, FolderData(folder, num_images=num_images, batch_size=largest + 1))


def test_fewer_images_than_processes_ask_for_fewer_processes_on_every_process(folder):
    for rank in range(4):
        with pytest.raises(ValueError, match=r"4 processes and num_images=3; use at most 3 \(--trainer\.devices"):
            seen_by(rank, 4, FolderData(folder, num_images=3))


class Recorder(lightning.LightningModule):
    """Gives back what it was given."""

    def predict_step(self, batch, batch_idx):
        return batch_idx, batch["index"].tolist(), batch["name"]


# Lightning 2.6 asks torch's pytree in a way that newer ones deprecate.
@pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:FutureWarning")
# On three cores or more Lightning asks for workers; on one, torch finds two too many.
@pytest.mark.filterwarnings("ignore:The 'predict_dataloader' does not have many workers")
@pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker processes:UserWarning")
@pytest.mark.parametrize("use_distributed_sampler", [False, True])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_one_process_predicts_all_batches_in_order(folder, num_workers, use_distributed_sampler):
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        use_distributed_sampler=use_distributed_sampler,
    )
    data = FolderData(folder, num_images=5, batch_size=2, num_workers=num_workers)
    seen = trainer.predict(Recorder(), data)
    assert seen == [(0, [0, 1], NAMES[0:2]), (1, [2, 3], NAMES[2:4]), (2, [4], NAMES[4:5])]
    assert data.shape == (3, 4, 6)
