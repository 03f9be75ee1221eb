"""What the README shows is run."""

import re
from typing import Any

import torch
from small_run import ROOT

README = (ROOT / "README.md").read_text()


def test_the_five_lines_in_python_draw_posterior_samples() -> None:
    code = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)[0]
    names: dict[str, Any] = {}
    exec(code, names)

    samples, operator, y = names["samples"], names["operator"], names["y"]
    assert samples.shape == (1, 8, 3, 16, 16)
    misfit = (operator(samples[0]) - y).square().mean().sqrt()
    assert misfit < 0.1 < (operator(torch.zeros(1, 3, 16, 16)) - y).square().mean().sqrt()
    assert samples.std(dim=1).mean() > 0.01


def test_every_file_that_the_readme_names_exists() -> None:
    named = re.findall(r"configs/[\w/]+\.yaml", README)
    assert named
    assert [file for file in named if not (ROOT / file).exists()] == []
