"""The jobs that the benchmark times are those of the papers, and cost what their methods say."""

import json
import subprocess
import sys

from small_run import ROOT

COSTS = """
import json, sys
from dataclasses import replace
import torch
from jobs import FIGURE_2, TABLE_5, _cost, prepare

def cost(job, **changes):
    solver = prepare(replace(job, **changes), "tiny", torch.float32, None, False)
    return _cost(solver, torch.device("cpu"))[:2]

dps, one_step, two_steps = FIGURE_2
print(json.dumps({
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
    assert found["dps"] == [[100, 100], [200, 200]]
    (one, _), (six, _) = found["langevin"]
    assert six - one == 5
    assert 400 <= one <= 403
