"""Run many items in planned chunks: each is stored whole or not at all, in any order, by any number of workers, once.

What a chunk holds depends on its items alone, so the results are the same bytes whatever the order, the workers or the
interruptions.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol

from threadpoolctl import threadpool_limits

from krogh.errors import InputError, PartialFailureError

__all__ = ["ChunkStore", "Keep", "Spread", "Work", "do_chunk", "parse_shard", "run_chunks", "shard_of"]

_MOST_RESTARTS = 3

#: Does one chunk: items in; (bytes to store, number of items that failed) out. Sent to other processes: a module's function.
Work = Callable[[Any], tuple[bytes, int]]
#: Takes the number of a chunk and what its work returned.
Keep = Callable[[int, tuple[bytes, int]], None]
#: Spreads (chunks, numbers to do, work, keep) over whatever does them; `keep` is called here, once for each.
Spread = Callable[[Sequence[Any], Sequence[int], Work, Keep], None]


class ChunkStore(Protocol):
    """Keep finished chunks."""

    def finished(self) -> Collection[int]:
        """Return the numbers of the chunks that are stored."""

    def save(self, index: int, content: bytes) -> None:
        """Store a chunk, whole or not at all."""


def parse_shard(text: str) -> tuple[int, int]:
    """Return (i, n) of ``i/n``, 1 <= i <= n.

    Raises
    ------
    InputError
        If it is not that.
    """
    first, slash, last = text.partition("/")
    if slash and first.strip().isdigit() and last.strip().isdigit() and 1 <= int(first) <= int(last) <= 100_000:
        return int(first), int(last)
    raise InputError("--shard", got=repr(text[:40]), expected="i/n with 1 <= i <= n, e.g. 3/10")


def shard_of(count: int, shard: tuple[int, int]) -> range:
    """Return the numbers of the chunks that part i of n does: every n-th one."""
    return range(shard[0] - 1, count, shard[1])


def run_chunks(
    chunks: Sequence[Any],
    work: Work,
    store: ChunkStore,
    *,
    workers: int = 1,
    spread: Spread | None = None,
    shard: tuple[int, int] = (1, 1),
    max_fail: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Do the chunks that are not stored yet and return how many items failed in them.

    Parameters
    ----------
    chunks : sequence
        The items of each chunk.
    work : callable
        See :data:`Work`; an item that fails is its business.
    store : ChunkStore
        Where finished chunks go.
    workers : int
        Processes, >= 1. One means this process.
    spread : callable, optional
        Another way to spread the work, e.g. :func:`krogh.runs.dask_cluster.spread_on_dask`; `workers` is not used then.
    shard : (int, int)
        Part i of n.
    max_fail : int, optional
        Stop when more items than this have failed; what is stored stays.
    progress : callable, optional
        Called with (chunks of this part that are done, all of this part).

    Raises
    ------
    PartialFailureError
        If more items failed than allowed, or a chunk killed its worker again and again.
    """
    mine = shard_of(len(chunks), shard)
    held = set(store.finished())
    todo = [k for k in mine if k not in held]
    failed, done = 0, len(mine) - len(todo)

    def keep(index: int, result: tuple[bytes, int]) -> None:
        nonlocal failed, done
        store.save(index, result[0])
        failed, done = failed + result[1], done + 1
        if progress is not None:
            progress(done, len(mine))
        if max_fail is not None and failed > max_fail:
            raise PartialFailureError("run", got=f"{failed} failed items", expected=f"at most {max_fail} (--max-fail)",
                                      hint="what is done is kept; --resume goes on")  # fmt: skip

    if progress is not None:
        progress(done, len(mine))
    if spread is not None:
        spread(chunks, todo, work, keep)
        return failed
    if workers == 1:
        for k in todo:
            keep(k, do_chunk(work, chunks[k]))
        return failed
    for _ in range(_MOST_RESTARTS):
        try:
            _spread(chunks, todo, work, workers, keep)
        except BrokenProcessPool:  # a worker died: what it had not stored is done again
            held = set(store.finished())
            todo = [k for k in todo if k not in held]
        else:
            return failed
    raise PartialFailureError(
        "run", got=f"workers that died {_MOST_RESTARTS} times", hint="less --workers need less memory; then --resume"
    )


def do_chunk(work: Work, chunk: Any) -> tuple[bytes, int]:
    """Do one chunk with BLAS on one thread: how it shares its sums among threads would show in the last digits."""
    with threadpool_limits(1, user_api="blas"):
        return work(chunk)


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent, and end with it: a worker whose parent was killed would wait for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait_for_end() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait_for_end, daemon=True).start()


def _spread(chunks: Sequence[Any], todo: Sequence[int], work: Work, workers: int, keep: Keep) -> None:
    """Do chunks in other processes, a few ahead of what is being stored, so that memory does not grow with their number."""
    # a fresh interpreter each: threads of the libraries do not survive a fork
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_follow_parent)
    try:
        left = iter(todo)
        waiting: dict[Future[tuple[bytes, int]], int] = {}
        while True:
            while len(waiting) < 2 * workers and (k := next(left, None)) is not None:
                waiting[pool.submit(do_chunk, work, chunks[k])] = k
            if not waiting:
                return
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                keep(waiting.pop(future), future.result())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
