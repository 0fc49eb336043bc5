"""Search the protocol that measures one parameter of one tissue best, for a given number of volumes.

Every candidate spends the same number of volumes; the Cramer-Rao bound decides. The search is exhaustive over the values
given, so its answer is only as good as they are.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from krogh.errors import InputError
from krogh.fexi.interface import SignalModel
from krogh.fexi.precision import Precision, crlb
from krogh.fexi.protocol import Protocol

__all__ = ["Design", "build_protocol", "search_design"]


@dataclass(frozen=True)
class Design:
    """Hold one candidate: its protocol (each volume once), how often it is repeated, and its bound for all volumes together."""

    protocol: Protocol
    repeats: float
    precision: Precision
    settings: dict[str, Any] = field(default_factory=dict)


def build_protocol(filter_b_s_mm2: float, b_s_mm2: Sequence[float], mixing_times_s: Sequence[float], **fixed: Any) -> Protocol:
    """Return the protocol with one unfiltered series at the shortest mixing time and one filtered series at each.

    `b_s_mm2` are the b-values of every series (0 is added); `fixed` are further fields of :class:`Protocol` (echo times,
    crusher).
    """
    b = sorted({0.0, *map(float, b_s_mm2)})
    times = sorted(map(float, mixing_times_s))
    if not times:
        raise InputError("mixing_times_s", got="none", expected="at least one mixing time [s]")
    filters, all_times = [0.0] + [float(filter_b_s_mm2)] * len(times), [times[0], *times]
    return Protocol.from_s_mm2(np.repeat(filters, len(b)), np.tile(b, len(filters)), np.repeat(all_times, len(b)), **fixed)


def search_design(
    model: SignalModel,
    tissue: dict[str, float],
    snr: float,
    *,
    parameter: str,
    filter_b_s_mm2: Sequence[float],
    b_s_mm2: Sequence[float | Sequence[float]],
    mixing_times_s: Sequence[Sequence[float]],
    n_volumes: int = 64,
    s0_level: str = "model",
    **fixed: Any,
) -> list[Design]:
    """Return all designs, best first by the SD of `parameter`.

    Parameters
    ----------
    model, tissue, snr
        As in :func:`krogh.fexi.precision.crlb`; the SD is that of `n_volumes` volumes.
    parameter : str
        Name of the parameter to measure, e.g. ``axr_per_s`` or ``k_per_s``.
    filter_b_s_mm2, b_s_mm2, mixing_times_s : sequences
        Values to try: filter b; the b (or list of b) beside 0; lists of mixing times [s].
    n_volumes : int
        Volumes to spend; SDs are scaled by sqrt(volumes of one repeat / n_volumes).
    s0_level : {"model", "one"}
        SNR counts on the unfiltered b = 0 signal the model predicts (filter, T1 and T2 losses included), or S0 = 1 in every
        series.
    **fixed
        Further protocol fields.

    Raises
    ------
    InputError
        If the parameter is unknown or nothing can be tried.
    """
    if parameter not in model.parameter_names:
        raise InputError("parameter", got=repr(parameter), expected="one of " + ", ".join(model.parameter_names))
    theta = np.array([[tissue[name] for name in model.parameter_names]])
    designs = []
    for filter_b, b, times in itertools.product(filter_b_s_mm2, b_s_mm2, mixing_times_s):
        detection = [float(b)] if isinstance(b, (int, float)) else list(b)
        protocol = build_protocol(filter_b, detection, times, **fixed)
        reference = (protocol.filter_b_s_m2 == 0) & (protocol.b_s_m2 == 0)
        level = 1.0 if s0_level == "one" else 1.0 / float(model.shape(theta, protocol)[0, reference].mean())
        repeats = n_volumes / protocol.n_volumes
        bound = crlb(model, protocol, tissue, snr * np.sqrt(repeats), s0_level=level)
        settings = {"filter_b_s_mm2": filter_b, "b_s_mm2": b, "mixing_times_s": tuple(times)}
        designs.append(Design(protocol, repeats, bound, settings))
    if not designs:
        raise InputError("design", got="no values to try", expected="at least one filter b, b and list of mixing times")
    return sorted(designs, key=lambda d: d.precision.sd[parameter] if np.isfinite(d.precision.sd[parameter]) else np.inf)
