"""Which volumes were acquired: filter b, detection b, mixing time and what ties volumes together.

This file holds the table of one FEXI scan in SI units and refuses tables that cannot be what they say. It reads no files
(``krogh.io``) and knows no tissue (``krogh.fexi.models``).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from krogh.errors import InputError

__all__ = ["S_M2_PER_S_MM2", "Protocol"]

#: 1 s/mm2 in s/m2.
S_M2_PER_S_MM2 = 1e6

_MAX_MIXING_TIME_S = 10.0
_MIN_TOP_B_S_M2 = 5 * S_M2_PER_S_MM2
_MAX_B_S_M2 = 1e5 * S_M2_PER_S_MM2
_PER_VOLUME = (
    "filter_b_s_m2",
    "b_s_m2",
    "mixing_time_s",
    "series",
    "average",
    "directions",
    "filter_directions",
    "crusher_q_rad_m",
)
_POSITIVE_SCALARS = (
    "echo_time_filter_s", "echo_time_detect_s", "crusher_b_per_second_s_m2_s", "crusher_duration_s", "slice_thickness_m",
    "field_strength_t", "small_delta_s", "big_delta_s",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Protocol:
    """Describe one FEXI acquisition, one entry per volume.

    Parameters
    ----------
    filter_b_s_m2, b_s_m2 : array [volume]
        b-values of the filter and of the detection block [s/m2]. ``filter_b == 0`` means at (diffusion) equilibrium.
    mixing_time_s : array [volume]
        Time between the two blocks [s].
    series : array of int [volume], optional
        Volumes of one series share their own S0. Default: one series per (filter_b, mixing time, crusher).
    average : array of int [volume], optional
        Number of the repetition, from 1. Default: all 1.
    directions, filter_directions : array [volume, 3], optional
        Unit vectors of the two gradients.
    echo_time_filter_s, echo_time_detect_s : float, optional
        Transverse times of the two blocks [s].
    crusher_q_rad_m : float or array [volume], optional
        Wave number q_c = gamma G_c delta_c kept during the mixing time [rad/m].
    crusher_b_per_second_s_m2_s : float, optional
        The same as b gained per second of mixing time, q_c**2 [s/m2 per s]; give one of the two.
    crusher_duration_s : float, optional
        Length delta_c of one crusher lobe [s]; adds q_c**2 * 2/3 * delta_c to the crusher b. Default: 0.
    slice_thickness_m, field_strength_t, small_delta_s, big_delta_s : float, optional
        Recorded as given [m, T, s, s].
    require_b0 : bool, optional
        Ask for a b = 0 volume in each series (default). Without it each series needs two different b.

    Raises
    ------
    InputError
        If counts differ, a value is negative or not finite, a unit has slipped (mixing time in ms, b in ms/um2 or s/m2),
        a series has no b = 0, or there is no unfiltered pair (filter_b = 0 at two b).
    """

    filter_b_s_m2: NDArray[np.float64]
    b_s_m2: NDArray[np.float64]
    mixing_time_s: NDArray[np.float64]
    series: NDArray[np.int64] = None  # type: ignore[assignment]
    average: NDArray[np.int64] = None  # type: ignore[assignment]
    directions: NDArray[np.float64] | None = None
    filter_directions: NDArray[np.float64] | None = None
    echo_time_filter_s: float | None = None
    echo_time_detect_s: float | None = None
    crusher_q_rad_m: NDArray[np.float64] | float | None = None
    crusher_b_per_second_s_m2_s: float | None = None
    crusher_duration_s: float | None = None
    slice_thickness_m: float | None = None
    field_strength_t: float | None = None
    small_delta_s: float | None = None
    big_delta_s: float | None = None
    require_b0: bool = True

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        n = np.size(self.b_s_m2)
        if n < 2:
            raise InputError("protocol.b", got=f"{n} volumes", expected="at least 4 (two b without filter, two with)")
        for name in ("filter_b_s_m2", "b_s_m2", "mixing_time_s"):
            set_(self, name, _column(getattr(self, name), name, n))
        for name in _POSITIVE_SCALARS:
            if getattr(self, name) is not None:
                set_(self, name, _non_negative_scalar(getattr(self, name), name))
        _check_crusher(self, n)
        set_(self, "series", _default_series(self) if self.series is None else _integers(self.series, "series", n))
        set_(self, "average", np.ones(n, np.int64) if self.average is None else _integers(self.average, "average", n))
        for name in ("directions", "filter_directions"):
            if getattr(self, name) is not None:
                set_(self, name, _vectors(getattr(self, name), name, n))
        for name in _PER_VOLUME:
            if isinstance(value := getattr(self, name), np.ndarray):
                value.flags.writeable = False
        _check_units(self)
        _check_series(self)

    @classmethod
    def from_s_mm2(cls, filter_b: ArrayLike, b: ArrayLike, mixing_time_s: ArrayLike, **rest: Any) -> Protocol:
        """Return a protocol from b-values in s/mm2 and mixing times in s; `rest` as in :class:`Protocol`."""
        filter_b_s_m2 = _floats(filter_b, "filter_b") * S_M2_PER_S_MM2
        b_s_m2 = _floats(b, "b") * S_M2_PER_S_MM2
        return cls(filter_b_s_m2, b_s_m2, _floats(mixing_time_s, "mixing_time_s"), **rest)

    @property
    def n_volumes(self) -> int:
        """Number of volumes."""
        return int(self.b_s_m2.size)

    @property
    def n_series(self) -> int:
        """Number of series, each with an S0 of its own."""
        return int(np.unique(self.series).size)

    @property
    def series_index(self) -> NDArray[np.int64]:
        """Series of each volume counted 0, 1, ... in the order of the labels in ``series`` [volume]."""
        return np.unique(self.series, return_inverse=True)[1].astype(np.int64)

    @property
    def crusher_q2_rad2_m2(self) -> NDArray[np.float64]:
        """q_c**2 of each volume [rad2/m2 = s/m2 per s]; zeros where no crusher was stated [volume]."""
        if self.crusher_b_per_second_s_m2_s is not None:
            return np.full(self.n_volumes, self.crusher_b_per_second_s_m2_s)
        q = 0.0 if self.crusher_q_rad_m is None else self.crusher_q_rad_m
        return np.broadcast_to(np.square(q), (self.n_volumes,)).astype(float)

    @property
    def crusher_b_s_m2(self) -> NDArray[np.float64]:
        """Crusher b of each volume, b_c = q_c**2 (t_m + 2/3 delta_c) [s/m2] [volume]."""
        return self.crusher_q2_rad2_m2 * (self.mixing_time_s + 2 / 3 * (self.crusher_duration_s or 0.0))

    def take(self, volumes: ArrayLike) -> Protocol:
        """Return the protocol of the chosen volumes (indices or a Boolean mask)."""
        rows = np.asarray(volumes)
        picked: dict[str, Any] = {}
        for name in _PER_VOLUME:
            value = getattr(self, name)
            picked[name] = value[rows] if isinstance(value, np.ndarray) else value
        return dataclasses.replace(self, **picked)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain lists and numbers, None left out."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in fields.items() if v is not None}

    def content_hash(self) -> str:
        """Return 16 hex digits of the SHA-256 of all fields; equal protocols give equal digits."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()[:16]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Protocol) and self.as_dict() == other.as_dict()

    def __hash__(self) -> int:
        return hash(self.content_hash())


def _floats(values: ArrayLike, name: str) -> NDArray[np.float64]:
    try:
        return np.array(values, dtype=float)
    except (TypeError, ValueError):
        raise InputError(f"protocol.{name}", got="entries that are no numbers", expected="one number per volume") from None


def _column(values: ArrayLike, name: str, n: int) -> NDArray[np.float64]:
    array = np.atleast_1d(_floats(values, name))
    if array.shape != (n,):
        raise InputError(f"protocol.{name}", got=f"shape {array.shape}", expected=f"{n} values (one per volume)")
    bad = np.flatnonzero(~np.isfinite(array) | (array < 0))
    if bad.size:
        raise InputError(f"protocol.{name}", got=f"{array[bad[0]]} in volume {bad[0] + 1}", expected="a finite value >= 0")
    return array


def _integers(values: ArrayLike, name: str, n: int) -> NDArray[np.int64]:
    array = _column(values, name, n)
    if np.any(array != np.round(array)):
        raise InputError(f"protocol.{name}", got="fractions", expected="whole numbers")
    return array.astype(np.int64)


def _vectors(values: ArrayLike, name: str, n: int) -> NDArray[np.float64]:
    array = _floats(values, name)
    if array.shape != (n, 3) or not np.all(np.isfinite(array)):
        raise InputError(f"protocol.{name}", got=f"shape {array.shape}", expected=f"finite values of shape ({n}, 3)")
    return array


def _non_negative_scalar(value: Any, name: str) -> float:
    array = _floats(value, name)
    if array.ndim or not np.isfinite(array) or array < 0:
        raise InputError(f"protocol.{name}", got=value, expected="one finite number >= 0")
    return float(array)


def _check_crusher(p: Protocol, n: int) -> None:
    if p.crusher_q_rad_m is None:
        return
    if p.crusher_b_per_second_s_m2_s is not None:
        raise InputError("protocol.crusher", got="q_c and b per second", expected="one of the two", hint="b per second = q_c**2")
    q = np.asarray(p.crusher_q_rad_m)
    value = _non_negative_scalar(q, "crusher_q_rad_m") if q.ndim == 0 else _column(q, "crusher_q_rad_m", n)
    object.__setattr__(p, "crusher_q_rad_m", value)


def _default_series(p: Protocol) -> NDArray[np.int64]:
    """Return the number, from 1 in order of appearance, of each distinct (filter_b, t_m, q_c)."""
    keys = np.stack([p.filter_b_s_m2, p.mixing_time_s, p.crusher_q2_rad2_m2], axis=1)
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    rank = np.empty(first.size, np.int64)
    rank[np.argsort(first)] = np.arange(1, first.size + 1)
    return rank[inverse.reshape(-1)]


def _check_units(p: Protocol) -> None:
    if (longest := p.mixing_time_s.max()) > _MAX_MIXING_TIME_S:
        raise InputError(
            "protocol.mixing_time_s", got=f"{longest:g} s", expected="at most 10 s", hint="looks like ms: divide by 1000"
        )
    for name in ("b_s_m2", "filter_b_s_m2"):
        top = getattr(p, name).max()
        shown = f"a largest value of {top / S_M2_PER_S_MM2:g} s/mm2"
        if 0 < top < _MIN_TOP_B_S_M2:
            raise InputError(f"protocol.{name}", got=shown, expected="5 to 1e5 s/mm2", hint="looks like ms/um2: multiply by 1000")
        if top > _MAX_B_S_M2:
            raise InputError(f"protocol.{name}", got=shown, expected="5 to 1e5 s/mm2", hint="looks like s/m2: divide by 1e6")


def _check_series(p: Protocol) -> None:
    for label in np.unique(p.series):
        here = p.series == label
        for name in ("filter_b_s_m2", "mixing_time_s", "crusher_q2_rad2_m2"):
            if np.unique(getattr(p, name)[here]).size > 1:
                raise InputError(
                    f"protocol.series {label}", got=f"different {name}", expected="one filter b and mixing time per series",
                    hint="each (filter b, mixing time) has its own S0",
                )  # fmt: skip
        b = np.unique(p.b_s_m2[here])
        if p.require_b0 and b[0] > 0:
            raise InputError(
                f"protocol.series {label}", got="no volume with b = 0", expected="one per series",
                hint="require_b0=False accepts two different b instead",
            )  # fmt: skip
        if not p.require_b0 and b.size < 2:
            raise InputError(f"protocol.series {label}", got="one b-value", expected="at least two different b per series")
    pairs = {label: np.unique(p.b_s_m2[p.series == label]).size > 1 for label in np.unique(p.series)}
    for filtered, what in ((False, "no unfiltered pair (filter b = 0)"), (True, "no filtered pair (filter b > 0)")):
        if not any(pairs[s] for s in np.unique(p.series[(p.filter_b_s_m2 > 0) == filtered])):
            raise InputError("protocol.filter_b", got=what, expected="two different b in one such series")
