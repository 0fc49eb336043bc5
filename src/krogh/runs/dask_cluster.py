"""Spread chunks over a Dask cluster (extra ``dask``): ``local:N`` starts one here, an address joins one that runs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from krogh.errors import InputError, PartialFailureError, UsageError
from krogh.runs.chunks import Keep, Spread, Work, do_chunk

__all__ = ["spread_on_dask"]

_CONNECT_S = 20
_AHEAD = 4


def spread_on_dask(target: str) -> Spread:
    """Return a way to spread chunks over the cluster `target`.

    Parameters
    ----------
    target : str
        ``local:N`` for N workers of this machine, or the address of a scheduler (``tcp://host:8786``).

    Raises
    ------
    UsageError
        If Dask is not installed.
    InputError
        If `target` is neither.
    """
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise UsageError("--dask", got="no dask.distributed", hint="pip install 'krogh[dask]'") from None
    local = target.removeprefix("local:") if target.startswith("local:") else ""
    if target.startswith("local:") and not (local.isdigit() and 1 <= int(local) <= 512):
        raise InputError("--dask", got=repr(target[:60]), expected="local:N with N from 1 to 512, or tcp://host:port")

    def spread(chunks: Sequence[Any], todo: Sequence[int], work: Work, keep: Keep) -> None:
        from distributed import Client, LocalCluster

        logging.getLogger("distributed").setLevel(logging.ERROR)  # the scheduler's diary is not the user's
        if local:
            # processes, one thread each: the numerics are not shared between threads
            with (
                LocalCluster(n_workers=int(local), threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
                Client(cluster) as client,
            ):
                _drain(client, chunks, todo, work, keep)
            return
        try:
            client = Client(target, timeout=_CONNECT_S)
        except (OSError, ValueError) as error:
            raise InputError("--dask", got=f"no scheduler at '{target[:60]}' ({type(error).__name__})",
                             expected="local:N or tcp://host:port") from None  # fmt: skip
        with client:
            _drain(client, chunks, todo, work, keep)

    return spread


def _drain(client: Any, chunks: Sequence[Any], todo: Sequence[int], work: Work, keep: Keep) -> None:
    """Keep a few chunks for each worker in flight; what a dead worker held is done by another."""
    from distributed import KilledWorker, as_completed

    left, waiting = iter(todo), as_completed()
    index: dict[str, int] = {}

    def send() -> None:
        if (k := next(left, None)) is not None:
            future = client.submit(do_chunk, work, chunks[k], pure=False, key=f"krogh-chunk-{k}-{id(waiting)}")
            index[future.key] = k
            waiting.add(future)

    for _ in range(_AHEAD * max(len(client.ncores()), 1)):
        send()
    for future in waiting:
        try:
            keep(index.pop(future.key), future.result())
        except KilledWorker:
            raise PartialFailureError("run", got="a chunk that killed its workers again and again",
                                      hint="give them more memory, then --resume") from None  # fmt: skip
        send()
