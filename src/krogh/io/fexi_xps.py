"""Read the protocol from an md-dmri ``xps`` file (MATLAB 5 ``.mat``, SI units, one entry per volume).

Fields read: ``mde_b1`` (filter), ``mde_b2`` (detection), ``mde_tm12``, ``s_ind``, and where present ``a_ind``, ``qc`` and the
gradient times. The names ``b1``, ``b2`` and ``tm`` of other tools are understood as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from krogh.errors import InputError
from krogh.fexi.protocol import Protocol
from krogh.io.matlab import read_mat

__all__ = ["read_xps"]

_NAMES = {
    "filter_b_s_m2": ("mde_b1", "b1"),
    "b_s_m2": ("mde_b2", "b2"),
    "mixing_time_s": ("mde_tm12", "tm12", "tm"),
    "series": ("s_ind",),
    "average": ("a_ind",),
    "crusher_q_rad_m": ("qc", "mde_qc"),
}
_SCALARS = {"small_delta_s": ("mde_delta1",), "big_delta_s": ("mde_capital_delta1",)}


def read_xps(path: Path) -> Protocol:
    """Return the protocol in the variable ``xps`` (or ``seq``, or the fields themselves) of a ``.mat`` file.

    Raises
    ------
    InputError
        If the file cannot be read or lacks a field.
    """
    fields = _struct(path)
    found: dict[str, Any] = {}
    for field, names in _NAMES.items():
        value = next((fields[n] for n in names if n in fields), None)
        if value is not None:
            found[field] = value
        elif field in ("filter_b_s_m2", "b_s_m2", "mixing_time_s"):
            raise InputError(path.name, got=f"no field {names[0]}", expected="mde_b1, mde_b2 and mde_tm12, one value per volume")
    for field, names in _SCALARS.items():
        value = next((fields[n] for n in names if n in fields), None)
        if value is not None and value.size:
            found[field] = float(value[0])
    series, crusher = found.get("series"), found.get("crusher_q_rad_m")
    if series is not None and crusher is not None and series.shape == crusher.shape:
        # some files number the series within one crusher strength only
        found["series"] = np.unique(np.stack([crusher, series]), axis=1, return_inverse=True)[1].ravel() + 1
    try:
        return Protocol(**found)
    except InputError:
        return Protocol(**found, require_b0=False)  # md-dmri needs no b = 0, two different b per series are enough


def _struct(path: Path) -> dict[str, Any]:
    content = read_mat(path)
    inner = next((content[name] for name in ("xps", "seq") if isinstance(content.get(name), dict)), None)
    return inner if inner is not None else {name: value for name, value in content.items() if not isinstance(value, dict)}
