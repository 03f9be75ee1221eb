"""What samples of an image cost, for figure 2 of the second paper: against its count, and what the study says of it."""

import pytest

from dis_lightning.types import Cost
from studies.reconstruction_time import METHODS, costs, print_costs


@pytest.mark.parametrize("method", METHODS)
def test_a_sample_of_dps_is_a_run_and_one_of_a_chain_is_a_move(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # as the command line has it
    levels = {"class_path": "KarrasLevels", "init_args": {"steps": 4}}
    table = costs(method, (1, 3), {"levels": levels} if method == "dps_dm" else {"warm_start": 5})
    steps = {"dps_dm": (4, 12), "langevin_one_step": (1 + 5 + 1, 1 + 5 + 3), "langevin_two_steps": (14, 18)}[method]
    assert tuple(cost.evaluations for cost in table) == steps
    assert tuple(cost.gradients for cost in table) == steps


def test_the_chain_is_the_cheaper_one_from_the_samples_on_that_the_study_says() -> None:
    def cheaper(eta: int) -> int:
        return next(number for number in range(1, 100) if eta * (800 + number + 1) < 100 * number)

    assert (cheaper(1), cheaper(2)) == (9, 17)


def test_the_table_has_a_row_for_every_number(capsys: pytest.CaptureFixture[str]) -> None:
    print_costs({"dps_dm": [Cost(100, 100, 2.9, 1.0), Cost(500, 500, 8.7, 1.0)]}, (1, 5))
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if "s" in line.split()]
    assert rows == [["1", "100", "3", "s"], ["5", "500", "9", "s"]]
