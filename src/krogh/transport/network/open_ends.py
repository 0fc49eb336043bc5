"""Say what drives the blood through a network: pressures or flows at its open ends, piece by piece."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from krogh.errors import InputError

if TYPE_CHECKING:
    from krogh.transport.network.vessels import Vessels

__all__ = ["OpenEnds", "open_ends"]

#: Share of the throughput by which given flows may miss conservation: digits of a table, not another network.
_ROUNDED = 0.01


@dataclass(frozen=True)
class OpenEnds:
    """What is known at the nodes, all arrays (n,).

    Attributes
    ----------
    held_pa : array
        Pressure that is held [Pa]; NaN elsewhere.
    inflow_m3_s : array
        Blood pushed in from outside (negative: drawn out) at open ends without a held pressure [m3/s]; 0 elsewhere.
    flowing : bool array
        Nodes of pieces through which blood flows.
    """

    held_pa: np.ndarray
    inflow_m3_s: np.ndarray
    flowing: np.ndarray


def open_ends(vessels: Vessels) -> OpenEnds:
    """Return what holds at the open ends (nodes of one segment); a pressure goes before a flow, an end with neither is closed.

    In a piece with flows and no pressure, what enters must leave: the one end without a flow takes the rest, or the largest way
    out takes what the digits of the others leave.

    Raises
    ------
    InputError
        If the flows of a piece do not add up and more or less than one end is left to take the rest.
    """
    n = len(vessels.points_m)
    ends = np.bincount(vessels.ends.ravel(), minlength=n) == 1
    held = np.where(ends, vessels.pressure_pa, np.nan)
    inflow = _inflow(vessels)
    known = ends & np.isfinite(inflow) & ~np.isfinite(held)
    flowing = np.zeros(n, dtype=bool)
    piece = vessels.pieces
    for k in range(piece.max() + 1):
        own = piece == k
        pressures, pushed = held[own & np.isfinite(held)], inflow[own & known]
        if np.any(pushed != 0) and pressures.size == 0:
            rest = _takes_the_rest(own & ends, known, inflow)
            held[rest], known[rest] = 0.0, False
            pushed = inflow[own & known]
        if np.any(pushed != 0) or (pressures.size >= 2 and np.ptp(pressures) > 0):
            flowing |= own
    return OpenEnds(np.where(flowing, held, np.nan), np.where(flowing & known, inflow, 0.0), flowing)


def _inflow(vessels: Vessels) -> np.ndarray:
    """Return what the flow of its segment brings into the network at every open end (n,); NaN where unknown."""
    out = np.full(len(vessels.points_m), np.nan)
    if vessels.flow_m3_s is not None:
        out[vessels.ends[:, 0]] = vessels.flow_m3_s
        second = np.bincount(vessels.ends.ravel(), minlength=out.size)[vessels.ends[:, 1]] == 1
        out[vessels.ends[second, 1]] = -vessels.flow_m3_s[second]
    return out


def _takes_the_rest(ends: np.ndarray, known: np.ndarray, inflow: np.ndarray) -> int:
    """Return the open end of a piece at which the flow follows from conservation."""
    given, blank = np.flatnonzero(ends & known), np.flatnonzero(ends & ~known)
    into, out = (float(np.maximum(sign * inflow[given], 0.0).sum()) for sign in (1, -1))
    if abs(into - out) <= _ROUNDED * max(into, out):
        return int(given[np.argmin(inflow[given])])
    if blank.size == 1:
        return int(blank[0])
    raise InputError(
        "flow_m3_s",
        got=f"{into:.3g} m3/s in and {out:.3g} m3/s out at {given.size} open ends of a piece, {blank.size} left blank",
        expected="flows that add up, or one end left blank", hint="or give the pressure of an outlet",
    )  # fmt: skip
