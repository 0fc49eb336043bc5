"""Follow a drug from plasma and interstitium into cranial and lumbar CSF: what a lumbar puncture sees is not the interstitium.

Cranial CSF exchanges with free plasma at the choroid plexus, receives the bulk flow of the interstitium, and is drained; a part
goes down to the spinal CSF, of which most comes back and the rest drains there::

    V_c dc/dt = PS_c (p - c) + Q_b i + Q_up s - (Q_down + Q_sink) c
    V_s ds/dt = Q_down c - (Q_up + Q_spinal) s

``p`` free plasma, ``i`` free interstitium, ``c`` cranial, ``s`` spinal CSF. Volumes are constant: production is ``Q_sink +
Q_spinal``, ``Q_down = Q_up + Q_spinal``. What the plexus secretes is water; drug crosses there by ``PS_c``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from krogh.errors import InputError

__all__ = ["CsfChain", "follow_csf", "human_csf"]


@dataclass(frozen=True, slots=True)
class CsfChain:
    """Describe the CSF of one species; SI.

    Attributes
    ----------
    cranial_m3, spinal_m3 : float
        Volumes.
    production_m3_s : float
        Of all CSF, and its drainage in steady state.
    bulk_m3_s : float
        Part of it that is interstitial fluid, <= production.
    spinal_sink_m3_s : float
        Part of it that drains from the spinal space, <= production.
    upward_m3_s : float
        Flow back from spinal to cranial CSF.
    plexus_m2 : float
        Area of the blood-CSF barrier.
    """

    cranial_m3: float
    spinal_m3: float
    production_m3_s: float
    bulk_m3_s: float
    spinal_sink_m3_s: float
    upward_m3_s: float
    plexus_m2: float


def human_csf(brain_m3: float = 1.514e-3) -> CsfChain:
    """Return the CSF of an adult.

    Notes
    -----
    Read in table S1 of petrov-aleks, after Verscheijden 2019 (doi:10.1371/journal.pcbi.1007117) and Gaohua 2016: volume 10.5 %
    of the brain, 80 % of it cranial; production 21 mL/h, of which 25 % is bulk flow; 38 % drains from the spinal space, nine
    tenths as much flows back up; the plexus has half the area of the barrier, 7.5 m2. Assumed: per area the plexus is as
    permeable as the barrier.
    """
    csf, production = 0.105 * brain_m3, 21e-6 / 3600.0
    return CsfChain(0.8 * csf, 0.2 * csf, production, 0.25 * production, 0.38 * production, 0.9 * 0.38 * production, 7.5)


def follow_csf(
    chain: CsfChain, t_s: np.ndarray, plasma_free: np.ndarray, interstitium: np.ndarray, permeability_m_s: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the concentrations in cranial and lumbar (spinal) CSF at `t_s`, from empty CSF.

    Parameters
    ----------
    chain : CsfChain
        Volumes and flows.
    t_s : array, shape (n,)
        Times [s], rising from 0.
    plasma_free, interstitium : array, shape (n,)
        Free concentrations [mol/m3].
    permeability_m_s : float
        Of the blood-CSF barrier for free drug at pH 7.4 [m/s].

    Notes
    -----
    Drivers are straight between the times, and both modes of the chain are followed exactly over each interval, so long steps
    cost no accuracy.
    """
    t = np.asarray(t_s, dtype=float)
    if t.size < 2 or t[0] != 0 or not (np.diff(t) > 0).all():
        raise InputError("CSF", got="times that do not rise from 0", expected="rising times from 0 s")
    c = chain
    ps = permeability_m_s * c.plexus_m2
    down = c.upward_m3_s + c.spinal_sink_m3_s
    lost = ps + down + c.production_m3_s - c.spinal_sink_m3_s
    a = np.array(
        [[-lost / c.cranial_m3, c.upward_m3_s / c.cranial_m3], [down / c.spinal_m3, -down / c.spinal_m3]]
    )  # fmt: skip
    drive = (ps * np.asarray(plasma_free) + c.bulk_m3_s * np.asarray(interstitium)) / c.cranial_m3
    rate, mode = np.linalg.eig(a)  # real and negative: a chain of two
    into = np.linalg.solve(mode, [1.0, 0.0])
    h = np.diff(t)[:, None]
    z = h * rate
    first = np.expm1(z) / z
    slope = np.where(np.abs(z) > 1e-2, (first - 1) / z, 1 / 2 + z / 6 + z**2 / 24 + z**3 / 120 + z**4 / 720)
    gain = h * into * (first * drive[:-1, None] + slope * np.diff(drive)[:, None])
    state = np.zeros((t.size, 2))
    for k in range(t.size - 1):
        state[k + 1] = np.exp(z[k]) * state[k] + gain[k]
    cranial, spinal = mode @ state.T
    return cranial, spinal
