"""What is known of published priors before any of them is downloaded; the data is in `cards.yaml`."""

from typing import Any

from dis_lightning.weights import FileCard, read_cards
from dis_lightning.weights import file_cards as file_cards_of

__all__ = ["file_cards", "repository_cards"]

PACKAGE = "dis_lightning.priors.checkpoints"


def file_cards() -> dict[str, FileCard]:
    """The cards of files, by name."""
    return file_cards_of(PACKAGE)


def repository_cards() -> dict[str, dict[str, Any]]:
    """The `arguments` of `UNet` for repositories of the hub and the `kind` of their networks, by hub id."""
    cards: dict[str, dict[str, Any]] = read_cards(PACKAGE)["repositories"]
    return cards
