"""Draw ADC' over the mixing time with its bands, and choose the series to measure next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from krogh.fexi.protocol import Protocol
from krogh.inference.bands import ERRORS
from krogh.inference.fit import Fit
from krogh.inference.observations import Observations
from krogh.inference.parameters import Parameter
from krogh.inference.signals import Scan, Signals

__all__ = ["Curve", "NextSeries", "draw_curves", "next_series", "series_points"]

_POINTS = 61
_FURTHER = 3
_TIMES, _LONGEST = 24, 1.5
_FACTORS = (0.5, 0.75, 1.0, 1.5, 2.0)


@dataclass(frozen=True)
class Curve:
    """Hold one measured curve as ADC' [m2/s]: the fit over the mixing time (T,) and the points of the measured series (K,).

    Attributes
    ----------
    filter_b_s_m2 : float
        Of the filtered series.
    mixing_time_s, fit, low, high : arrays (T,)
        Fit after the filter, and the ends of 95 % of the curves.
    value_low, value_high : arrays (T,)
        95 % of the points of new series like the measured ones.
    rest, rest_low, rest_high : float
        The same without a filter.
    point_time_s, point, point_sd : arrays (K,)
        Slope of ``-log S`` over b of each series, and its SD; `filtered` tells which had the filter.
    """

    dataset: str
    filter_b_s_m2: float
    mixing_time_s: np.ndarray
    fit: np.ndarray
    low: np.ndarray
    high: np.ndarray
    value_low: np.ndarray
    value_high: np.ndarray
    rest: float
    rest_low: float
    rest_high: float
    point_time_s: np.ndarray
    point: np.ndarray
    point_sd: np.ndarray
    filtered: np.ndarray


@dataclass(frozen=True)
class NextSeries:
    """Hold one more series to measure, b = 0 and one b, and the SD of each log-parameter (P,) with it and those before."""

    dataset: str
    filter_b_s_m2: float
    b_s_m2: float
    mixing_time_s: float
    sd: np.ndarray
    gain: float


def _pairs(protocol: Protocol, filter_b: np.ndarray, b: np.ndarray, mixing_time_s: np.ndarray) -> Protocol:
    """Return a protocol of pairs (b = 0, b), one a series, on the scanner of `protocol`; a filter where `filter_b` > 0."""
    q = protocol.crusher_q_rad_m
    shared = q if q is None or np.ndim(q) == 0 else float(np.max(q))
    two = np.stack([np.zeros(b.size), b], axis=1).ravel()
    return replace(
        protocol, filter_b_s_m2=np.repeat(filter_b, 2), b_s_m2=two, mixing_time_s=np.repeat(mixing_time_s, 2),
        series=np.repeat(np.arange(1, b.size + 1), 2), average=np.ones(2 * b.size, dtype=int), directions=None,
        filter_directions=None, crusher_q_rad_m=shared, require_b0=True,
    )  # fmt: skip


def _ends(scan: Scan) -> tuple[float, float, float, float]:
    """Return filter b, largest b, longest mixing time and shortest one of what was measured."""
    p, v = scan.protocol, scan.volume
    return (float(p.filter_b_s_m2[v].max()), float(p.b_s_m2[v].max()), float(p.mixing_time_s[v].max()),
            float(p.mixing_time_s[v].min()))  # fmt: skip


def series_points(scan: Scan, value: np.ndarray, sd: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return mixing time [s], ADC' and SD [m2/s] and whether it was filtered, of each measured series with two b or more."""
    p, out = scan.protocol, []
    for s in np.unique(p.series_index[scan.volume]):
        here = p.series_index[scan.volume] == s
        b = p.b_s_m2[scan.volume][here]
        if np.ptp(b) == 0:
            continue
        weight = (value[here] / sd[here]) ** 2  # of log S
        centred = b - np.average(b, weights=weight)
        norm = (weight * centred**2).sum()
        first = scan.volume[here][0]
        out.append((p.mixing_time_s[first], -(weight * centred * np.log(value[here])).sum() / norm, norm**-0.5,
                    p.filter_b_s_m2[first] > 0))  # fmt: skip
    time, point, error, filtered = (np.array(x) for x in zip(*out, strict=True)) if out else (np.zeros(0),) * 4
    return time, point, error, filtered.astype(bool)


def draw_curves(scan: Scan, parameters: Sequence[Parameter], data: Observations, best: np.ndarray, draws: np.ndarray) -> Curve:
    """Return ADC' of one curve at the log-parameters `best` (P,), with the bands of `draws` (R, P)."""
    mine = data.take(np.array([d == scan.name for d in data.dataset]))
    tissue = Signals(scan, parameters, mine).tissue(np.exp(np.concatenate([best[None], draws])))
    filter_b, b, longest, shortest = _ends(scan)
    t = np.append(np.linspace(0.0, 1.1 * longest, _POINTS), shortest)  # the last one without a filter
    filters = np.where(np.arange(t.size) < _POINTS, filter_b, 0.0)
    signal = scan.model.shape(tissue, _pairs(scan.protocol, filters, np.full(t.size, b), t))
    adc = np.log(signal[:, ::2] / signal[:, 1::2]) / b
    low, high = np.quantile(adc[1:], [0.025, 0.975], axis=0)
    time, point, sd, filtered = series_points(scan, mine.value, mine.sd)
    error = float(np.mean(sd[filtered])) if filtered.any() else 0.0
    below, above = np.quantile((adc[1:, :-1] + error * ERRORS[:, None, None]).reshape(-1, t.size - 1), [0.025, 0.975], axis=0)
    return Curve(
        scan.name, filter_b, t[:-1], adc[0, :-1], low[:-1], high[:-1], below, above,
        float(adc[0, -1]), float(low[-1]), float(high[-1]), time, point, sd, filtered,
    )  # fmt: skip


def next_series(scans: Mapping[str, Scan], parameters: Sequence[Parameter], data: Observations, fit: Fit) -> list[NextSeries]:
    """Return the best further series, one after the other: D-optimal at the estimate, each with an S0 of its own.

    Tried are pairs of b = 0 and a b between half and twice the largest that was used, without a filter at the shortest mixing
    time or with it at mixing times up to 1.5 times the longest. The signal at b = 0 is that of the nearest measured series.
    """
    theta = np.exp(fit.x)
    table: list[tuple[str, float, float, float]] = []
    every = []
    for name, scan in scans.items():
        mine = data.take(np.array([d == name for d in data.dataset]))
        signals = Signals(scan, parameters, mine)
        filter_b, b, longest, shortest = _ends(scan)
        times = np.unique(np.round(np.linspace(shortest, _LONGEST * longest, _TIMES), 3))
        grid = [(f, b * k, t) for k in _FACTORS for f, ts in ((0.0, times[:1]), (filter_b, times)) for t in ts]
        pairs = np.array(grid).T
        protocol = _pairs(scan.protocol, *pairs)
        full = signals.tissue(theta[None])
        level, at = signals.levels(theta)
        near = level[np.abs(pairs[2][:, None] - at).argmin(1)]
        shape = scan.model.shape(full, protocol)[0].reshape(-1, 2, 1)
        slope = scan.model.shape_jacobian(full, protocol)[0].reshape(shape.shape[0], 2, -1)[..., signals.free] * theta
        slope = slope - shape * (shape * slope).sum(1, keepdims=True) / (shape**2).sum(1, keepdims=True)  # S0 of its own
        weight = near**2 * float(np.mean(mine.sd**-2))
        every.append(np.einsum("k,kip,kiq->kpq", weight, slope, slope))
        table += [(name, *row) for row in grid]
    gained, information, out = np.concatenate(every), np.linalg.inv(fit.covariance), []
    for _ in range(_FURTHER):
        gains = np.linalg.slogdet(information + gained)[1]
        k = int(np.argmax(gains))
        gain = 0.5 * float(gains[k] - np.linalg.slogdet(information)[1])
        information = information + gained[k]
        out.append(NextSeries(*table[k], np.sqrt(np.diag(np.linalg.inv(information))), gain))
    return out
