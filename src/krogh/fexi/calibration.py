"""Check the intervals of an estimator by simulation: tissues from a distribution, scans with noise, fits, and where truth falls.

Simulation-based calibration (Talts 2018, arXiv 1804.06788): the posterior probability below the truth is uniform where posteriors
are right. Voxels of one scan share what was learned from it, so that their ranks are not independent: every test and error here
counts scans, not voxels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import t as student

from krogh.errors import InputError, UsageError
from krogh.fexi.estimators import get_estimator, get_preparation
from krogh.fexi.interface import Estimate, Progress, SignalModel
from krogh.fexi.noise import add_noise
from krogh.fexi.precision import check_identifiable
from krogh.fexi.protocol import Protocol

__all__ = ["LEVELS", "Calibration", "Ranks", "calibrate", "uniformity"]

FloatArray = NDArray[np.float64]
#: Draws tissues theta [voxel, param], SI; voxels of one tissue stand together.
Draw = Callable[[int, np.random.Generator], FloatArray]
#: A function like those of :data:`krogh.fexi.estimators.ESTIMATORS`.
Fit = Callable[..., Estimate]
LEVELS = (0.5, 0.8, 0.95)
_RANKED = ("eb", "hbayes")  # they give the posterior rank of the truth itself, the others quantiles or SDs


@dataclass(frozen=True)
class Ranks:
    """Hold posterior probabilities below the truth [scan, unit, param]; a unit is a voxel or a region; NaN where no fit is."""

    value: FloatArray

    def coverage(self) -> tuple[FloatArray, FloatArray]:
        """Return the share of truths inside the central intervals [level, param] and its standard error.

        The error is that over scans, and not below the one of independent units.
        """
        found, error = [], []
        for level in LEVELS:
            inside = np.where(np.isfinite(self.value), np.abs(self.value - 0.5) <= level / 2, np.nan)
            each = np.nanmean(inside, axis=1)
            found.append(each.mean(axis=0))
            least = np.sqrt(level * (1 - level) / max(np.isfinite(self.value[..., 0]).sum(), 1))
            error.append(np.maximum(each.std(axis=0, ddof=1) / np.sqrt(each.shape[0]), least))
        return np.array(found), np.array(error)

    def coverage_interval(self) -> tuple[FloatArray, FloatArray]:
        """Return the ends of 95 % intervals of the coverage [level, param]: Student's t over scans."""
        found, error = self.coverage()
        half = student.ppf(0.975, self.value.shape[0] - 1) * error
        return np.clip(found - half, 0, 1), np.clip(found + half, 0, 1)

    def p_values(self) -> FloatArray:
        """Return the probability of ranks this far from uniform [param]."""
        return np.array([uniformity(self.value[:, :, p]) for p in range(self.value.shape[2])])


@dataclass(frozen=True)
class Calibration:
    """Hold the ranks of voxels and regions, and how they were made."""

    estimator: str
    model: SignalModel
    snr: float
    voxels: Ranks
    regions: Ranks | None
    seed: int

    @property
    def n_scans(self) -> int:
        """Number of simulated scans."""
        return int(self.voxels.value.shape[0])


def uniformity(rank: FloatArray) -> float:
    """Return the p-value of uniform ranks [scan, unit], scans being independent and their units not.

    Neyman's smooth test: a t test over scans of the scan means of each of the first three Legendre polynomials (shift, spread,
    skew), and three times the smallest p. Six scans are enough where the ranks of a scan are loosely tied.
    """
    p = []
    for k in (1, 2, 3):
        each = np.nanmean(legendre.legval(2 * rank - 1, np.eye(4)[k]), axis=1)
        error = max(float(each.std(ddof=1)) / np.sqrt(each.size), 1e-12)
        p.append(2 * student.sf(abs(float(each.mean())) / error, each.size - 1))
    return float(min(1.0, 3 * min(p)))


def calibrate(
    model: SignalModel,
    protocol: Protocol,
    draw: Draw,
    *,
    snr: float,
    estimator: str | Fit = "eb",
    scans: int = 20,
    voxels: int = 1000,
    regions: int = 4,
    seed: int = 0,
    threads: int = 1,
    settings: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> Calibration:
    """Simulate `scans` scans, fit each, and return where the truth lies in the posteriors of its voxels and regions.

    Parameters
    ----------
    draw : callable
        Tissues of one scan; S0 is 1 and free in the fit.
    snr : float
        S0 over the noise SD, which the fit is told.
    estimator : str or callable
        A name, or a function with the signature of an estimator. One without posteriors is judged by estimate and SD; between
        the quantiles that one states, its distribution is taken as linear on the normal scale.
    regions : int
        Equal parts of each scan, whose mean parameters are the truth of the region; 0: none.
    settings : dict, optional
        Of the estimator, e.g. ``weights``.

    Raises
    ------
    InputError
        If there are fewer than 6 scans or a region of fewer than 50 voxels, the SNR is not positive, or the protocol cannot tell
        the parameters of the model apart.
    UsageError
        If `estimator` is unknown or gives neither posteriors nor SDs.
    """
    _check(snr, scans, voxels, regions)
    check_identifiable(model, protocol, s0_free=True)
    fit = get_estimator(estimator) if isinstance(estimator, str) else estimator
    name, sd, n_par = estimator if isinstance(estimator, str) else "given", 1 / snr, len(model.parameter_names)
    rank = np.full((scans, voxels, n_par), np.nan)
    by_region = np.full((scans, regions, n_par), np.nan)
    for i in range(scans):
        rng = np.random.default_rng([seed, 7, i])
        theta = draw(voxels, rng)
        signals = add_noise(model.shape(theta, protocol), sd, rng)
        learned: dict[str, Any] = {"at": theta} if name in _RANKED else {}
        found = fit(model, protocol, signals, noise_sd=sd, threads=threads, **learned, **(settings or {}))
        rank[i] = _rank(found, theta, model)
        for j, rows in enumerate(np.array_split(np.arange(voxels), regions) if regions else ()):
            by_region[i, j] = _region_rank(name, model, protocol, signals[rows], theta[rows].mean(axis=0), sd, threads)
        if progress is not None:
            progress(i + 1, scans)
    return Calibration(name, model, snr, Ranks(rank), Ranks(by_region) if np.isfinite(by_region).any() else None, seed)


def _check(snr: float, scans: int, voxels: int, regions: int) -> None:
    if not (np.isfinite(snr) and snr > 0):
        raise InputError("snr", got=snr, expected="a number > 0")
    if scans < 6:
        raise InputError("scans", got=scans, expected="at least 6: what scans share is told by their differences only")
    if regions < 0 or (regions and voxels // regions < 50):
        raise InputError("regions", got=f"{regions} of {voxels} voxels", expected="0, or at least 50 voxels in each")


def _rank(found: Estimate, theta: FloatArray, model: SignalModel) -> FloatArray:
    """Return the posterior probability below the truth [voxel, param], by quantiles, ranks or SDs, whichever there are."""
    exact = found.extra.get("rank") if found.extra else None
    if exact is not None:
        return np.asarray(exact, float)
    quantiles = found.extra.get("quantiles") if found.extra else None
    if quantiles is not None:
        return _between(quantiles, np.asarray(found.extra["levels"], float), theta)
    if not found.sd:
        raise UsageError("estimator", got=f"{found.estimator}, which gives no SD", expected="one that says how sure it is")
    error = np.stack([theta[:, j] - found.parameters[p] for j, p in enumerate(model.parameter_names)], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(ndtr(error / np.stack([found.sd[p] for p in model.parameter_names], axis=1)))


def _between(quantiles: FloatArray, levels: FloatArray, theta: FloatArray) -> FloatArray:
    """Return the level of theta [voxel, param] among its quantiles [voxel, param, level], linear on the normal scale."""
    z = ndtri(levels)
    cell = np.clip((quantiles <= theta[..., None]).sum(axis=-1) - 1, 0, levels.size - 2)
    low, high = (np.take_along_axis(quantiles, (cell + k)[..., None], axis=-1)[..., 0] for k in (0, 1))
    share = (theta - low) / np.maximum(high - low, 1e-300)
    return np.asarray(np.where(np.isfinite(quantiles).all(axis=-1), ndtr(z[cell] + share * (z[cell + 1] - z[cell])), np.nan))


def _region_rank(
    name: str, model: SignalModel, protocol: Protocol, signals: FloatArray, truth: FloatArray, sd: float, threads: int
) -> FloatArray:
    """Return the same of the mean of a region: its posterior where the estimator learns, else the pooled fit (AXR model)."""
    if name != "given" and get_preparation(name) is not None:
        from krogh.fexi.learned.regions import region_posterior
        from krogh.fexi.learned.scan import prepare_scan

        scan = prepare_scan(model, protocol, signals, sd, "per-series")
        problem = scan.problem(scan.dictionary(), scan.rows)
        return region_posterior(model, protocol, problem, scan.signals[scan.rows], threads=threads).cdf(truth)
    if model.name != "axr":
        return np.full(truth.shape, np.nan)
    found = get_estimator("pooled")(model, protocol, signals, noise_sd=sd, threads=threads, intervals=False)
    return _rank(found, truth[None], model)[0]
