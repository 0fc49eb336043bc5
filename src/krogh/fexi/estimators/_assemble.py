"""Turn the end of a search into an :class:`Estimate`: noise, standard deviations and flags, the same for every estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from krogh.errors import InputError, UsageError
from krogh.fexi.interface import Estimate, Flag, SignalModel
from krogh.fexi.precision import fisher, sd_from_fisher
from krogh.fexi.protocol import Protocol

__all__ = ["SNR_LIMIT", "assemble", "known_s0", "on_bound", "resolve_noise"]

FloatArray = NDArray[np.float64]
#: Below this ratio of fitted unfiltered S0 to noise SD a voxel gets ``Flag.LOW_SNR``: there the noise floor shifts ADC by
#: about 5 %.
SNR_LIMIT = 5.0
_MIN_DEGREES = 5
_CHUNK = 65536


def known_s0(s0: str | ArrayLike, n_voxels: int, n_series: int) -> FloatArray | None:
    """Return S0 [voxel, series] where it is given ("known" means 1), or None for "per-series".

    Raises
    ------
    UsageError
        If the word is unknown.
    InputError
        If the values are not positive or do not fit.
    """
    if isinstance(s0, str):
        if s0 not in ("per-series", "known"):
            raise UsageError("s0", got=repr(s0), expected="per-series, known, or values")
        return None if s0 == "per-series" else np.ones((n_voxels, n_series))
    try:
        values = np.broadcast_to(np.asarray(s0, float), (n_voxels, n_series))
    except ValueError:
        raise InputError("s0", got=f"shape {np.shape(s0)}", expected=f"({n_voxels}, {n_series})") from None
    if not np.all(values > 0):
        raise InputError("s0", got="values that are not positive", expected="signals > 0")
    return np.array(values)


def on_bound(theta: FloatArray, bounds: FloatArray) -> NDArray[np.bool_]:
    """Return where a parameter lies on one of its limits [voxel, param]."""
    slack = 1e-9 * np.ptp(bounds, axis=1)
    return (theta <= bounds[:, 0] + slack) | (theta >= bounds[:, 1] - slack)


def resolve_noise(
    noise_sd: float | FloatArray | None, cost: FloatArray, degrees: int
) -> tuple[FloatArray | None, tuple[str, ...]]:
    """Return the noise SD [voxel] (given, or from the residuals where at least 5 degrees of freedom are left) and notes.

    Raises
    ------
    InputError
        If the given SD is not positive or does not fit.
    """
    if noise_sd is None:
        if degrees >= _MIN_DEGREES:
            return np.sqrt(cost / degrees), (f"noise SD estimated per voxel from {degrees} degrees of freedom",)
        return None, (
            f"no SD or interval: noise_sd was not given and {degrees} degree(s) of freedom per voxel cannot estimate it; "
            "give it, or pool voxels",
        )
    try:
        sd = np.broadcast_to(np.asarray(noise_sd, float).reshape(-1) if np.ndim(noise_sd) else float(noise_sd), cost.shape)
    except (TypeError, ValueError):
        raise InputError("noise_sd", got=f"shape {np.shape(noise_sd)}", expected=f"one value or {cost.size}") from None
    if np.any(sd <= 0) or not (np.ndim(noise_sd) or np.isfinite(noise_sd)):
        raise InputError("noise_sd", got="a value that is not > 0", expected="the SD of the noise in the unit of the signal")
    return np.where(np.isfinite(sd), sd, np.nan), ()


def assemble(
    model: SignalModel,
    protocol: Protocol,
    signals: FloatArray,
    theta: FloatArray,
    s0: FloatArray,
    cost: FloatArray,
    flag: NDArray[np.uint8],
    noise_sd: float | FloatArray | None,
    weights: FloatArray,
    estimator: str,
    s0_free: bool,
    *,
    snr_limit: float = SNR_LIMIT,
    sum_of_squares: FloatArray | None = None,
    unit_sd: FloatArray | None = None,
) -> Estimate:
    """Return the estimate of a search that ended at theta [voxel, param], s0 [voxel, series] with `flag` (0, 2 or 4) so far.

    `sum_of_squares` [voxel] is the weighted one where `cost` is something else; `unit_sd` [voxel, param] are SDs for unit
    noise where they are known already (NaN: singular).
    """
    failed = flag != Flag.OK
    for values in (theta, s0, cost):
        values[failed] = np.nan
    squares = cost if sum_of_squares is None else sum_of_squares
    n_nuisance = protocol.n_series if s0_free else 0
    noise, notes = resolve_noise(noise_sd, squares, protocol.n_volumes - theta.shape[1] - n_nuisance)
    sd, singular = _unit_sd(model, protocol, theta, s0, weights, failed, s0_free) if unit_sd is None else _known_sd(unit_sd)
    rmse = _rmse(model, protocol, signals, theta, s0, cost if unit_sd is not None and np.all(weights == 1) else None)
    bound = on_bound(theta, model.bounds)
    sd[bound] = np.nan
    sd = sd * noise[:, None] if noise is not None else np.full_like(sd, np.nan)
    any_bound = bound.any(axis=1)
    flag = flag.copy()
    flag[~failed & any_bound] = Flag.ON_BOUND
    if noise is not None and noise_sd is not None:
        level = s0[:, protocol.series_index[protocol.filter_b_s_m2 == 0]].mean(axis=1)
        flag[~failed & ~(level >= snr_limit * noise)] = Flag.LOW_SNR
    flag[~failed & singular & ~any_bound] = Flag.NOT_IDENTIFIABLE
    names: Any = model.parameter_names
    return Estimate(
        parameters={name: theta[:, p] for p, name in enumerate(names)},
        sd={name: sd[:, p] for p, name in enumerate(names)},
        s0=s0,
        rmse=rmse,
        cost=cost,
        flag=flag,
        estimator=estimator,
        model=model.name,
        noise_sd=noise,
        notes=notes,
    )


def _known_sd(unit_sd: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    return unit_sd, np.isnan(unit_sd[:, 0])


def _unit_sd(
    model: SignalModel,
    protocol: Protocol,
    theta: FloatArray,
    s0: FloatArray,
    weights: FloatArray,
    failed: NDArray[np.bool_],
    s0_free: bool,
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return the SDs for unit noise [voxel, param] and where the Fisher matrix is singular."""
    sd, singular = np.full(theta.shape, np.nan), np.zeros(theta.shape[0], bool)
    width = np.ptp(model.bounds, axis=1)
    for start in range(0, theta.shape[0], _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, theta.shape[0]))
        rows = rows[~failed[rows]]
        if rows.size:
            information = fisher(model, protocol, theta[rows], s0[rows], weights, s0_free=s0_free)
            sd[rows], good = sd_from_fisher(information, width)
            singular[rows] = ~good
    return sd, singular


def _rmse(
    model: SignalModel, protocol: Protocol, signals: FloatArray, theta: FloatArray, s0: FloatArray, squares: FloatArray | None
) -> FloatArray:
    """Return the root mean square residual [voxel], from the sum of squares where that is known."""
    if squares is not None:
        return np.sqrt(squares / protocol.n_volumes)
    out = np.full(theta.shape[0], np.nan)
    for start in range(0, theta.shape[0], _CHUNK):
        part = slice(start, start + _CHUNK)
        with np.errstate(invalid="ignore"):
            out[part] = np.sqrt(np.mean((signals[part] - model.predict(theta[part], s0[part], protocol)) ** 2, axis=1))
    return np.where(np.isnan(theta[:, 0]), np.nan, out)
