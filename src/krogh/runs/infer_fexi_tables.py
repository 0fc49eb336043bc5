"""Turn an inference from FEXI signals into tables: signals with residuals, curves of ADC', series to measure next."""

from __future__ import annotations

from typing import Any

import numpy as np

from krogh.fexi.derived import exchange_maps
from krogh.runs.infer_fexi import FexiInference

__all__ = ["curve_rows", "permeability_rows", "point_rows", "series_rows", "signal_rows"]

Rows = list[dict[str, Any]]
_ADC, _B = 1e-9, 1e6


def signal_rows(result: FexiInference) -> Rows:
    """Return one row a signal: its volume, measured, predicted, noise SD, (measured - predicted)/SD."""
    d, out = result.data, []
    for name, scan in result.scans.items():
        mine = np.flatnonzero([x == name for x in d.dataset])
        for i, v in zip(mine, scan.volume, strict=True):
            p = scan.protocol
            out.append({
                "dataset": name, "volume": int(v) + 1, "filter_b_s_mm2": float(p.filter_b_s_m2[v]) / _B,
                "b_s_mm2": float(p.b_s_m2[v]) / _B, "mixing_time_s": float(p.mixing_time_s[v]), "signal": float(d.value[i]),
                "predicted": float(result.fit.predicted[i]), "sd": float(d.sd[i]), "residual": float(result.fit.residual[i]),
                "line": int(d.line[i]),
            })  # fmt: skip
    return out


def curve_rows(result: FexiInference) -> Rows:
    """Return ADC' over the mixing time: fit and 95 % of the curves, with the filter and (``filter_b`` 0) without [um2/ms]."""
    out = []
    for c in result.curves:
        rest = [(0.0, float(c.mixing_time_s[-1] * 0), c.rest, c.rest_low, c.rest_high)]
        filtered = [(c.filter_b_s_m2 / _B, *map(float, row))
                    for row in zip(c.mixing_time_s, c.fit, c.low, c.high, strict=True)]  # fmt: skip
        out += [
            {"dataset": c.dataset, "filter_b_s_mm2": f, "mixing_time_s": t, "adc_um2_ms": m / _ADC, "low_um2_ms": low / _ADC,
             "high_um2_ms": high / _ADC}
            for f, t, m, low, high in rest + filtered
        ]  # fmt: skip
    return out


def point_rows(result: FexiInference) -> Rows:
    """Return ADC' of every measured series, with its SD [um2/ms]."""
    return [
        {"dataset": c.dataset, "filtered": bool(f), "mixing_time_s": float(t), "adc_um2_ms": float(m) / _ADC,
         "sd_um2_ms": float(s) / _ADC}
        for c in result.curves
        for t, m, s, f in zip(c.point_time_s, c.point, c.point_sd, c.filtered, strict=True)
    ]  # fmt: skip


def series_rows(result: FexiInference) -> Rows:
    """Return the series to measure next, in their order, and the relative SD of each parameter once they are there."""
    return [
        {"order": k, "dataset": s.dataset, "filter_b_s_mm2": s.filter_b_s_m2 / _B, "b_s_mm2": s.b_s_m2 / _B,
         "mixing_time_s": s.mixing_time_s, "volumes": 2, "gain_nats": s.gain,
         **{f"relative_sd {p.name}": float(sd) for p, sd in zip(result.parameters, s.sd, strict=True)}}
        for k, s in enumerate(result.further, 1)
    ]  # fmt: skip


def permeability_rows(result: FexiInference, blood_fraction: float, radius_m: float) -> Rows:
    """Return k_ie, PS and P of water from the exchange rate and its interval; empty where it is not held or not free.

    The pools of 2cm and 2cmr have a blood fraction of their own; else it is stated, as the radius is. The interval is that of the
    exchange rate alone.
    """
    names = [p.name for p in result.parameters]
    rate = next((n for n in ("AXR", "k") if n in names), None)
    if rate is None or not result.identifiability.held[names.index(rate)]:
        return []
    i, scan = names.index(rate), next(iter(result.scans.values()))
    if "f_i" in scan.place:
        own = float(result.estimate[names.index("f_i")]) if "f_i" in names else float(scan.held[scan.place["f_i"]])
        blood_fraction = own if "f_i" not in result.unheld else blood_fraction
    ends = np.array([result.estimate[i], result.low[i], result.high[i]])
    found = exchange_maps(ends, blood_fraction=blood_fraction, capillary_radius_m=radius_m)
    lines = (("k_ie", "1/s", found.k_ie_per_s), ("PS", "mL/min/100mL", found.ps_per_s * 6000), ("P", "um/s", found.p_m_s * 1e6))
    return [
        {"quantity": name, "unit": unit, "estimate": float(v[0]), "low": float(v[1]), "high": float(v[2])}
        for name, unit, v in lines
    ]
