"""A prior for every voxel: that of the scan, given what its neighbours show.

How much neighbours share is learned: the shares rho of the variance of each component, and how many voxels the weights of the
scan are worth, are those under which voxels are best predicted from their neighbours,

    max over (rho, worth) of  sum_v ln p(y_v | y around v).

Each stays at none where the prediction does not gain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from krogh.errors import UsageError
from krogh.fexi.interface import Flag
from krogh.fexi.learned.dictionary import Dictionary
from krogh.fexi.learned.field import gain, local_field, local_weights
from krogh.fexi.learned.local import LocalPriors
from krogh.fexi.learned.messages import Messages, read_messages
from krogh.fexi.learned.neighbours import Blocks, Neighbours, gather_blocks
from krogh.fexi.learned.posterior import Problem
from krogh.fexi.learned.prior import MixturePrior
from krogh.fexi.learned.scan import Scan
from krogh.fexi.learned.scan_prior import PriorChoice, ScanPrior, problem_under, reduced

__all__ = ["Sharing", "check_smooth", "learn_sharing", "local_priors", "sharing_note", "smooth_priors"]

FloatArray = NDArray[np.float64]
_SHARES = (0.0, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.96)
_WORTHS = (np.inf, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0)
_LEARN = 4000
_PRICE = 3.0  # of ln p: what a number has to gain, so that chance gives it in one case of a hundred
_MOST = 8


@dataclass(frozen=True)
class Sharing:
    """Hold what neighbours share.

    ``rho`` [component, param] along the Cholesky directions of the component: the first parameter, the second beyond what the
    first tells, and so on; ``worth`` of the weights of the scan in voxels (infinite: no local weights); ``gained`` in ln p of a
    voxel, given its neighbours.
    """

    weight: FloatArray
    rho: FloatArray
    worth: float
    gained: float


class _Prediction:
    """Predict some voxels from their neighbours, the numbers that say how being changed one at a time."""

    def __init__(self, messages: Messages, weight: FloatArray, blocks: Blocks, rows: NDArray[np.intp], threads: int) -> None:
        self.messages, self.weight, self.blocks, self.rows, self.threads = messages, weight, blocks, rows, threads
        n, n_par = messages.level.shape[1:]
        self.rho, self.worth = np.zeros((n, n_par)), np.inf
        self._alone = np.log(np.maximum(messages.share[rows], 1e-300)) - np.log(np.maximum(weight, 1e-300))
        self._gains = np.zeros((rows.size, 1 + n))

    def value(self, gains: FloatArray | None = None, worth: float | None = None) -> float:
        """Return the sum of ln p, up to a constant, with some numbers replaced."""
        gains, worth = self._gains if gains is None else gains, self.worth if worth is None else worth
        weights = local_weights(self.messages, self.weight, worth, self.blocks, self.rows)
        return float(logsumexp(np.log(np.maximum(weights, 1e-300)) + self._alone + gains, axis=1).sum())

    def choose_worth(self) -> None:
        """Take the best worth of the weights of the scan."""
        self.worth = max(_WORTHS, key=lambda w: self.value(worth=w) - _PRICE * np.isfinite(w))

    def choose_share(self, k: int, p: int, candidates: tuple[float, ...]) -> None:
        """Take the best share of direction `p` in component `k`."""
        found = []
        for r in candidates:
            rho, gains = self.rho[k].copy(), self._gains.copy()
            rho[p], gains[:, k + 1] = r, 0.0
            if rho.any():
                field = local_field(self.messages, k, rho, self.blocks, self.rows, threads=self.threads)
                gains[:, k + 1] = gain(self.messages.precision[self.rows, k], self.messages.level[self.rows, k], field)
            found.append((self.value(gains) - _PRICE * (r > 0), r, gains))
        _, self.rho[k, p], self._gains = max(found, key=lambda f: f[:2])


def learn_sharing(messages: Messages, weight: FloatArray, blocks: Blocks, *, threads: int = 1) -> Sharing:
    """Return what neighbours share, from up to 4,000 voxels that are predicted from all around them."""
    heard = np.flatnonzero(messages.speaks)
    rows = heard[np.linspace(0, heard.size - 1, min(heard.size, _LEARN)).astype(np.intp)]
    found = _Prediction(messages, weight, blocks, rows, threads)
    before = found.value()
    found.choose_worth()
    for again in (False, True):
        for k, p in np.ndindex(found.rho.shape):
            i = _SHARES.index(found.rho[k, p])
            found.choose_share(k, p, _SHARES[max(i - 1, 0) : i + 2] if again else _SHARES)
        found.choose_worth()
    return Sharing(weight, found.rho, found.worth, (found.value() - before) / rows.size)


def local_priors(
    problem: Problem, prior: ScanPrior, voxels: Neighbours, speaks: FloatArray, *, threads: int = 1
) -> tuple[LocalPriors, Sharing]:
    """Return the prior of every voxel of `problem` and what neighbours share.

    Parameters
    ----------
    prior : ScanPrior
        Of the scan. Where it has hundreds of components (an average over what the scan leaves open), one Gaussian takes the
        place of all that stand for one component of the best prior.
    voxels : Neighbours
        Where the voxels lie.
    speaks : array [voxel]
        1 where a voxel is heard by others, else 0.

    Raises
    ------
    UsageError
        If the best prior has more than 8 components: it was not learned from a scan.
    """
    n_k, n, n_par = prior.best.n_components, problem.n_voxels, prior.best.bounds.shape[0]
    if n_k > _MOST:
        raise UsageError("smooth", got=f"a prior of {n_k} components", expected="one learned from the scan, with at most 8")
    if not n_k:
        nothing = Sharing(np.ones(1), np.empty((0, n_par)), np.inf, 0.0)
        return LocalPriors(prior.best.bounds, np.ones((n, 1)), np.empty((n, 0, n_par)), np.empty((n, 0, n_par, n_par))), nothing
    whole = reduced(prior.predictive, prior.best, each=1)
    blocks, messages = gather_blocks(voxels), read_messages(problem, whole, speaks, threads=threads)
    found = learn_sharing(messages, whole.weight, blocks, threads=threads)
    rows = np.arange(n)
    weight = local_weights(messages, whole.weight, found.worth, blocks, rows)
    mean, root = np.empty((n, whole.n_components, n_par)), np.empty((n, whole.n_components, n_par, n_par))
    for k in range(whole.n_components):
        mean[:, k], root[:, k] = _component(whole, k, found.rho[k], messages, blocks, rows, threads)
    return LocalPriors(whole.bounds, weight, mean, root), found


def check_smooth(smooth: Neighbours | None, prior: PriorChoice) -> None:
    """Refuse to smooth under a prior that was given.

    Raises
    ------
    UsageError
        Saying so.
    """
    if smooth is not None and (isinstance(prior, MixturePrior) or prior == "uniform"):
        raise UsageError("smooth", got="also a prior", expected="the prior that is learned from the scan")


def smooth_priors(
    scan: Scan, grid: Dictionary, groups: Mapping[int, NDArray[np.intp]], priors: Mapping[int, ScanPrior], smooth: Neighbours, *,
    threads: int = 1,
) -> tuple[dict[int, LocalPriors], dict[int, Sharing], tuple[str, ...]]:  # fmt: skip
    """Return the priors of the voxels of each tissue label, what its neighbours share, and notes; labels do not mix."""
    local, shared, notes = {}, {}, []
    speaks = (scan.flag == Flag.OK).astype(float)
    for label, rows in groups.items():
        local[label], shared[label] = local_priors(
            problem_under(priors[label], scan, grid, rows), priors[label], smooth.take(rows), speaks[rows], threads=threads
        )
        where = f" (tissue label {label})" if len(groups) > 1 else ""
        notes.append(sharing_note(smooth.fwhm_m, shared[label], scan.model.parameter_names) + where)
    return local, shared, tuple(notes)


def _component(
    whole: MixturePrior, k: int, rho: FloatArray, messages: Messages, blocks: Blocks, rows: NDArray[np.intp], threads: int
) -> tuple[FloatArray, FloatArray]:
    """Return mean and Cholesky root of component `k` at the voxels `rows`."""
    own = np.linalg.cholesky(whole.cov[k])
    if not rho.any():
        return whole.mean[k][None], own[None]
    field = local_field(messages, k, rho, blocks, rows, threads=threads)
    return whole.mean[k] + field.mean @ own.T, own @ np.linalg.cholesky(field.cov)


def sharing_note(fwhm_m: float, found: Sharing, names: tuple[str, ...]) -> str:
    """Return a sentence that tells how much neighbours share, averaged over the components."""
    start = f"smoothed over {1e3 * fwhm_m:.3g} mm: "
    if not found.rho.any() and not np.isfinite(found.worth):
        return f"{start}neighbours were found to share nothing, so that the maps are those without it"
    share = found.weight[1:] @ found.rho / max(found.weight[1:].sum(), 1e-300)
    told = ", ".join(
        f"{100 * s:.0f} % ({name.removesuffix('_m2_s').removesuffix('_per_s')})" for s, name in zip(share, names, strict=True)
    )
    return f"{start}neighbours were found to share of the variance between voxels {told}"
