"""Maximum likelihood under Rician noise, S0 free per series.

Each round replaces every magnitude y by its expected in-phase part ``y I1(z)/I0(z)``, z = y A / sd^2, A the fitted signal, and
takes Newton steps on the least-squares cost of these (expectation maximisation): the likelihood rises in every round. Worth
its time only below an SNR of about 10; above, ``nlls`` gives the same numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from krogh.errors import InputError, UsageError
from krogh.fexi.estimators._assemble import assemble, known_s0
from krogh.fexi.estimators._reduce import check_signals, input_flags, reduce_protocol
from krogh.fexi.estimators._search import TO_KERNEL, axr_units, run_chunks, search_axr
from krogh.fexi.interface import Estimate, Flag, Progress, SignalModel
from krogh.fexi.protocol import Protocol

__all__ = ["fit"]

FloatArray = NDArray[np.float64]


def fit(
    model: SignalModel,
    protocol: Protocol,
    signals: FloatArray,
    *,
    noise_sd: float | FloatArray | None = None,
    progress: Progress | None = None,
    threads: int = 1,
    s0: str | ArrayLike = "per-series",
    max_rounds: int = 2000,
    **settings: Any,
) -> Estimate:
    """Fit every voxel by Rician maximum likelihood (AXR model).

    Minimises ``- sum [ln(y/sd^2) - (y^2 + A^2)/(2 sd^2) + ln I0(y A/sd^2)]`` within the bounds, from the least-squares optimum.

    Parameters
    ----------
    noise_sd : float or array [voxel], optional
        SD of the noise of one channel. Without it, it is estimated per voxel from the least-squares residuals, which needs at
        least 5 degrees of freedom (volumes - series - 3); the 8-volume protocol has 1.
    s0 : {"per-series", "known"} or array
        As in :func:`krogh.fexi.estimators.nlls.fit`.
    max_rounds : int, optional
        Rounds before a voxel counts as not converged.

    Returns
    -------
    Estimate
        ``cost`` is minus the log-likelihood. ``sd`` is that of Gaussian noise, right above an SNR of about 3 in every volume.

    Raises
    ------
    UsageError
        If the model is not the AXR model.
    InputError
        If the noise SD is missing and cannot be estimated.
    """
    from krogh.fexi.estimators._rician import climb

    if model.name != "axr":
        raise UsageError("estimator rician", got=f"model {model.name}", expected="model axr", hint="use nlls")
    y = check_signals(signals, protocol).astype(float)
    reduced = reduce_protocol(protocol, merge=False)
    n = y.shape[0]
    given = known_s0(s0, n, protocol.n_series)
    degrees = protocol.n_volumes - 3 - (protocol.n_series if given is None else 0)
    sd = _checked_noise(noise_sd, n, degrees)
    flag = input_flags(y)
    flag[(y < 0).any(axis=1)] = Flag.NON_FINITE
    theta, s0_fit, cost = np.full((n, 3), np.nan), np.full((n, protocol.n_series), np.nan), np.full(n, np.nan)
    squares = np.full(n, np.nan)
    flag[np.isinf(sd) | (np.isnan(sd) & (noise_sd is not None))] = Flag.NON_FINITE
    low, high = axr_units(model.bounds)

    def work(part: slice) -> None:
        rows = np.arange(part.start, part.stop)[flag[part] == Flag.OK]
        u = np.ascontiguousarray(y[rows][:, reduced.order])
        fixed = None if given is None else given[rows]
        found, levels, _, least, state = search_axr(reduced, u, fixed, model.bounds)
        good = state != 1
        if noise_sd is None:
            sd[rows] = np.sqrt(least / degrees)
        known = np.full(levels.shape, np.nan) if fixed is None else fixed
        out = np.empty(rows.size)
        climb(
            u, reduced.b, reduced.root_weight, reduced.pointer, reduced.mixing_time, reduced.filtered, known, low, high, sd[rows],
            max_rounds, found, levels, out, good,
        )  # fmt: skip
        theta[rows], s0_fit[rows], cost[rows] = found / TO_KERNEL, levels, out
        squares[rows] = least
        flag[rows[~good]] = Flag.NOT_CONVERGED

    run_chunks(work, n, threads=threads, progress=progress, chunk=4096)
    limit = None if noise_sd is None else sd
    return assemble(
        model, protocol, y, theta, s0_fit, cost, flag, limit, reduced.weight, "rician", given is None, sum_of_squares=squares,
        **settings,
    )  # fmt: skip


def _checked_noise(noise_sd: float | FloatArray | None, n: int, degrees: int) -> FloatArray:
    """Return the noise SD [voxel], NaN where the residuals must give it."""
    if noise_sd is None:
        if degrees < 5:
            raise InputError(
                "noise_sd",
                got=f"none, and {degrees} degree(s) of freedom per voxel",
                expected="the SD of the noise",
                hint="measure it in the background, or use the pooled estimator, which can estimate it",
            )
        return np.full(n, np.nan)
    sd = np.broadcast_to(np.asarray(noise_sd, float), (n,)).copy()
    if np.any(sd <= 0):
        raise InputError("noise_sd", got="a value that is not > 0", expected="the SD of the noise in the unit of the signal")
    return sd
