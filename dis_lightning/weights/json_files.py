"""Configurations beside weights, as they are published: files in JSON."""

import json
from pathlib import Path
from typing import Any

from dis_lightning.errors import InvalidValueError

__all__ = ["read_json"]


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object.

    Raises:
        ValueError: if it does not.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidValueError(f"{path} is no JSON ({error}): it is damaged; get it again.") from error
    if not isinstance(content, dict):
        raise InvalidValueError(f"{path} must hold an object, but holds one {type(content).__name__}; get it again.")
    return content
