"""Two pools of water, blood and tissue, that exchange during the mixing time; no relaxation, no crushers.

i is intravascular, e extravascular. For one that knows T1, T2 and crushers see ``two_compartment_relaxation``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from krogh.fexi.models.base import SeriesModel, split_parameters
from krogh.fexi.protocol import Protocol

__all__ = ["COMPARTMENT_TABLE", "CompartmentModel", "TwoCompartment"]

FloatArray = NDArray[np.float64]
#: Parameter -> (unit, lower bound, upper bound).
COMPARTMENT_TABLE = {
    "f_i": ("1", 0.0, 0.5),
    "d_i_m2_s": ("m2/s", 3e-9, 30e-9),
    "d_e_m2_s": ("m2/s", 0.1e-9, 3.5e-9),
    "k_per_s": ("1/s", 0.0, 20.0),
}


class CompartmentModel(SeriesModel):
    """Hold which of f_i, D_i, D_e, k are free and which are given.

    Parameters
    ----------
    fixed : dict, optional
        Values that are not fitted, SI. Default ``{"d_i_m2_s": 10e-9}``: with a single b > 0 the diffusivity of blood cannot be
        estimated. Pass ``{}`` to free all four (needs several b).
    bounds : dict of (low, high), optional
        Replace the limits f_i 0-0.5, D_i 3-30, D_e 0.1-3.5 um2/ms, k 0-20 1/s; values SI.
    """

    def __init__(
        self, *, fixed: Mapping[str, float] | None = None, bounds: Mapping[str, tuple[float, float]] | None = None
    ) -> None:
        self.fixed = dict({"d_i_m2_s": 10e-9} if fixed is None else fixed)
        where = f"model {self.name}"
        self.parameter_names, self.units, self.bounds = split_parameters(where, COMPARTMENT_TABLE, self.fixed, bounds or {})

    def compartments(self, theta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Return f_i, D_i, D_e [m2/s], k = k_ie + k_ei [1/s], each [voxel, 1], fixed ones filled in."""
        free = {name: theta[:, p, None] for p, name in enumerate(self.parameter_names)}
        f, d_i, d_e, k = (
            free[name] if name in free else np.full((theta.shape[0], 1), self.fixed[name]) for name in COMPARTMENT_TABLE
        )
        return f, d_i, d_e, k


class TwoCompartment(CompartmentModel):
    """Predict two exchanging pools (parameters as in :class:`CompartmentModel`).

    With f_e = 1 - f_i and M = f_i exp(-b_f D_i) + f_e exp(-b_f D_e)::

        f_i(0)   = f_i exp(-b_f D_i) / M
        f_i(t_m) = f_i - (f_i - f_i(0)) exp(-k t_m)
        S        = S0 M [ f_i(t_m) exp(-b D_i) + (1 - f_i(t_m)) exp(-b D_e) ]

    References
    ----------
    Karger 1985 doi:10.1016/0001-8686(85)80018-X; Powell et al. 2023 (2CM).
    """

    name = "2cm"

    def shape(self, theta: FloatArray, protocol: Protocol) -> FloatArray:
        """Return the signal for S0 = 1 [voxel, volume], filter loss included."""
        f, d_i, d_e, k = self.compartments(theta)
        filter_b, b = protocol.filter_b_s_m2, protocol.b_s_m2
        kept_i, kept_e = np.exp(-filter_b * d_i), np.exp(-filter_b * d_e)
        left = np.exp(-k * protocol.mixing_time_s)
        total = f * kept_i + (1.0 - f) * kept_e
        inside = f * total * (1.0 - left) + f * kept_i * left  # M * f_i(t_m)
        return inside * np.exp(-b * d_i) + (total - inside) * np.exp(-b * d_e)

    def shape_jacobian(self, theta: FloatArray, protocol: Protocol) -> FloatArray:
        """Return d shape / d theta [voxel, volume, param], analytic."""
        f, d_i, d_e, k = self.compartments(theta)
        filter_b, b, t = protocol.filter_b_s_m2, protocol.b_s_m2, protocol.mixing_time_s
        kept_i, kept_e = np.exp(-filter_b * d_i), np.exp(-filter_b * d_e)
        left, read_i, read_e = np.exp(-k * t), np.exp(-b * d_i), np.exp(-b * d_e)
        total = f * kept_i + (1.0 - f) * kept_e
        inside = f * total * (1.0 - left) + f * kept_i * left
        contrast = read_i - read_e
        d_total = {"f_i": kept_i - kept_e, "d_i_m2_s": -filter_b * f * kept_i, "d_e_m2_s": -filter_b * (1.0 - f) * kept_e}
        d_inside = {
            "f_i": (total + f * d_total["f_i"]) * (1.0 - left) + kept_i * left,
            "d_i_m2_s": f * d_total["d_i_m2_s"] * (1.0 - left) - filter_b * f * kept_i * left,
            "d_e_m2_s": f * d_total["d_e_m2_s"] * (1.0 - left),
        }
        slopes = {name: d_inside[name] * contrast + d_total[name] * read_e for name in d_total}
        slopes["d_i_m2_s"] = slopes["d_i_m2_s"] - b * inside * read_i
        slopes["d_e_m2_s"] = slopes["d_e_m2_s"] - b * (total - inside) * read_e
        slopes["k_per_s"] = t * left * f * (total - kept_i) * contrast
        return np.stack([slopes[name] for name in self.parameter_names], axis=2)
