"""Which values a sweep tries next, and which trials it ends early."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dis_lightning.errors import InvalidValueError
from dis_lightning.sweeps import Sweep, read_sweep, run_trials
from dis_lightning.sweeps.definition import Hyperband
from dis_lightning.sweeps.search import Bayes, Values

PARAMETERS = {
    "x": {"distribution": "log_uniform_values", "min": 0.01, "max": 100.0},
    "n": {"min": 1, "max": 5},
    "kind": {"values": [[1.0, 2.0], "near"]},
}


def sweep(folder: Path, cap: int = 25, **changes: Any) -> Sweep:
    content = {
        "method": "bayes",
        "metric": {"name": "metrics/psnr", "goal": "minimize"},
        "parameters": PARAMETERS,
        "command": ["${args}"],
        "run_cap": cap,
    }
    (folder / "sweep.yaml").write_text(yaml.safe_dump({**content, **changes}))
    return read_sweep(folder / "sweep.yaml")


def worth(values: Values) -> float:
    """Least at x = 1 and n = 3, and worse by 5 with the list."""
    return abs(values["x"] - 1) ** 0.5 + abs(values["n"] - 3) + 5 * (values["kind"] != "near")


def asked(search: Bayes) -> list[tuple[Values, float]]:
    found = []
    while (values := search.ask()) is not None:
        found.append((values, worth(values)))
        search.tell(*found[-1])
    return found


def test_bayes_comes_nearer_than_chance_and_stays_within_its_bounds(tmp_path: Path) -> None:
    found = asked(Bayes(sweep(tmp_path, 40), 0, [], []))
    assert len(found) == 40
    for values, _ in found:
        assert 0.01 <= values["x"] <= 100
        assert values["n"] in range(1, 6)
        assert values["kind"] in ([1.0, 2.0], "near")
    first, last = ([result for _, result in part] for part in (found[:10], found[-10:]))
    assert sum(last) < 0.6 * sum(first)
    assert found == asked(Bayes(sweep(tmp_path, 40), 0, [], []))


def test_bayes_goes_on_from_what_has_ended_and_what_has_begun(tmp_path: Path) -> None:
    ended: list[tuple[Values, float | None]] = [*asked(Bayes(sweep(tmp_path, 20), 0, [], []))]
    ended[3] = (ended[3][0], None)
    begun = {"x": 0.5, "n": 2, "kind": [1.0, 2.0]}
    again = asked(Bayes(sweep(tmp_path, 25), 0, ended, [begun]))
    assert len(again) == 5
    assert again[0][0] == begun
    results = [result for _, result in ended if result is not None]
    assert sum(result for _, result in again[1:]) / 4 < sum(results) / len(results)
    assert asked(Bayes(sweep(tmp_path, 20), 0, ended, [])) == []


def test_bayes_may_ask_for_the_same_twice_before_it_is_told(tmp_path: Path) -> None:
    search = Bayes(sweep(tmp_path, 3, parameters={"kind": {"values": [1, 2]}}), 0, [], [])
    three = [search.ask() for _ in range(3)]
    for values in three:
        assert values is not None
        search.tell(values, float(values["kind"]))
    assert search.ask() is None


@pytest.mark.parametrize("error", [False, True])
def test_values_that_are_at_work_are_not_run_twice_at_a_time(tmp_path: Path, error: bool) -> None:
    at_once, most, begun = 0, 0, 0

    def start(words: list[str], log: Path, stop: Callable[[], str | None]) -> int:
        nonlocal at_once, most, begun
        begun += 1
        at_once += 1
        most = max(most, at_once)
        time.sleep(0.1)
        at_once -= 1
        if error:
            raise InvalidValueError("no such program")
        return 1

    one = sweep(tmp_path, 6, parameters={"kind": {"value": 1}})
    if error:
        with pytest.raises(InvalidValueError, match="no such program"):
            run_trials(one, tmp_path / "out", 0, 3, lambda _: None, start)
        assert begun == 1
    else:
        (trial,) = run_trials(one, tmp_path / "out", 0, 3, lambda _: None, start)
        assert trial.values == {"kind": 1}
        assert 1 <= begun <= 6
    assert most == 1


def test_hyperband_has_the_bands_that_its_file_says(tmp_path: Path) -> None:
    def bands(**early: Any) -> Hyperband:
        found = sweep(tmp_path, early_terminate={"type": "hyperband", **early}).hyperband
        assert found is not None
        return found

    assert bands(min_iter=2).bands[:4] == (2, 6, 18, 54)
    assert bands(min_iter=3, eta=2).bands[:3] == (3, 6, 12)
    assert bands(max_iter=27, s=2).bands == (3, 9)
    assert sweep(tmp_path).hyperband is None


def test_hyperband_lets_the_best_of_each_eta_go_on() -> None:
    hyperband = Hyperband((2,), 3.0)
    values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert [hyperband.goes_on(value, values, maximize=False) for value in values] == [True, True] + [False] * 4
    assert [hyperband.goes_on(value, values, maximize=True) for value in values] == [False] * 4 + [True, True]
    assert hyperband.goes_on(9.0, [9.0], maximize=False)


@pytest.mark.parametrize(
    "early",
    [
        "hyperband",
        {"type": "median"},
        {"type": "hyperband"},
        {"type": "hyperband", "min_iter": 2, "eta": 1},
        {"type": "hyperband", "min_iter": 2, "eta": "3"},
    ],
)
def test_what_is_no_early_end_is_refused(tmp_path: Path, early: Any) -> None:
    with pytest.raises(InvalidValueError, match="early_terminate"):
        sweep(tmp_path, early_terminate=early)
