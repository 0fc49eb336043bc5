"""Two exchanging pools with their own T1 and T2, and crushers that go on weighting during the mixing time.

The unfiltered scan is not at equilibrium here: T2 during the filter block already favours one pool. Exchange within the two
short blocks is neglected.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from krogh.errors import InputError
from krogh.fexi.models.two_compartment import CompartmentModel
from krogh.fexi.protocol import Protocol

__all__ = ["TwoCompartmentRelaxation", "expm_2x2"]

FloatArray = NDArray[np.float64]


class TwoCompartmentRelaxation(CompartmentModel):
    """Predict two exchanging pools with relaxation and crushers.

    With M(0) = (f_i, f_e), diagonal D, R1 = 1/T1, R2 = 1/T2, and K = [[-k_ie, k_ei], [k_ie, -k_ei]], k_ie = f_e k, k_ei = f_i k::

        S = S0 1' exp(-b D - TE_d R2) exp[(K - R1 - q_c^2 D) t_m] exp(-2/3 q_c^2 delta_c D) exp(-b_f D - TE_f R2) M(0)

    Echo times, q_c and delta_c come from the protocol.

    Parameters
    ----------
    t1_i_s, t1_e_s, t2_i_s, t2_e_s : float, optional
        Relaxation times of blood and tissue [s], infinite allowed. Default: arterial blood 1.65 / 0.15 and grey matter at 3 T
        1.33 / 0.08 (assumed; the model is only as right as these inputs).
    fixed, bounds : dict, optional
        As in :class:`krogh.fexi.models.two_compartment.CompartmentModel`.

    Raises
    ------
    InputError
        If a relaxation time is not > 0, or T2 is finite and the protocol states no echo times (on use).

    References
    ----------
    Powell et al. 2023 (2CMr); Ohene et al. 2023 doi:10.1186/s12987-023-00422-7 (crushers); Lasic et al. 2018, Magn Reson Med
    79:2228.
    """

    name = "2cmr"

    def __init__(
        self,
        *,
        t1_i_s: float = 1.65,
        t1_e_s: float = 1.33,
        t2_i_s: float = 0.15,
        t2_e_s: float = 0.08,
        fixed: Mapping[str, float] | None = None,
        bounds: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        super().__init__(fixed=fixed, bounds=bounds)
        for name, value in (("t1_i_s", t1_i_s), ("t1_e_s", t1_e_s), ("t2_i_s", t2_i_s), ("t2_e_s", t2_e_s)):
            if not value > 0:
                raise InputError(f"model 2cmr.{name}", got=value, expected="a time > 0 s (infinite: no relaxation)")
        self.r1 = (1.0 / t1_i_s, 1.0 / t1_e_s)
        self.r2 = (1.0 / t2_i_s, 1.0 / t2_e_s)

    def shape(self, theta: FloatArray, protocol: Protocol) -> FloatArray:
        """Return the signal for S0 = 1 [voxel, volume], all losses included."""
        f, d_i, d_e, k = self.compartments(theta)
        te_filter, te_detect = self._echo_times(protocol)
        q2, t = protocol.crusher_q2_rad2_m2, protocol.mixing_time_s
        before = protocol.filter_b_s_m2 + 2 / 3 * q2 * (protocol.crusher_duration_s or 0.0)
        m_i = f * np.exp(-before * d_i - te_filter * self.r2[0])
        m_e = (1.0 - f) * np.exp(-before * d_e - te_filter * self.r2[1])
        to_e, to_i = (1.0 - f) * k, f * k
        p = expm_2x2(-to_e - self.r1[0] - q2 * d_i, to_i, to_e, -to_i - self.r1[1] - q2 * d_e, t)
        read_i = np.exp(-protocol.b_s_m2 * d_i - te_detect * self.r2[0])
        read_e = np.exp(-protocol.b_s_m2 * d_e - te_detect * self.r2[1])
        return read_i * (p[0] * m_i + p[1] * m_e) + read_e * (p[2] * m_i + p[3] * m_e)

    def _echo_times(self, protocol: Protocol) -> tuple[float, float]:
        times = (protocol.echo_time_filter_s, protocol.echo_time_detect_s)
        if any(self.r2) and None in times:
            raise InputError(
                "protocol.echo_time",
                got="no echo time of the filter and detection block",
                expected="both for the 2cmr model with finite T2",
                hint="state EchoTimeFilter and EchoTimeDetect",
            )
        return times[0] or 0.0, times[1] or 0.0


def expm_2x2(
    a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray, t: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return the four entries (row by row) of exp([[a, b], [c, d]] t) for b c >= 0, element by element.

    With m = (a + d)/2 and q = sqrt(((a - d)/2)^2 + b c): exp(A t) = e^{m t} [cosh(q t) I + sinh(q t)/q (A - m I)].
    """
    mean, half = (a + d) / 2, (a - d) / 2
    q2 = half * half + b * c
    small = np.abs(q2) * t * t < 1e-8
    q = np.sqrt(np.where(small, 1.0, q2))
    up, down = np.exp((mean + q) * t), np.exp((mean - q) * t)
    x2 = q2 * t * t
    cosh = np.where(small, np.exp(mean * t) * (1 + x2 / 2), (up + down) / 2)
    sinh_q = np.where(small, np.exp(mean * t) * t * (1 + x2 / 6), (up - down) / (2 * q))
    return cosh + half * sinh_q, b * sinh_q, c * sinh_q, cosh - half * sinh_q
