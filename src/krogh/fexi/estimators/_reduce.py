"""Sort the volumes of a protocol by series and merge repeated ones, once for all voxels.

The sum of squares over repeats of the same volume is that of their weighted mean plus a constant, so averages cost nothing in
the fit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from krogh.errors import InputError
from krogh.fexi.interface import Flag
from krogh.fexi.protocol import Protocol

__all__ = ["Reduced", "check_signals", "input_flags", "pseudo_series", "reduce_protocol"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Reduced:
    """Hold the distinct (series, b) groups of a protocol, sorted by series, in ms/um2 and s."""

    b: FloatArray  #: [group], ms/um2
    root_weight: FloatArray  #: square root of the summed weight of a group [group]
    pointer: NDArray[np.int64]  #: first group of each series, and the end [series + 1]
    mixing_time: FloatArray  #: [series], s
    filtered: NDArray[np.bool_]  #: [series]
    order: NDArray[np.int64]  #: volumes sorted by group [volume]
    first: NDArray[np.int64]  #: start of each group in `order` [group]
    weight: FloatArray  #: [volume]

    @property
    def n_series(self) -> int:
        """Number of series."""
        return int(self.mixing_time.size)

    def merge(self, signals: FloatArray) -> tuple[FloatArray, FloatArray | float]:
        """Return root-weighted group means [voxel, group] and the scatter within groups [voxel] (0 without repeats)."""
        ordered = signals[:, self.order]
        if self.first.size == self.order.size:
            return ordered * self.root_weight, 0.0
        w = self.weight[self.order]
        mean = np.add.reduceat(ordered * w, self.first, axis=1) / self.root_weight**2
        repeats = np.diff(np.append(self.first, self.order.size))
        scatter = np.sum(w * (ordered - np.repeat(mean, repeats, axis=1)) ** 2, axis=1)
        return mean * self.root_weight, scatter


def reduce_protocol(protocol: Protocol, weights: ArrayLike | None = None, *, merge: bool = True) -> Reduced:
    """Return the groups of `protocol`; `weights` [volume] are relative inverse variances (default: all 1).

    Raises
    ------
    InputError
        If the weights are not one finite number > 0 per volume.
    """
    n = protocol.n_volumes
    w = np.ones(n) if weights is None else np.asarray(weights, float)
    if w.shape != (n,) or not np.all(np.isfinite(w) & (w > 0)):
        raise InputError("weights", got=f"shape {w.shape}", expected=f"{n} finite values > 0 (one per volume)")
    series = protocol.series_index
    third = np.zeros(n) if merge else np.arange(n)
    _, group = np.unique(np.stack([series, protocol.b_s_m2, third], 1), axis=0, return_inverse=True)
    group = group.reshape(-1)
    order = np.argsort(group, kind="stable")
    first = np.flatnonzero(np.diff(group[order], prepend=-1))
    lead = order[first]
    pointer = np.searchsorted(series[lead], np.arange(protocol.n_series + 1))
    head = lead[pointer[:-1]]
    return Reduced(
        b=protocol.b_s_m2[lead] * 1e-9,
        root_weight=np.sqrt(np.add.reduceat(w[order], first)),
        pointer=pointer.astype(np.int64),
        mixing_time=protocol.mixing_time_s[head],
        filtered=protocol.filter_b_s_m2[head] > 0,
        order=order,
        first=first,
        weight=w,
    )


def check_signals(signals: ArrayLike, protocol: Protocol) -> FloatArray:
    """Return `signals` as floats [voxel, volume].

    Raises
    ------
    InputError
        If the shape does not fit the protocol.
    """
    array = np.asarray(signals)
    if array.ndim != 2 or array.shape[1] != protocol.n_volumes:
        raise InputError("signals", got=f"shape {array.shape}", expected=f"(voxels, {protocol.n_volumes})")
    return array


def input_flags(signals: FloatArray) -> NDArray[np.uint8]:
    """Return ``Flag.NON_FINITE`` where a signal is NaN or infinite or none is positive, else ``Flag.OK`` [voxel]."""
    good = np.isfinite(signals).all(axis=1) & (signals > 0).any(axis=1)
    return np.where(good, Flag.OK, Flag.NON_FINITE).astype(np.uint8)


def pseudo_series(reduced: Reduced, scatter: list[FloatArray]) -> tuple[Reduced, FloatArray]:
    """Return the protocol and signals [region, group] of the one-voxel problem with the same cost as the region.

    `scatter` holds, for each series, M [region, group, group]. M = sum_r u_r u_r' is split by its eigenvectors: each u_r
    becomes a series of its own with the same b-values and mixing time; the largest comes first.
    """
    roots, groups, owner = [], [], []
    for s, m in enumerate(scatter):
        values, vectors = np.linalg.eigh(m)
        u = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
        u = u * np.where(u.sum(axis=1, keepdims=True) < 0, -1.0, 1.0)
        here = np.arange(reduced.pointer[s], reduced.pointer[s + 1])
        for r in range(here.size - 1, -1, -1):
            roots.append(u[:, :, r])
            groups.append(here)
            owner.append(s)
    index, sizes = np.concatenate(groups), [g.size for g in groups]
    wide = replace(
        reduced,
        b=reduced.b[index],
        root_weight=reduced.root_weight[index],
        pointer=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        mixing_time=reduced.mixing_time[owner],
        filtered=reduced.filtered[owner],
    )
    return wide, np.concatenate(roots, axis=1)
