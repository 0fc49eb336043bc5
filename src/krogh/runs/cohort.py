"""Reduce the regional results of many scans: mean over subjects with its interval, spread between and within subjects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

__all__ = ["group_rows", "summary_rows"]

_QUANTITIES = ("adc", "sigma", "axr", "fi", "di", "de", "k", "kie", "ps", "p")


def group_rows(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one flat row for each scan and region, in the order of the scans."""
    return [
        {"subject": r["subject"], "session": r["session"], "scan": r["scan"], **region}
        for r in records for region in r.get("regions", ())
    ]  # fmt: skip


def summary_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one row for each region and quantity.

    The scans of one subject are averaged first, since they are not independent; mean, SD and the 95 % interval (Student's t) are
    over subjects. ``sd_within`` is the SD between scans of one subject, pooled over those who have several: repeatability. Scans
    whose pooled fit has a flag, or no value, are left out and counted.
    """
    found = []
    for region in dict.fromkeys(r["region"] for r in rows):
        some = [r for r in rows if r["region"] == region]
        for name in (q for q in _QUANTITIES if any(q in r for r in some)):
            good = [r for r in some if r.get("flag") == 0 and _number(r.get(name)) is not None]
            by_subject: dict[str, list[float]] = {}
            for r in good:
                by_subject.setdefault(r["subject"], []).append(float(r[name]))
            found.append({"region": region, "quantity": name, "subjects": len(by_subject), "scans": len(good),
                          "left_out": len(some) - len(good), **_spread(list(by_subject.values()))})  # fmt: skip
    return found


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and np.isfinite(value) else None


def _spread(subjects: Sequence[Sequence[float]]) -> dict[str, float]:
    """Return mean, SD between subjects, ends of the 95 % interval of the mean, SD within subjects; NaN where too few."""
    nan = float("nan")
    means = np.array([np.mean(s) for s in subjects])
    n = means.size
    sd = float(means.std(ddof=1)) if n > 1 else nan
    half = float(stats.t.ppf(0.975, n - 1)) * sd / np.sqrt(n) if n > 1 else nan
    middle = float(means.mean()) if n else nan
    freedom = sum(len(s) - 1 for s in subjects)
    squares = sum(float(np.sum((np.asarray(s) - np.mean(s)) ** 2)) for s in subjects)
    return {"mean": middle, "sd_between": sd, "low": middle - half, "high": middle + half,
            "sd_within": float(np.sqrt(squares / freedom)) if freedom else nan}  # fmt: skip
