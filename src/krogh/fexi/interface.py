"""What a signal model, an estimator and an estimate are, so that any model meets any estimator.

Nothing is computed here: three contracts and the flag values that all maps share.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

if typing.TYPE_CHECKING:
    from krogh.fexi.protocol import Protocol

__all__ = ["Estimate", "Estimator", "Flag", "Progress", "SignalModel"]

FloatArray = NDArray[np.float64]
#: Called as ``progress(voxels_done, voxels_in_all)``.
Progress = Callable[[int, int], None]


class Flag(IntEnum):
    """State of one voxel in the flag map (uint8).

    Where several hold, the first of MASKED, NON_FINITE, NOT_CONVERGED, NOT_IDENTIFIABLE, LOW_SNR, ON_BOUND,
    OUTSIDE_TRAINING is stored.
    """

    OK = 0
    MASKED = 1
    NON_FINITE = 2
    ON_BOUND = 3
    NOT_CONVERGED = 4
    LOW_SNR = 5
    NOT_IDENTIFIABLE = 6
    OUTSIDE_TRAINING = 7

    @property
    def sentence(self) -> str:
        """What the flag says, for legends and sidecars."""
        return _SENTENCES[self]

    @property
    def failed(self) -> bool:
        """Whether the parameters of such a voxel are NaN."""
        return self in (Flag.MASKED, Flag.NON_FINITE, Flag.NOT_CONVERGED)


_SENTENCES = {
    Flag.OK: "fitted",
    Flag.MASKED: "outside the mask",
    Flag.NON_FINITE: "a signal is NaN or infinite, or none is positive",
    Flag.ON_BOUND: "the best fit lies on a bound of a parameter: the value is a limit, its SD is unknown",
    Flag.NOT_CONVERGED: "the search ended before a minimum was found",
    Flag.LOW_SNR: "the SNR is below the limit under which the noise floor biases the fit",
    Flag.NOT_IDENTIFIABLE: "the data do not hold all parameters (singular Fisher matrix)",
    Flag.OUTSIDE_TRAINING: "unlike anything that the network was trained on: its values mean nothing here",
}


@typing.runtime_checkable
class SignalModel(typing.Protocol):
    """A tissue that can predict its FEXI signal.

    ``parameter_names`` carry their units (``adc_m2_s``, ``sigma``, ``axr_per_s``). ``bounds`` is [param, 2], ``units`` one
    string per parameter ("m2/s", "1", "1/s").
    """

    name: str
    parameter_names: tuple[str, ...]
    units: tuple[str, ...]
    bounds: FloatArray

    def shape(self, theta: FloatArray, protocol: Protocol) -> FloatArray:
        """Return the signal for S0 = 1 [voxel, volume] from theta [voxel, param]."""
        ...

    def shape_jacobian(self, theta: FloatArray, protocol: Protocol) -> FloatArray:
        """Return d shape / d theta [voxel, volume, param]."""
        ...

    def predict(self, theta: FloatArray, s0: FloatArray, protocol: Protocol) -> FloatArray:
        """Return the signal [voxel, volume] from theta [voxel, param] and s0 [voxel, series]."""
        ...

    def jacobian(self, theta: FloatArray, s0: FloatArray, protocol: Protocol) -> FloatArray:
        """Return d signal / d (theta, s0) [voxel, volume, param + series]."""
        ...


@dataclass(frozen=True)
class Estimate:
    """What every estimator returns.

    Parameters
    ----------
    parameters : dict of array [voxel]
        One entry per parameter, SI with the unit in the key; NaN where the fit failed.
    s0 : array [voxel, series]
        Signal at b = 0 of each series, in the unit of the data.
    rmse : array [voxel]
        Root mean square of signal minus fit, in the unit of the data.
    cost : array [voxel]
        Value minimised: ``sum w (y - fit)**2`` (weights 1 or 1/noise_sd**2), or minus the log-likelihood.
    flag : array of uint8 [voxel]
        :class:`Flag` of each voxel.
    estimator, model : str
        Names in their registries.
    sd : dict of array [voxel]
        Standard deviations from the Fisher matrix (same keys; NaN where there is none).
    interval : dict of (low, high) arrays [voxel]
        Profile intervals at level ``interval_level`` where they were computed; an open end is infinite.
    interval_level : float
        Level of the intervals.
    noise_sd : array [voxel] or None
        Noise standard deviation used for ``sd`` and ``interval``.
    grid : tuple of int
        Shape of the voxel axes the flat voxel axis came from.
    notes : tuple of str
        Sentences for the user (what could not be estimated and why).
    extra : dict
        Anything else of one estimator.
    """

    parameters: dict[str, FloatArray]
    s0: FloatArray
    rmse: FloatArray
    cost: FloatArray
    flag: NDArray[np.uint8]
    estimator: str
    model: str
    sd: dict[str, FloatArray] = field(default_factory=dict)
    interval: dict[str, tuple[FloatArray, FloatArray]] = field(default_factory=dict)
    interval_level: float = 0.95
    noise_sd: FloatArray | None = None
    grid: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def n_voxels(self) -> int:
        """Number of voxels."""
        return int(self.flag.size)

    def theta(self) -> FloatArray:
        """Return the parameters as one array [voxel, param]."""
        return np.stack(list(self.parameters.values()), axis=-1)

    def map(self, name: str) -> NDArray[Any]:
        """Return parameter `name` (or ``flag``, ``rmse``, ``cost``, ``s0``, ``sd_<name>``) on the voxel grid."""
        shape = self.grid or (self.n_voxels,)
        if name in ("flag", "rmse", "cost"):
            return np.asarray(getattr(self, name)).reshape(shape)
        if name == "s0":
            return self.s0.reshape(*shape, -1)
        values = self.sd[name.removeprefix("sd_")] if name.startswith("sd_") else self.parameters[name]
        return values.reshape(shape)


class Estimator(typing.Protocol):
    """The one call that all estimators share; `settings` belong to the estimator and are documented there."""

    def __call__(
        self,
        model: SignalModel,
        protocol: Protocol,
        signals: FloatArray,
        *,
        noise_sd: float | FloatArray | None = None,
        progress: Progress | None = None,
        threads: int = 1,
        **settings: Any,
    ) -> Estimate:
        """Fit signals [voxel, volume]."""
        ...
