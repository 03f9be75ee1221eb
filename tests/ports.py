"""Ports for processes that start later than the test that chooses them."""

import random
import socket
from contextlib import suppress

__all__ = ["free_ports"]


def free_ports(count: int) -> list[int]:
    """Ports that nobody has, below those that a system gives out by itself: one of these may be gone a moment later."""
    found: list[int] = []
    for port in random.SystemRandom().sample(range(20_000, 32_000), 1000):
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"Only {len(found)} ports of 1000 are free.")
