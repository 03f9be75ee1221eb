"""The jobs that the benchmark times are those of the papers, and cost what their methods say."""

import json
import subprocess
import sys

from small_run import ROOT

COSTS = """
import json, sys
from dataclasses import replace
import torch
from jobs import FIGURE_2, TABLE_5, _table, cost_of, prepare
from dis_lightning.types import Cost

def cost(job, **changes):
    solver = prepare(replace(job, **changes), "tiny", torch.float32, None, False)
    return cost_of(solver, torch.device("cpu"))[:2]

dps, one_step, two_steps = FIGURE_2
table = _table({dps: Cost(evaluations=3.0, gradients=2.0, seconds=7.0, memory=5.0)}, "tiny")
print(json.dumps({
    "row": {column.header: list(column.cells)[0] for column in table.columns},
    "reported": [job.reported for job in TABLE_5],
    "levels": [len(prepare(job, "tiny", torch.float32, None, False).levels) for job in TABLE_5],
    "inversion": cost(TABLE_5[2]),
    "dps": [cost(dps, num_samples=number) for number in (1, 2)],
    "langevin": [cost(one_step, num_samples=number) for number in (1, 6)],
}))
"""


def test_a_sample_more_costs_dps_a_run_and_a_chain_a_step() -> None:
    command = [sys.executable, "-c", COSTS]
    ended = subprocess.run(command, cwd=ROOT / "tests" / "benchmarks", capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    assert found["reported"] == [150.0, 218.0, 72.0]
    assert found["levels"] == [1001, 1001, 3]
    assert found["inversion"] == [102, 102]  # twice 50 steps, and an evaluation where each begins
    row = {"job": "DPS, 100 steps", "samples": "1", "evaluations": "3", "gradients": "2", "seconds": "7"}
    assert found["row"] == row | {"a sample": "7", "GiB": "5.00", "paper (A100)": ""}
    assert found["dps"] == [[100, 100], [200, 200]]
    (one, _), (six, _) = found["langevin"]
    assert six - one == 5
    assert 400 <= one <= 403
