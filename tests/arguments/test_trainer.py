"""What a prediction makes of the trainer's arguments."""

import os
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from lightning import Trainer

from dis_lightning.arguments.messages import explain
from dis_lightning.arguments.trainer import repeat_bits


@pytest.mark.parametrize(
    ("device", "deterministic", "benchmark", "wanted"),
    [
        ("cuda", None, None, [(True, {})]),
        ("cuda", False, None, []),
        ("cuda", True, None, []),  # Lightning does it, and refuses what cannot
        ("cuda", None, True, []),
        ("cpu", None, None, []),
    ],
)
def test_a_gpu_repeats_its_bits_unless_the_user_said_anything_about_it(
    device: str, deterministic: bool | None, benchmark: bool | None, wanted: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda mode, **more: asked.append((mode, more)))
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    trainer = cast(Trainer, SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device(device))))
    repeat_bits(trainer, deterministic, benchmark)
    assert asked == wanted
    assert ("CUBLAS_WORKSPACE_CONFIG" in os.environ) == bool(wanted)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # for it to be undone


def test_who_cannot_have_the_same_bits_is_told_how_to_go_on() -> None:
    error = RuntimeError(
        "grid_sampler_2d_backward_cuda does not have a deterministic implementation, but you set ... ."
    )
    message = explain(error)
    assert message is not None
    assert "grid_sampler_2d_backward_cuda" in message
    assert "--trainer.deterministic=false" in message
    assert explain(RuntimeError("another")) is None
