"""Fit PET with an arterial input: K1, extraction and PS of [11C]PBR28; and what P-gp does to verapamil."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from krogh.validation.model import run_one
from krogh.validation.study import Goal, Row, Study

__all__ = ["TissueFit", "fit_two_tissue", "pbr28_study", "two_tissue", "verapamil_study", "weighted_squares"]

_FLOW_ML_CM3_MIN = 0.54 * 1.04  # cerebral blood flow of the package, per volume
_BOUNDS = ([0.01, 0.01, 0.0, 0.001, 0.0, -40.0], [1.0, 1.0, 1.0, 0.5, 0.15, 40.0])
_STARTS = ((0.12, 0.15, 0.08, 0.04, 0.05, 0.0), (0.2, 0.1, 0.03, 0.02, 0.03, 0.0))
_GRID_S = 1.0
_REFERENCE = ("K1_mL_per_cm3_per_min", "k2_per_min", "k3_per_min", "k4_per_min", "vB", "delay_s")
#: Cyclosporin in the blood of the people of Sasongko 2005: Hsiao 2006 J Pharmacol Exp Ther 317:704 (abstract).
_CYCLOSPORIN_UM = 2.8
#: Distribution volume of (R)-[11C]verapamil in rats after 15 mg/kg tariquidar over before, 3.68 +- 0.81 over 0.30 +- 0.08:
#: Bankstahl 2008 J Nucl Med 49:1328 (abstract).
_TARIQUIDAR = (3.68 / 0.30, 3.68 / 0.30 * float(np.hypot(0.81 / 3.68, 0.08 / 0.30)))


@dataclass(frozen=True, slots=True)
class TissueFit:
    """Hold one fit: K1 [mL/cm3/min], k2, k3, k4 [1/min], blood fraction, delay [s] and the weighted residual."""

    k1: float
    k2: float
    k3: float
    k4: float
    blood: float
    delay_s: float
    cost: float


def _convolve(input_curve: np.ndarray, rate_per_s: float, h_s: float) -> np.ndarray:
    """Return exp(-rate t) convolved with a curve that is straight between samples, exactly."""
    from scipy.signal import lfilter

    x = max(rate_per_s * h_s, 1e-12)
    decay = np.exp(-x)
    # integral over one step of a straight input: a part from its start, a part from its end
    end = h_s * (1.0 / x - -np.expm1(-x) / x**2) if x > 1e-6 else h_s / 2
    start = h_s * (-np.expm1(-x) / x) - end
    return lfilter([end, start], [1.0, -decay], input_curve)


def two_tissue(p: Sequence[float], plasma: np.ndarray, whole: np.ndarray, h_s: float = _GRID_S) -> np.ndarray:
    """Return the activity of tissue with two compartments and blood, ``(1 - vB) C_T + vB C_blood``, on the grid of the inputs.

    Parameters
    ----------
    p : (K1, k2, k3, k4, vB)
        mL/cm3/min and 1/min.
    plasma, whole : array
        Parent in plasma and whole blood on an even grid.
    h_s : float
        Step of the grid [s].
    """
    k1, k2, k3, k4, blood = p[:5]
    total = k2 + k3 + k4
    root = np.sqrt(max(total**2 - 4 * k2 * k4, 0.0))
    slow, fast = (total - root) / 2, (total + root) / 2
    weight = k1 / max(fast - slow, 1e-12)
    tissue = weight * (k3 + k4 - slow) * _convolve(plasma, slow / 60, h_s) + weight * (fast - k3 - k4) * _convolve(
        plasma, fast / 60, h_s
    )
    return (1 - blood) * tissue / 60 + blood * whole


def fit_two_tissue(
    start_s: np.ndarray,
    length_s: np.ndarray,
    activity: np.ndarray,
    weight: np.ndarray,
    t_s: np.ndarray,
    plasma: np.ndarray,
    whole: np.ndarray,
) -> TissueFit:
    """Fit K1 to k4, blood fraction and delay to frames by weighted least squares, from several starts; the best is kept.

    Parameters
    ----------
    start_s, length_s, activity, weight : array, shape (frame,)
        Frames and their means.
    t_s, plasma, whole : array, shape (sample,)
        Arterial input.
    """
    from scipy.optimize import least_squares

    residual = _residual(start_s, length_s, activity, weight, t_s, plasma, whole)
    best = None
    for start in _STARTS:
        found = least_squares(residual, start, bounds=_BOUNDS, x_scale=(0.1, 0.1, 0.05, 0.05, 0.05, 5.0), max_nfev=200)
        if best is None or found.cost < best.cost:
            best = found
    assert best is not None
    k1, k2, k3, k4, share, delay = (float(v) for v in best.x)
    return TissueFit(k1, k2, k3, k4, share, delay, float(best.cost))


def _residual(
    start_s: np.ndarray,
    length_s: np.ndarray,
    activity: np.ndarray,
    weight: np.ndarray,
    t_s: np.ndarray,
    plasma: np.ndarray,
    whole: np.ndarray,
) -> Callable[[Any], np.ndarray]:
    """Return the function from (K1, k2, k3, k4, vB, delay) to the weighted residuals of the frames."""
    end = float((start_s + length_s).max())
    grid = np.arange(0.0, end + 2 * _GRID_S, _GRID_S)
    used = (weight > 0) & (length_s > 0)
    first, last = start_s[used], start_s[used] + length_s[used]
    root, seen = np.sqrt(weight[used]), activity[used]

    def residual(p: Any) -> np.ndarray:
        shifted = [np.interp(grid - p[5], t_s, c, left=0.0) for c in (plasma, whole)]
        area = np.concatenate([[0.0], np.cumsum(two_tissue(p, *shifted))]) * _GRID_S
        means = (np.interp(last, grid, area[:-1]) - np.interp(first, grid, area[:-1])) / (last - first)
        return np.asarray(root * (means - seen))

    return residual


def weighted_squares(p: Sequence[float], *curves: np.ndarray) -> float:
    """Return half the sum of weighted squares of a two-tissue model at `p`; `curves` as in :func:`fit_two_tissue`."""
    return 0.5 * float(np.sum(_residual(*curves)(p) ** 2))


def _on_bound(fit: TissueFit) -> list[str]:
    """Return the rate constants that ended on a bound: the data do not hold them, and K1 less than it seems."""
    names, values = ("k2", "k3", "k4"), (fit.k2, fit.k3, fit.k4)
    ends = zip(_BOUNDS[0][1:4], _BOUNDS[1][1:4], strict=True)
    return [n for n, v, (low, high) in zip(names, values, ends, strict=True) if v <= 1.02 * low + 1e-4 or v >= 0.98 * high]


def _scan_note(fit: TissueFit, excess: float) -> str:
    extraction = min(fit.k1 / _FLOW_ML_CM3_MIN, 0.999)
    ps, held = -_FLOW_ML_CM3_MIN * np.log1p(-extraction), _on_bound(fit)
    text = f"extraction {extraction:.2f}, fu PS {ps:.3f} mL/cm3/min at a flow of {_FLOW_ML_CM3_MIN:.2f}; weighted squares of the "
    text += f"reference fit {excess:.3g} times ours"
    return text + (f"; {', '.join(held)} on a bound: K1 is not well determined" if held else "")


def pbr28_study(
    arterial: Sequence[Mapping[str, str]], tissue: Sequence[Mapping[str, str]], reference: Sequence[Mapping[str, str]],
    regions: Sequence[str] = ("whole_brain", "frontal_cortex"), progress: Callable[[float], None] | None = None,
) -> Study:  # fmt: skip
    """Return K1 of every scan and region beside the reference fits, with extraction and PS."""
    scans = list(dict.fromkeys(r["scan"] for r in tissue))
    known = {(r["scan"], r["region"]): [float(r[k]) for k in _REFERENCE] for r in reference}
    rows, ours, theirs = [], {r: [] for r in regions}, {r: [] for r in regions}  # type: ignore[var-annotated]
    excess: dict[str, list[float]] = {r: [] for r in regions}
    for i, scan in enumerate(scans):
        blood = np.array(
            [
                [float(r[k]) for k in ("time_s", "parent_plasma_kBq_per_mL", "whole_blood_kBq_per_mL")]
                for r in arterial
                if r["scan"] == scan
            ]
        )
        for region in regions:
            frame = np.array(
                [[float(r[k]) for k in ("frame_start_s", "frame_duration_s", "activity_kBq_per_mL", "weight")]
                 for r in tissue if r["scan"] == scan and r["region"] == region]
            )  # fmt: skip
            if not blood.size or not frame.size or (scan, region) not in known:
                continue
            fit = fit_two_tissue(*frame.T, *blood.T)
            ours[region].append(fit.k1)
            theirs[region].append(known[scan, region][0])
            excess[region].append(weighted_squares(known[scan, region], *frame.T, *blood.T) / fit.cost)
            rows.append(
                Row(f"[11C]PBR28, human, scan {scan}, {region.replace('_', ' ')}", "K1 by two tissue compartments", "mL/cm3/min",
                    known[scan, region][0], fit.k1, fitted="all five constants and the delay, to this curve", scored=False,
                    note=_scan_note(fit, excess[region][-1]))
            )  # fmt: skip
        if progress is not None:
            progress((i + 1) / len(scans))
    goals = []
    for region in regions:
        if not ours[region]:
            continue
        a, b = np.array(ours[region]), np.array(theirs[region])
        off = float(np.median(np.abs(a / b - 1)))
        share = float(np.mean(np.abs(a / b - 1) <= 0.10))
        far = np.array(excess[region])[np.abs(a / b - 1) > 0.10]
        why = f"; in the others the reference leaves {far.min():.0f} to {far.max():.0f} times our squares" if far.size else ""
        goals.append(Goal(f"K1 {region.replace('_', ' ')}: median difference from the reference fits, %", 100 * off,
                          "<= 10" if region == "whole_brain" else "", off <= 0.10 if region == "whole_brain" else None,
                          f"{100 * share:.0f} % of {len(a)} scans within 10 %; medians {np.median(a):.3f} and "
                          f"{np.median(b):.3f}{why}"))  # fmt: skip
    return Study(
        "pbr28", "[11C]PBR28 PET: K1, extraction and PS",
        "A fit, not a prediction: it checks the estimator and gives extraction and fu PS of so lipophilic a ligand. The "
        "reference fits are computed, not published.",
        "Matheson 2017 EJNMMI Res 7:58 (kinfitr, MIT)", tuple(rows), tuple(goals), kind="calibration",
    )  # fmt: skip


def verapamil_study(observed: Sequence[Mapping[str, str]]) -> Study:
    """Return verapamil brain over plasma with P-gp inhibited, from one Vmax fitted to the ratio with P-gp at work.

    Cyclosporin at the level of the study leaves a part of P-gp at work: ``1 / (1 + C / EC50)`` with the EC50 of the rat, whose
    model puts the inhibition on the transport out of the brain. Full block is compared with tariquidar in rats.
    """
    from scipy.optimize import brentq

    seen = next(r for r in observed if r["drug"].startswith("verapamil") and "PET, before" in r["condition"])
    rat = next(r for r in observed if r["drug"].startswith("verapamil") and "CsA EC50" in r["endpoint"])
    before, after = (float(v) for v in seen["value"].split("->"))
    sd = [float(v) for v in seen["spread"].split(";")]
    share, ec50_um = (float(v) for v in rat["value"].split(";"))

    def ratio(log_vmax: float, efflux: float = 1.0) -> float:
        values = {"verapamil": {"P-gp.vmax": f"{10.0**log_vmax!r} mol/m2/s"}}
        m = run_one("verapamil", dose="1 nM constant", duration="45 min", cells=32, efflux={"P-gp": efflux}, compound=values,
                    permeability_method="Smith 2024 line").metrics[0]  # fmt: skip
        return float(m.auc_brain_total / m.auc_plasma_free * 0.0805)  # per total plasma: the dose is of free drug

    log_vmax = float(brentq(lambda v: np.log(ratio(v) / before), -12.0, -3.0, xtol=1e-2))
    working = 1.0 / (1.0 + _CYCLOSPORIN_UM / ec50_um)
    active, partly, blocked = ratio(log_vmax), ratio(log_vmax, working), ratio(log_vmax, 0.0)
    fitted = f"P-gp Vmax {10.0**log_vmax:.2g} mol/m2/s, to the ratio before cyclosporin (Km 1.01 uM read); binding in mouse brain"
    what = "total brain over total plasma, AUC"
    level = f"{_CYCLOSPORIN_UM} uM cyclosporin in blood (Hsiao 2006), EC50 {ec50_um} uM in the rat: {100 * working:.0f} % at work"
    rows = (
        Row("verapamil, human, before cyclosporin", what, "1", before, active, sd[0], fitted, scored=False),
        Row("verapamil, human, with cyclosporin", what, "1", after, partly, sd[1], fitted, note=level),
        Row("verapamil, human model beside rats, P-gp blocked over at work", "total brain over plasma", "1", _TARIQUIDAR[0],
            blocked / active, _TARIQUIDAR[1], fitted, note="tariquidar 15 mg/kg, rats (Bankstahl 2008): another species"),
        Row("verapamil, human model beside the rat, share of P-gp in transport out", "share", "%", share,
            100 * (1 - active / blocked), fitted=fitted, note="from the EC50 study"),
    )  # fmt: skip
    goals = (
        Goal("verapamil with cyclosporin: fold error", rows[1].fold, "within the published SD", rows[1].within_sd),
        Goal("verapamil, P-gp blocked over at work", rows[2].predicted, f"{rows[2].observed:.3g} +- {rows[2].sd:.2g} (rat)",
             rows[2].within_sd),
    )  # fmt: skip
    return Study("verapamil", "[11C]Verapamil PET with cyclosporin", "Blood in the study, plasma here; one Vmax per area.",
                 "Sasongko 2005 CPT 77:503", rows, goals)  # fmt: skip
