"""The apparent exchange rate model: one diffusivity, reduced by the filter, coming back at rate AXR.

Answers "how does the apparent diffusivity recover with the mixing time?". It knows no compartments, relaxation or crushers;
what it leaves out biases AXR (see ``two_compartment_relaxation``).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from krogh.fexi.models.base import SeriesModel, split_parameters
from krogh.fexi.protocol import Protocol

__all__ = ["AxrModel"]

FloatArray = NDArray[np.float64]
_TABLE = {"adc_m2_s": ("m2/s", 0.1e-9, 4.5e-9), "sigma": ("1", 0.0, 1.0), "axr_per_s": ("1/s", 0.0, 20.0)}


class AxrModel(SeriesModel):
    """Predict ``S = S0 exp(-b ADC')``, ``ADC' = ADC (1 - sigma exp(-AXR t_m))`` after a filter, ``ADC' = ADC`` without one.

    Parameters
    ----------
    bounds : dict of (low, high), optional
        Replace the limits ADC 0.1-4.5 um2/ms, sigma 0-1, AXR 0-20 1/s; keys are parameter names, values SI. A negative lower
        limit of sigma is allowed (white matter, Shin 2024 doi:10.1002/mrm.30086).

    Notes
    -----
    A series counts as at equilibrium when its filter b is exactly 0. S0 of each series takes up filter loss, T1 and crushers.

    References
    ----------
    Lasic et al. 2011 doi:10.1002/mrm.22782
    """

    name = "axr"

    def __init__(self, *, bounds: Mapping[str, tuple[float, float]] | None = None) -> None:
        self.parameter_names, self.units, self.bounds = split_parameters("model axr", _TABLE, {}, bounds or {})

    def shape(self, theta: FloatArray, protocol: Protocol) -> FloatArray:
        """Return ``exp(-b ADC')`` [voxel, volume] from theta (adc [m2/s], sigma, axr [1/s]) [voxel, 3]."""
        adc, sigma, axr = (theta[:, p, None] for p in range(3))
        rest = (protocol.filter_b_s_m2 > 0) * np.exp(-axr * protocol.mixing_time_s)
        return np.exp(-protocol.b_s_m2 * adc * (1.0 - sigma * rest))

    def shape_jacobian(self, theta: FloatArray, protocol: Protocol) -> FloatArray:
        """Return d shape / d theta [voxel, volume, 3], analytic."""
        adc, sigma, axr = (theta[:, p, None] for p in range(3))
        rest = (protocol.filter_b_s_m2 > 0) * np.exp(-axr * protocol.mixing_time_s)
        slope = -protocol.b_s_m2 * np.exp(-protocol.b_s_m2 * adc * (1.0 - sigma * rest))
        return np.stack(
            [slope * (1.0 - sigma * rest), -slope * adc * rest, slope * adc * sigma * protocol.mixing_time_s * rest], axis=2
        )
