"""Posteriors from samples of a flow, weighted by likelihood and prior: exact in the limit, whatever the flow learned.

One sample in ten comes from the prior itself, so that no weight exceeds ten times its fair share (as in ``sampling``). Which ones
hangs on the signals of the voxel, so that their errors are not the same in all voxels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from krogh.fexi.estimators._search import run_chunks
from krogh.fexi.interface import Progress
from krogh.fexi.learned import _proposal
from krogh.fexi.learned.posterior import Posterior
from krogh.fexi.learned.prior import MixturePrior, to_u
from krogh.fexi.learned.sampling import SHARE, Collected, Signals, prior_parts, sobol_points, voxel_shift
from krogh.fexi.learned.unrolled import UnrolledFlow

if TYPE_CHECKING:
    from krogh.fexi.learned.flow import PosteriorNetwork

__all__ = ["posterior_by_flow"]

FloatArray = NDArray[np.float64]
_CHUNK = 8192  # samples at a time: few enough to stay in the cache
_POOL = 4096
_POOR, _MORE = 0.25, 4  # a voxel with fewer effective samples than a quarter of all gets 4 times as many


def posterior_by_flow(
    network: PosteriorNetwork,
    signals: Signals,
    x: FloatArray,
    prior: MixturePrior,
    *,
    n_samples: int,
    seed: int,
    at: FloatArray | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> tuple[Posterior, FloatArray]:
    """Return the posterior of every voxel and the effective number of its samples; `at` as in ``posterior_by_sampling``."""
    n_par = prior.bounds.shape[0]
    found, flow, parts = Collected(signals, prior.bounds, at), UnrolledFlow(network), prior_parts(prior)
    pool = np.ascontiguousarray(to_u(prior.draw(_POOL, np.random.default_rng([seed, 78])), prior.bounds).T)
    few = {m: max(1, round(SHARE * m)) for m in (n_samples, _MORE * n_samples)}
    points = {m: np.ascontiguousarray(sobol_points(m - few[m], n_par).T) for m in few}
    shift = voxel_shift(signals.z, n_par + 1, seed)

    def fill(rows: NDArray[np.intp], samples: int) -> None:
        u, log_q = np.empty((rows.size, n_par, samples)), np.empty((rows.size, samples))
        _proposal.give(points[samples], shift[rows], pool, u)
        flow.draw(x[rows], u, samples - few[samples], log_q)
        fraction, ratio = np.empty((rows.size, samples, n_par)), np.empty((rows.size, samples))
        _proposal.compare(u, log_q, *parts, few[samples] / samples, fraction, ratio)
        found.add(rows, fraction, ratio)

    def work(rows: slice) -> None:
        every = np.arange(rows.start, rows.stop)
        for some in np.array_split(every, -(-every.size * n_samples // _CHUNK)):
            fill(some, n_samples)
            poor = some[found.effective[some] < _POOR * n_samples]
            if poor.size:
                fill(poor, _MORE * n_samples)

    run_chunks(work, x.shape[0], threads=threads, progress=progress, chunk=2048)
    return found.posterior, found.effective
