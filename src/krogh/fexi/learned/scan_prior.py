"""The prior of a scan: the most probable mixture, and the average over all that the scan leaves open.

A scan at SNR 50 tells the spread of AXR to about 15 % only. Posteriors under the most probable prior alone are then too narrow
or too wide in every voxel alike. The posterior of a voxel given the whole scan is

    p(theta | y_v, Y) ~ L_v(theta) E[ g_phi(theta) | Y without v ],

the usual one, under the mixture g averaged over the posterior of its parameters phi. That posterior is taken as normal in the
coordinates of :mod:`krogh.fexi.learned.hyperprior` (logarithms of widths and weights), and one voxel in it as none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from krogh.errors import InputError, UsageError
from krogh.fexi.interface import Flag, Progress
from krogh.fexi.learned.ascend import Evidence, curvature
from krogh.fexi.learned.dictionary import Dictionary
from krogh.fexi.learned.graded import graded
from krogh.fexi.learned.hyperposterior import normal_priors
from krogh.fexi.learned.learn import GridEvidence, update_mixture
from krogh.fexi.learned.posterior import Problem
from krogh.fexi.learned.prior import MixturePrior, to_u, uniform_prior
from krogh.fexi.learned.scan import Scan
from krogh.fexi.learned.start import learn_prior

__all__ = [
    "PriorChoice", "ScanPrior", "average", "facts", "group_rows", "predictive", "problem_under", "reduced", "scan_prior",
    "scan_priors",
]  # fmt: skip

FloatArray = NDArray[np.float64]
LEARN_VOXELS = 100_000
_LEARN_WORK = 1.2e9  # voxels x tissues of the dictionary that one pass over the voxels may cost: some ten seconds
_DRAWS = 32


@dataclass(frozen=True)
class ScanPrior:
    """Hold the most probable prior, the average over its uncertainty (for posteriors), and whether the search ended well."""

    best: MixturePrior
    predictive: MixturePrior
    converged: bool


#: What may be given as prior: a name, a mixture, or one per tissue label, as a user has it or as it was learned.
PriorChoice = str | MixturePrior | Mapping[int, MixturePrior] | Mapping[int, ScanPrior]


def facts(priors: Mapping[int, ScanPrior]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what an estimate tells of the priors of its tissues: entries of ``extra``, and notes."""
    first, converged = next(iter(priors.values())), all(p.converged for p in priors.values())
    extra = {
        "priors": {k: p.best for k, p in priors.items()}, "prior": first.best, "converged": converged,
        "predictives": {k: p.predictive for k, p in priors.items()}, "predictive": first.predictive,
    }  # fmt: skip
    return extra, () if converged else ("the search for the prior of the scan ended before its maximum",)


def average(priors: list[MixturePrior], share: ArrayLike | None = None) -> MixturePrior:
    """Return the mixture of `priors` in the proportions `share` (default: equal)."""
    p = np.full(len(priors), 1 / len(priors)) if share is None else np.asarray(share, float)
    weight = np.concatenate([[sum(w * g.weight[0] for w, g in zip(p, priors, strict=True))], *(
        w * g.weight[1:] for w, g in zip(p, priors, strict=True))])  # fmt: skip
    return MixturePrior(
        priors[0].bounds, weight / weight.sum(), np.concatenate([g.mean for g in priors]), np.concatenate([g.cov for g in priors])
    )


def predictive(evidence: Evidence, best: MixturePrior) -> MixturePrior:
    """Return the prior averaged over 32 even draws of its parameters around the most probable one, `best`.

    With S the inverse of minus the curvature of ln evidence + ln hyperprior at `best`, the draws are of N(best, S).
    """
    if not best.n_components:
        return best
    _, state = evidence.value(best)
    matrix = curvature(best, evidence.slope(best, state), evidence.information(best, state))
    return average(normal_priors(best, matrix, _DRAWS).priors)


def reduced(prior: MixturePrior, near: MixturePrior, *, each: int = 3, points: int = 16_384) -> MixturePrior:
    """Return a mixture of `each` (3 or 1) components for each one of `near` that is close to `prior`, which may have hundreds."""
    if prior.n_components <= each * near.n_components:
        return prior
    scale = np.array([0.6, 1.0, 1.7] if each == 3 else [1.0]) ** 2
    n, n_par = near.n_components, prior.bounds.shape[0]
    start = MixturePrior(
        prior.bounds, np.r_[max(prior.weight[0], 1e-4), np.repeat(near.weight[1:] / each, each)],
        np.repeat(near.mean, each, axis=0), (near.cov[:, None] * scale[None, :, None, None]).reshape(each * n, n_par, n_par),
    )  # fmt: skip
    u = to_u(prior.draw(points, np.random.default_rng(0)), prior.bounds)
    return update_mixture(start, u, np.full(points, 1e3), rounds=40)


def group_rows(scan: Scan, labels: ArrayLike | None) -> dict[int, NDArray[np.intp]]:
    """Return the voxels that get a posterior by tissue label (all 0 without `labels` [voxel]).

    Raises
    ------
    InputError
        If `labels` has another number of voxels.
    """
    usable = np.flatnonzero((scan.flag == Flag.OK) | (scan.flag == Flag.LOW_SNR))
    if labels is None:
        return {0: usable}
    label = np.asarray(labels)
    if label.shape != (scan.signals.shape[0],):
        raise InputError("labels", got=f"shape {label.shape}", expected=f"({scan.signals.shape[0]},)")
    return {int(v): usable[label[usable] == v] for v in np.unique(label[usable])}


def learn_size(n_voxels: int, n_atoms: int) -> int:
    """Return from how many of `n_voxels` a prior is learned: at most 100,000, fewer on a fine dictionary, 10,000 on any."""
    return min(n_voxels, LEARN_VOXELS, max(10_000, int(_LEARN_WORK / n_atoms)))


def scan_prior(
    scan: Scan, grid: Dictionary, rows: NDArray[np.intp], *, prior: str | MixturePrior | ScanPrior = "scan",
    max_components: int = 5, threads: int = 1, progress: Progress | None = None,
) -> ScanPrior:  # fmt: skip
    """Return the prior of the voxels `rows`: learned from (up to 100,000 of) them ("scan"), uniform, or as given.

    Raises
    ------
    UsageError
        If `prior` is unknown.
    """
    if isinstance(prior, ScanPrior):
        return prior
    if isinstance(prior, MixturePrior):
        return ScanPrior(prior, prior, True)
    if prior not in ("scan", "uniform"):
        raise UsageError("prior", got=repr(prior), expected="scan, uniform, or a MixturePrior")
    flat = uniform_prior(scan.model.bounds)
    strong = rows[scan.flag[rows] == Flag.OK]
    if prior == "uniform" or strong.size < 2:
        return ScanPrior(flat, flat, True)
    some = strong[np.linspace(0, strong.size - 1, learn_size(strong.size, grid.n_atoms)).astype(np.intp)]
    problem = scan.problem(grid, some)
    found = learn_prior(
        scan.model, scan.protocol, problem, scan.signals[some], None if scan.s0 is None else scan.s0[some],
        max_components=max_components, threads=threads, progress=progress,
    )  # fmt: skip
    fine = problem.on(graded(grid, [found.prior]))
    return ScanPrior(found.prior, predictive(GridEvidence(fine, threads), found.prior), found.converged)


def problem_under(prior: ScanPrior, scan: Scan, grid: Dictionary, rows: NDArray[np.intp]) -> Problem:
    """Return the problem of the voxels `rows` on a dictionary fine enough for the most probable of `prior`."""
    return scan.problem(graded(grid, [prior.best]), rows)


def scan_priors(
    scan: Scan, grid: Dictionary, groups: Mapping[int, NDArray[np.intp]], prior: PriorChoice, *, max_components: int = 5,
    threads: int = 1, progress: Progress | None = None,
) -> dict[int, ScanPrior]:  # fmt: skip
    """Return the prior of each group of voxels.

    Raises
    ------
    InputError
        If a given `prior` has other bounds than the model, or none for a label.
    """
    out = {}
    for label, rows in groups.items():
        if isinstance(prior, Mapping) and label not in prior:
            raise InputError("prior", got=f"none for the tissue label {label}", expected="one for every label of the scan")
        chosen = prior[label] if isinstance(prior, Mapping) else prior
        if isinstance(chosen, MixturePrior) and not np.allclose(chosen.bounds, scan.model.bounds, rtol=1e-9):
            raise InputError(
                "prior", got="a prior for other bounds or another model", expected="one learned with the bounds of this fit"
            )
        out[label] = scan_prior(scan, grid, rows, prior=chosen, max_components=max_components, threads=threads, progress=progress)
    return out
