"""Report a simulation: who arrived, how fast, by which route, from which numbers, and whether the mass is right."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from krogh.io.run_folder import RunFolder, StoredPicture, finite
from krogh.report.page import Report, Section, Table
from krogh.report.values import Used
from krogh.units import format_quantity

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["describe", "exposure_table"]

_STATUS = "V read in the source, R recalled, C computed, A assumed, U given by the user"
#: Heading -> (variable, dimension) of the exposure table.
_EXPOSURE = {
    "Cmax free plasma": ("cmax_plasma_free", "concentration"),
    "at": ("tmax_plasma_s", "time"),
    "Cmax interstitium": ("cmax_interstitium", "concentration"),
    "at ": ("tmax_interstitium_s", "time"),
    "Cmax neuron": ("cmax_neuron", "concentration"),
    "Kp,uu of the run": ("kp_uu", ""),
    "Kp,uu steady": ("kp_uu_steady", ""),
    "half-time": ("half_time_s", "time"),
    "P barrier": ("permeability_m_s", "permeability"),
    "fu PS/F": ("ps_over_flow", ""),
}
_AUC_UM_H = 3600.0 * 1e-3  # mol s/m3 of one uM h


def describe(run: RunFolder, values: list[Used]) -> Report:
    """Return the report of a simulation."""
    from krogh.io.store import open_results

    data = open_results(run.path)
    names = [str(n) for n in data["compound"].values]
    given = [n for n in names if "(from " not in n]
    config = run.config
    title = f"{_listed(given)} across the blood-brain barrier"
    question = (
        f"Where do {_listed(given)} go, how fast, by which routes, and how much reaches the neurons? "
        f"{str(config.get('species', '')).capitalize()}, {config.get('geometry', 'slab')}, {config.get('duration', '')}."
    )
    sections = [
        Section("Exposure", tables=[exposure_table(data), _routes(data)]),
        Section("Pictures", pictures=run.pictures() or _drawn(data)),
        _inputs(run, values, data),
        _mass(data),
    ]
    return Report(title[:1].upper() + title[1:], question, [_sentence(data, n) for n in names], sections)


def _listed(names: list[str]) -> str:
    shown = names if len(names) <= 6 else [*names[:5], f"{len(names) - 5} more"]
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + " and " + shown[-1]


def _number(one: xr.Dataset, name: str) -> float | None:
    return finite(one[name].item()) if name in one else None


def _quantity(one: xr.Dataset, name: str, dimension: str) -> str:
    value = _number(one, name)
    if value is None or (dimension == "concentration" and value <= 0):
        return "–"
    return format_quantity(value, dimension) if dimension else f"{value:.2g}"


def _text(one: xr.Dataset, name: str) -> str:
    return str(one[name].item()) if name in one else ""


def _sentence(data: xr.Dataset, name: str) -> str:
    one = data.sel(compound=name)
    peak, when = _quantity(one, "cmax_interstitium", "concentration"), _quantity(one, "tmax_interstitium_s", "time")
    if peak == "–":
        return f"{name}: none reached the interstitium."
    text = f"{name} ({_text(one, 'dose')}): the interstitium peaks at {peak} free after {when}"
    ratio = _number(one, "kp_uu")
    text += f", Kp,uu {ratio:.2g}" if ratio is not None else ""
    entered = np.nan_to_num(one["route_inward"].values) if "route_inward" in one else np.zeros(0)
    if entered.sum() > 0:
        best = int(entered.argmax())
        text += f"; {100 * entered[best] / entered.sum():.0f} % came in by {one['route'].values[best]}"
    regime = _text(one, "regime")
    return text + (f"; {regime}." if regime and regime != "formed inside" else ".")


def exposure_table(data: xr.Dataset) -> Table:
    """Return peaks, areas and ratios, one row a compound; a dash where a quantity does not exist."""
    rows = []
    for name in data["compound"].values:
        one = data.sel(compound=name)
        areas = [_area(one, key) for key in ("auc_plasma_free", "auc_interstitium", "auc_neuron")]
        cells = [_quantity(one, *what) for what in _EXPOSURE.values()]
        rows.append([str(name), _text(one, "dose"), *cells[:5], *areas, *cells[5:], _text(one, "regime")])
    heads = [h.strip() for h in _EXPOSURE]
    areas_heads = [f"AUC {m} [uM h]" for m in ("free plasma", "interstitium", "neuron")]
    note = "Free (unbound) concentrations. AUC and Kp,uu over the run; 'steady' at a constant trace level."
    return Table(("compound", "dose", *heads[:5], *areas_heads, *heads[5:], "limited by"), rows, title="Exposure", note=note)


def _area(one: xr.Dataset, name: str) -> str:
    value = _number(one, name)
    return "–" if value is None else f"{value / _AUC_UM_H:.3g}"


def _routes(data: xr.Dataset) -> Table:
    rows = []
    for name in data["compound"].values if "route_inward" in data else ():
        one = data.sel(compound=name)
        ways = [np.nan_to_num(one[f"route_{way}"].values) for way in ("inward", "outward")]
        for i, route in enumerate(one["route"].values):
            if any(w[i] > 0 for w in ways):
                shares = [f"{w[i]:.3g} ({100 * w[i] / w.sum():.1f} %)" if w[i] > 0 else "–" for w in ways]
                rows.append([str(name), str(route), *shares])
    unit = str(data["route_inward"].attrs.get("units", "")) if "route_inward" in data else ""
    columns = ("compound", "route", f"in, blood to endothelium [{unit}]", f"out [{unit}]")
    return Table(columns, rows, title="Routes", note="What crossed the luminal face during the run.")


def _drawn(data: xr.Dataset) -> list[StoredPicture]:
    """Draw the pictures that a run with --no-pictures lacks."""
    import tempfile
    from pathlib import Path

    from krogh.plots.save import save_figures

    with tempfile.TemporaryDirectory() as scratch:
        paths = save_figures(data, Path(scratch), most_sections=8)
        from krogh.io.run_folder import RunFolder

        order = {p.name: i for i, p in enumerate(paths)}
        return sorted(RunFolder(Path(scratch), {}).pictures(), key=lambda p: order.get(p.name, 0))


def _inputs(run: RunFolder, values: list[Used], data: xr.Dataset) -> Section:
    config = run.config
    state = {
        "tight-junction leak over healthy": config.get("leak_factor", 1.0),
        "pericyte coverage": config.get("pericyte_coverage", 1.0),
        "plasma amino acids over fasting": config.get("amino_acids", 1.0),
        "pumps": ", ".join(f"{k} at {v}" for k, v in _pumps(config)) or "all at full activity",
    }
    rows = [["species", str(config.get("species", ""))], *([k, str(v)] for k, v in state.items())]
    tables = [Table(("what", "value"), rows, title="Barrier")]
    columns = ("of", "value", "number", "range", "status", "source")
    held = [[u.owner, u.key, u.shown, u.span, u.value.status, u.value.source] for u in values]
    tables += [Table(columns, held, title="Values with their sources", note=f"Status: {_STATUS}.", folded=True)] if held else []
    sentences = [f"{n}: {text}." for n in data["compound"].values if (text := _text(data.sel(compound=n), "notes"))]
    lost = [str(n) for n in data["compound"].values if "(from" not in str(n) and str(n) not in {u.owner for u in values}]
    if lost:
        sentences.append(f"Not from the library, so without sources here: {', '.join(lost)}. Their file is named below.")
    return Section("Inputs", sentences, tables)


def _pumps(config: Any) -> list[tuple[str, Any]]:
    efflux = config.get("efflux")
    return list(efflux.items()) if isinstance(efflux, dict) else []


def _mass(data: xr.Dataset) -> Section:
    def worst(name: str) -> float:
        values = np.asarray(data[name].values, float) if name in data else np.array([math.nan])
        return float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else math.nan

    rows = [
        ["worst step", f"{worst('mass_defect_step'):.1e}", "of what the step moved"],
        ["whole run", f"{worst('mass_defect_run'):.1e}", "of the throughput"],
        ["most negative concentration", f"{worst('most_negative'):.1e}", "of the largest"],
    ]
    text = (
        "What came in, minus what went out, minus what was changed, minus what is still there. Round-off is about 1e-16 a step."
    )
    return Section("Mass balance", [text], [Table(("check", "relative size", "of"), rows)])
