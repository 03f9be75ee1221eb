import json
import os
import subprocess
import sys

# Runs once as each process: Lightning starts the script a second time.
SCRIPT = """
import json, sys
from pathlib import Path
import lightning
from dis_lightning.data import FolderData


class Recorder(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.seen = []

    def predict_step(self, batch, batch_idx):
        self.seen.append(batch["index"].tolist())


def predict(use_distributed_sampler, **arguments):
    trainer = lightning.Trainer(
        accelerator="cpu", devices=2, strategy="ddp", logger=False, enable_checkpointing=False,
        enable_model_summary=False, enable_progress_bar=False, use_distributed_sampler=use_distributed_sampler,
    )
    module = Recorder()
    try:
        trainer.predict(module, FolderData(images, **arguments), return_predictions=False)
    except ValueError as error:
        return trainer.global_rank, str(error)
    return trainer.global_rank, module.seen


images, results = Path(sys.argv[1]), Path(sys.argv[2])
answers = {
    "default": predict(True, num_images=7, batch_size=2),
    "own": predict(False, num_images=7, batch_size=2, num_workers=2),
    "uneven": predict(True, num_images=5, batch_size=2),
    "too large": predict(True, num_images=7, batch_size=7),
}
rank = answers["own"][0]
results.joinpath(f"{rank}.json").write_text(json.dumps({name: answer for name, (_, answer) in answers.items()}))
"""


def test_two_processes_share_the_batches_whoever_deals_and_both_refuse_too_few(tmp_path, save_pictures):
    save_pictures(tmp_path / "images", *(f"{index}.png" for index in range(7)))
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, tmp_path / "script.py", tmp_path / "images", tmp_path]
    subprocess.run(command, check=True, timeout=300, cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"})
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    for setting in ("default", "own"):
        assert first[setting] == [[0, 1], [4, 5]]
        assert second[setting] == [[2, 3], [6]]
    assert (first["uneven"], second["uneven"]) == ([[0, 1], [4]], [[2, 3]])
    assert first["too large"] == second["too large"]
    assert "set --data.batch_size=6 or less" in first["too large"]
