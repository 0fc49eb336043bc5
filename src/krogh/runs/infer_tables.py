"""Turn an inference into tables: estimates, identifiability, residuals, profiles, curves; each number with its unit."""

from __future__ import annotations

from typing import Any

import numpy as np

from krogh.inference.identify import Combination
from krogh.inference.parameters import Parameter
from krogh.runs.infer import Inference
from krogh.runs.judged import Judged
from krogh.units import DIMENSIONS

__all__ = [
    "band_rows", "combination_rows", "combination_text", "correlation_rows", "estimate_rows", "joint_rows", "posterior_rows",
    "profile_rows", "residual_rows",
    "sample_rows", "scale", "suggestion_rows",
]  # fmt: skip

Rows = list[dict[str, Any]]


def scale(p: Parameter) -> float:
    """Return the SI value of one unit of a parameter."""
    return DIMENSIONS[p.dimension][1][p.unit]


def estimate_rows(result: Judged) -> Rows:
    """Return one row a parameter; an open end of an interval is None, and so is the estimate of what the data do not hold."""
    rows = []
    judged = result.identifiability
    for i, p in enumerate(result.parameters):
        unit, held = scale(p), bool(judged.held[i])
        low, high = float(result.low[i]), float(result.high[i])
        rows.append(
            {
                "parameter": p.name, "unit": p.unit or "1", "estimate": float(result.estimate[i]) / unit if held else None,
                "low": low / unit if low > 0 else None, "high": high / unit if np.isfinite(high) else None,
                "relative_sd": float(result.fit.sd[i]) if held else None, "library": p.nominal / unit,
                "held": held, "by_prior": bool(judged.by_prior[i]), "verdict": judged.verdict[i],
                "at_bound": bool(result.fit.at_bound[i]),
                "prior_median": p.prior[0] / unit if p.prior else None, "prior_sd_log": p.prior[1] if p.prior else None,
            }
        )  # fmt: skip
    return rows


def combination_rows(result: Judged) -> Rows:
    """Return one row a combination that the data hold of parameters that they do not."""
    rows = []
    for c in result.identifiability.combinations:
        unit, factor = _combined_unit(result, c)
        rows.append(
            {"combination": c.name, "unit": unit, "estimate": c.value / factor, "low": c.low / factor, "high": c.high / factor}
        )
    return rows


def _combined_unit(result: Judged, c: Combination) -> tuple[str, float]:
    """Return the unit of a combination and its SI value: nm/s for Vmax/Km, else that of its parts as they are shown."""
    first, second = (result.parameters[i] for i in (c.first, c.second))
    if (first.dimension, second.dimension, c.power) == ("flux", "concentration", -1.0):
        return "nm/s", 1e-9
    power = "" if abs(c.power) == 1 else f"^{abs(c.power):.3g}"
    tail = f"({second.unit}){power}" if second.unit else ""
    mark = "*" if c.power > 0 else "/"
    unit = f"({first.unit}){mark if tail else ''}{tail}" if first.unit else tail if c.power > 0 else f"1/{tail}" if tail else "1"
    return unit or "1", scale(first) * scale(second) ** c.power


def combination_text(row: dict[str, Any]) -> str:
    """Return a combination in one line."""
    return f"{row['combination']} = {row['estimate']:.3g} {row['unit']} ({row['low']:.3g} to {row['high']:.3g})"


def correlation_rows(result: Judged) -> Rows:
    """Return the correlation of the log-parameters, by the data alone."""
    names = [p.name for p in result.parameters]
    return [{"parameter": n, **dict(zip(names, map(float, row), strict=True))}
            for n, row in zip(names, result.identifiability.correlation, strict=True)]  # fmt: skip


def residual_rows(result: Inference) -> Rows:
    """Return one row a value: measured, predicted, its error, and (measured - predicted)/error."""
    d, m = result.data, result.fit.predicted
    spread, below = d.spread(m), d.censored
    return [
        {
            "dataset": d.dataset[i], "matrix": d.matrix[i], "time_s": float(d.t_s[i]),
            "value_mol_m3": None if below[i] else float(d.value[i]), "below_mol_m3": float(d.lloq[i]) if below[i] else None,
            "predicted_mol_m3": float(m[i]), "sd_mol_m3": float(spread[i]),
            "residual": None if below[i] else float(result.fit.residual[i]), "line": int(d.line[i]),
        }
        for i in range(len(m))
    ]  # fmt: skip


def profile_rows(result: Judged) -> Rows:
    """Return the profile likelihoods: deviance from the best fit over each parameter, and where the others went."""
    rows = []
    for i, (p, line) in enumerate(zip(result.parameters, result.profiles, strict=True)):
        for x, root, path in zip(line.x, line.root, line.path, strict=True):
            others = {q.name: float(np.exp(path[j])) / scale(q) for j, q in enumerate(result.parameters) if j != i}
            rows.append({"parameter": p.name, "unit": p.unit or "1", "value": np.exp(x) / scale(p), "deviance": float(root**2),
                         **{f"{q.name}": others.get(q.name) for q in result.parameters}})  # fmt: skip
    return rows


def band_rows(result: Inference) -> Rows:
    """Return the curves: fit, 95 % of the curves, 95 % of new values [mol/m3]."""
    return [
        {
            "dataset": b.dataset, "matrix": b.matrix, "time_s": float(t), "fit_mol_m3": float(b.fit[k]),
            "low_mol_m3": float(b.low[k]),
            "high_mol_m3": float(b.high[k]), "new_value_low_mol_m3": float(b.value_low[k]),
            "new_value_high_mol_m3": float(b.value_high[k]),
        }
        for b in result.bands
        for k, t in enumerate(b.t_s)
    ]  # fmt: skip


def joint_rows(result: Inference) -> Rows:
    """Return the minimum of the joint loss beside the fit that solves the equations; empty where it was not asked for."""
    if result.joint is None:
        return []
    j, sd = result.joint, result.fit.sd
    return [
        {"parameter": p.name, "unit": p.unit or "1", "joint_estimate_biased": float(np.exp(j.x[i])) / scale(p),
         "estimate": float(result.estimate[i]) / scale(p), "shift_sd": float((j.x[i] - result.fit.x[i]) / sd[i]),
         "weight_of_data": j.weight, "residual_of_equations": j.residual}
        for i, p in enumerate(result.parameters)
    ]  # fmt: skip


def posterior_rows(result: Judged) -> Rows:
    """Return median and interval of the posterior of each parameter; empty without samples."""
    if result.posterior is None:
        return []
    low, middle, high = result.posterior.interval(result.level)
    return [
        {"parameter": p.name, "unit": p.unit or "1", "median": float(middle[i]) / scale(p), "low": float(low[i]) / scale(p),
         "high": float(high[i]) / scale(p)}
        for i, p in enumerate(result.parameters)
    ]  # fmt: skip


def sample_rows(result: Judged) -> Rows:
    """Return the samples of the posterior, one column a parameter with its unit; empty without samples."""
    if result.posterior is None:
        return []
    names = [f"{p.name} [{p.unit or '1'}]" for p in result.parameters]
    values = np.exp(result.posterior.x) / [scale(p) for p in result.parameters]
    return [dict(zip(names, map(float, row), strict=True)) for row in values]


def suggestion_rows(result: Inference) -> Rows:
    """Return the values to measure next, in their order, and the relative SD of each parameter once they are there."""
    return [
        {"order": k, "dataset": s.dataset, "matrix": s.matrix, "time_s": s.t_s, "gain_nats": s.gain,
         **{f"relative_sd {p.name}": float(sd) for p, sd in zip(result.parameters, s.sd, strict=True)}}
        for k, s in enumerate(result.next_times, 1)
    ]  # fmt: skip
