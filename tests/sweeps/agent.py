"""The agent of W&B, with the three calls to its server played here: `python agent.py SWEEP.yaml RUNS.json`.

RUNS.json is a list of runs, each `[id, {key: value}]`. The names that are replaced are private: wandb may move them.
"""

import json
import queue
import sys
from pathlib import Path
from typing import Any

import wandb
import wandb.apis.public.sweeps as server
import yaml
from wandb.wandb_agent import Agent


def main(sweep: Path, runs: Path) -> None:
    """Let the agent do the runs, one after the other, and say how many it counts."""
    content = yaml.safe_load(sweep.read_text())
    left = iter(json.loads(runs.read_text()))

    def heartbeat(api: Any, agent: str, metrics: Any, states: dict[str, Any]) -> list[dict[str, Any]]:
        if states:  # one is at work
            return []
        name, values = next(left, (None, None))
        if name is None:
            return [{"type": "exit"}]
        arguments = {key: {"value": value} for key, value in values.items()}
        return [{"type": "run", "run_id": name, "args": arguments, "program": content.get("program")}]

    server._sweep_with_runs = lambda *_: {"config": yaml.dump(content)}
    server._register_agent = lambda *_, **__: {"id": "agent"}
    server._agent_heartbeat = heartbeat
    wandb.Api = lambda *_, **__: object()
    agent = Agent(object(), queue.Queue(), sweep_id="sweep")
    agent.run()
    print(f"finished {agent._finished}, failed {agent._failed}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
