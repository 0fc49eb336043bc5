"""Protocols that were published, by name.

Each entry says where it was read. A preset is a starting point: the scanner's own table is the truth.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from krogh.errors import InputError, nearest
from krogh.fexi.protocol import Protocol

__all__ = ["PRESETS", "crusher_q_from_slice", "preset"]


def crusher_q_from_slice(slice_thickness_m: float) -> float:
    """Return the weakest usable crusher q_c = 10 pi / dz [rad/m] for slices of thickness dz [m].

    4 pi of dephasing over the slice for the crusher and 6 pi for the slice gradient.

    References
    ----------
    Lasic et al. 2018, Magn Reson Med 79:2228; Lasic et al. 2024 doi:10.1002/nbm.5208 (sequence files of the paper).
    """
    if not slice_thickness_m > 0:
        raise InputError("slice_thickness_m", got=slice_thickness_m, expected="a thickness > 0 m")
    return 10 * math.pi / slice_thickness_m


def _human_bbb() -> Protocol:
    """Powell et al. 2023 example (8 volumes): b 0 and 250, filter 250 s/mm2, t_m 20, 200, 400 ms."""
    return Protocol.from_s_mm2(
        [0, 0, 250, 250, 250, 250, 250, 250], [0, 250] * 4, np.array([20, 20, 20, 20, 200, 200, 400, 400]) * 1e-3
    )


def _blocks(filter_b: float, b: list[float], mixing_times_ms: list[float]) -> Protocol:
    """Return one unfiltered series at the first t_m and a filtered one at every t_m; no b = 0 was acquired."""
    filters = [0.0] + [filter_b] * len(mixing_times_ms)
    times_s = np.array([mixing_times_ms[0], *mixing_times_ms]) * 1e-3
    return Protocol.from_s_mm2(
        np.repeat(filters, len(b)),
        np.tile(b, len(filters)),
        np.repeat(times_s, len(b)),
        crusher_duration_s=2e-3,
        small_delta_s=5e-3,
        require_b0=False,
    )


def _bbb_crusher() -> Protocol:
    """TEXI paper, low-b_f BBB case (file FEXI_IVIM_9), doi:10.1002/nbm.5208; crusher from the slice thickness."""
    return _blocks(250, [50, 200, 350, 500], [5, 79, 153, 226, 300])


def _cell_type() -> Protocol:
    """TEXI paper, cells (file FEXI_preclin7_dz500_tm400_bf2000_b1300), doi:10.1002/nbm.5208."""
    return _blocks(2000, [50, 50 + 1250 / 3, 50 + 2500 / 3, 1300], [5, 104, 203, 301, 400])


#: Name -> function that builds the protocol without crushers; its docstring is the source.
PRESETS: dict[str, Callable[[], Protocol]] = {"human-bbb": _human_bbb, "bbb-crusher": _bbb_crusher, "cell-type": _cell_type}


def preset(name: str, *, crusher_q_rad_m: float | None = None, slice_thickness_m: float | None = None) -> Protocol:
    """Return a published protocol.

    Parameters
    ----------
    name : str
        ``"human-bbb"``, ``"bbb-crusher"`` or ``"cell-type"``; a slice thickness may follow: ``"bbb-crusher-5mm"``.
    crusher_q_rad_m : float, optional
        Crusher wave number [rad/m].
    slice_thickness_m : float, optional
        Slice thickness [m]; sets the crusher to 10 pi / dz unless `crusher_q_rad_m` is given.

    Raises
    ------
    InputError
        If the name is unknown.
    """
    base, _, tail = name.rpartition("-")
    if base in PRESETS and tail.endswith("mm") and tail[:-2].replace(".", "", 1).isdigit():
        name, slice_thickness_m = base, float(tail[:-2]) * 1e-3
    if name not in PRESETS:
        raise InputError("protocol preset", got=repr(name), expected="a known name", hint=nearest(name, PRESETS))
    q = crusher_q_rad_m
    if q is None and slice_thickness_m is not None:
        q = crusher_q_from_slice(slice_thickness_m)
    return dataclasses.replace(PRESETS[name](), crusher_q_rad_m=q, slice_thickness_m=slice_thickness_m)
