"""Turn the signals of a scan into the problem that the learned estimators solve: usable voxels, noise, S0, dictionary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from krogh.errors import InputError
from krogh.fexi.estimators import get_estimator
from krogh.fexi.estimators._assemble import known_s0
from krogh.fexi.estimators._reduce import check_signals, input_flags
from krogh.fexi.interface import Flag, SignalModel
from krogh.fexi.learned.dictionary import Dictionary, build_dictionary
from krogh.fexi.learned.posterior import Problem, make_problem
from krogh.fexi.noise import estimate_noise_sd
from krogh.fexi.protocol import Protocol

if TYPE_CHECKING:
    from krogh.fexi.learned.sampling import Signals

__all__ = ["MIN_SNR", "Scan", "prepare_scan"]

FloatArray = NDArray[np.float64]
#: Below this ratio of signal to noise SD in the weakest usable volume the approximation of the Rician likelihood is not used.
MIN_SNR = 3.0
_SAMPLE = 2000


@dataclass(frozen=True)
class Scan:
    """Hold checked input: signals [voxel, volume], noise SD [voxel], S0 [voxel, series] or None, flags [voxel], notes."""

    model: SignalModel
    protocol: Protocol
    signals: FloatArray
    noise: FloatArray
    s0: FloatArray | None
    flag: NDArray[np.uint8]
    notes: tuple[str, ...]

    @property
    def rows(self) -> NDArray[np.intp]:
        """Voxels to learn from."""
        return np.flatnonzero(self.flag == Flag.OK)

    @property
    def usable(self) -> NDArray[np.intp]:
        """Voxels that get an estimate: also those of low SNR."""
        return np.flatnonzero((self.flag == Flag.OK) | (self.flag == Flag.LOW_SNR))

    def part(self, rows: NDArray[np.intp]) -> Signals:
        """Return the voxels `rows` in units of their noise, as the networks see them."""
        from krogh.fexi.learned.sampling import Signals  # loads torch, which a dictionary does not need

        s0 = None if self.s0 is None else self.s0[rows]
        return Signals.of(self.model, self.protocol, self.signals[rows], self.noise[rows], s0)

    def dictionary(self) -> Dictionary:
        """Return a dictionary fine enough for the noise, over the range that least squares finds occupied."""
        rows = self.rows
        some = rows[np.linspace(0, rows.size - 1, min(rows.size, _SAMPLE)).astype(np.intp)]
        known: dict[str, Any] = {} if self.s0 is None else {"s0": self.s0[some]}
        fitted = get_estimator("nlls")(self.model, self.protocol, self.signals[some], **known)
        good = np.isfinite(fitted.theta()).all(axis=1)
        if not good.any():
            raise InputError("signals", got="no voxel that least squares can fit", expected="decaying signals")
        levels = np.maximum(fitted.s0[good], 0) / self.noise[some][good, None]
        return build_dictionary(self.model, self.protocol, fitted.theta()[good], levels, known_s0=self.s0 is not None)

    def problem(self, grid: Dictionary, rows: NDArray[np.intp]) -> Problem:
        """Return the problem of the voxels `rows`."""
        return make_problem(grid, self.signals[rows], self.noise[rows], s0=None if self.s0 is None else self.s0[rows])


def prepare_scan(
    model: SignalModel, protocol: Protocol, signals: FloatArray, noise_sd: float | FloatArray | None, s0: str | ArrayLike
) -> Scan:
    """Return the checked scan; without `noise_sd` the noise is estimated from the residuals of all voxels together.

    Raises
    ------
    InputError
        If the noise is not given and cannot be estimated, is not positive, or no voxel is usable.
    """
    y = check_signals(signals, protocol).astype(float)
    n = y.shape[0]
    level = known_s0(s0, n, protocol.n_series)
    flag = input_flags(y)
    notes: tuple[str, ...] = ()
    flag[(y < 0).any(axis=1)] = Flag.NON_FINITE
    if noise_sd is None:
        some = np.flatnonzero(flag == Flag.OK)[:: max(1, n // 20000)]
        found = estimate_noise_sd(get_estimator("nlls")(model, protocol, y[some]), model, protocol) if some.size else None
        if found is None:
            raise InputError(
                "noise_sd", got="none, and the residuals cannot give it", expected="the SD of the noise in the unit of the signal"
            )
        noise_sd, notes = found, (f"noise SD {found:.3g} estimated from the residuals of {some.size} voxels",)
    try:
        noise = np.broadcast_to(np.asarray(noise_sd, float), (n,)).copy()
    except ValueError:
        raise InputError("noise_sd", got=f"shape {np.shape(noise_sd)}", expected=f"one value or {n}") from None
    if np.any(noise <= 0):
        raise InputError("noise_sd", got="a value that is not > 0", expected="the SD of the noise in the unit of the signal")
    flag[~np.isfinite(noise)] = Flag.NON_FINITE
    good = flag == Flag.OK
    if not good.any():
        raise InputError("signals", got="no usable voxel", expected="finite, positive signals")
    weak = good & (np.sort(y, axis=1)[:, 0] < MIN_SNR * noise) if level is None else np.zeros(n, bool)
    flag[weak] = Flag.LOW_SNR
    return Scan(model, protocol, y, noise, level, flag, notes)
