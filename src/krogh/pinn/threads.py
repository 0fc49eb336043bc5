"""Keep least squares on one thread: with two on a busy machine, LAPACK's QR waits at barriers and was up to 50 times slower."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["one_thread"]


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch's linear algebra on one thread, and give the user's setting back after."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
