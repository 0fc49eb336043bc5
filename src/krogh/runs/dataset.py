"""Label a run's results: one xarray Dataset with units on every variable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from krogh.barrier.model import Barrier
from krogh.runs.metrics import TISSUE, AnySolution
from krogh.runs.simulate import GroupResult
from krogh.transport.block.problem import BlockProblem, BlockSolution
from krogh.transport.network.problem import NetworkProblem, NetworkSolution
from krogh.transport.problem import Problem
from krogh.units import format_quantity

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["barrier_of", "build_dataset", "output_times"]

AnyProblem = Problem | BlockProblem | NetworkProblem
_MEDIA = ("endothelium", "basement membrane", "end-feet", "interstitium", "neuron", "astrocyte")
_SCALARS = {
    "auc_plasma_total": ("mol s m-3", "area under total plasma concentration"),
    "auc_plasma_free": ("mol s m-3", "area under free plasma concentration"),
    "auc_interstitium": ("mol s m-3", "area under free interstitial concentration"),
    "auc_neuron": ("mol s m-3", "area under free concentration in neurons"),
    "auc_brain_total": ("mol s m-3", "area under total brain concentration"),
    "cmax_plasma_free": ("mol m-3", "peak of free plasma concentration"),
    "tmax_plasma_s": ("s", "time of that peak"),
    "cmax_interstitium": ("mol m-3", "peak of free interstitial concentration"),
    "tmax_interstitium_s": ("s", "time of that peak"),
    "cmax_neuron": ("mol m-3", "peak of free concentration in neurons"),
    "kp": ("1", "AUC total brain / AUC total plasma over the run"),
    "kp_uu": ("1", "AUC free interstitium / AUC free plasma over the run"),
    "kp_uu_steady": ("1", "free interstitium / free plasma at steady state, tracer level"),
    "half_time_s": ("s", "time to half of that steady state"),
    "permeability_m_s": ("m s-1", "initial uptake permeability of the barrier for free drug"),
    "ps_over_flow": ("1", "fu PS / blood flow"),
    "extraction": ("1", "share of the inflowing drug that stayed (cylinder)"),
    "extraction_crone_renkin": ("1", "1 - exp(-fu PS / F)"),
    "mass_defect_step": ("1", "worst relative mass defect of one step"),
    "mass_defect_run": ("1", "relative mass defect of the whole run"),
    "most_negative": ("1", "most negative concentration over the largest"),
}

_TISSUE = (
    ("diffusivity", "1", "diffusivity over that of the layer"),
    ("storage", "1", "capacity (volume fraction over unbound fraction) over that of the layer"),
    ("uptake", "s-1", "first-order uptake beyond that of the layer"),
)


def output_times(duration_s: float, events_s: np.ndarray, *, uniform: int = 241, after_event: int = 24) -> np.ndarray:
    """Return the times of the results [s]: evenly spaced, and closer after every dose."""
    fine = [np.geomspace(1e-3, min(duration_s, 3600.0), after_event) + e for e in (0.0, *events_s)]
    times = np.unique(np.concatenate([np.linspace(0.0, duration_s, uniform), *fine]))
    return times[times <= duration_s]


def build_dataset(results: Sequence[GroupResult], attrs: dict[str, Any] | None = None) -> xr.Dataset:
    """Return the results of all compounds on one time axis.

    Dimensions: ``compound``, ``time`` [s], ``x`` (path from the luminal face to the far side of the tissue [m]), ``z`` (along the
    capillary [m], cylinder only), ``route``. Concentrations are free, in mol/m3 (= mM), unless the name says ``total``.
    """
    import xarray as xr

    first = results[0].solution
    # many doses would ask for many points: keep the grid bounded
    events = np.unique(np.concatenate([r.solution.problem.blood.events(first.problem.t_end_s) for r in results]))
    times = output_times(first.problem.t_end_s, events[:: max(1, events.size // 24)])
    parts = [_one(r, times, s) for r in results for s in range(len(r.case.labels))]
    data = xr.concat(parts, dim="compound", join="outer", fill_value=np.nan)
    data.attrs.update({k: v for k, v in (attrs or {}).items() if v is not None})
    mesh, layers = first.problem.mesh, barrier_of(first.problem).layers
    data["layer"] = ("x", np.array([layers[i].name for i in mesh.layer]), {"long_name": "layer of each cell"})
    data["cell_width"] = ("x", mesh.width_m, {"units": "m", "long_name": "width of each cell"})
    data["time"].attrs.update(units="s", long_name="time since the first dose")
    data["x"].attrs.update(units="m", long_name="depth from the luminal face")
    words = {"z": "distance from the arterial end"} if "y" not in data else {"y": "along the barrier", "z": "along the barrier"}
    for name, text in words.items():
        if name in data:
            data[name].attrs.update(units="m", long_name=text)
    if "frame" in data:
        data["frame"].attrs.update(units="s", long_name="time of each whole field")
    return data


def _one(result: GroupResult, times: np.ndarray, s: int) -> xr.Dataset:
    import xarray as xr

    solution, metrics, label = result.solution, result.metrics[s], result.case.labels[s]
    u = solution.sample(times)
    source = solution.problem.blood
    free = np.array([source.free(t)[0, s] for t in times])
    fu = float(source.fu[0, s])  # type: ignore[attr-defined]
    x = solution.problem.mesh.center_m - lumen_m(solution.problem)
    variables: dict[str, Any] = {
        "plasma_free": ("time", free, {"units": "mol m-3", "long_name": "free concentration in arterial plasma"}),
        "plasma_total": ("time", free / fu, {"units": "mol m-3", "long_name": "total concentration in arterial plasma"}),
    }
    for medium in _MEDIA:
        curve = solution.medium(medium, u)[:, 0, s]
        name = medium.replace(" ", "_").replace("-", "")
        variables[name] = ("time", curve, {"units": "mol m-3", "long_name": f"mean free concentration in {medium}"})
    variables["brain_total"] = (
        "time",
        _brain_total(solution, u, s),
        {"units": "mol m-3", "long_name": "total amount per volume of brain"},
    )
    coords: dict[str, Any] = {"time": times, "x": x}
    variables |= _space(solution, u, s, coords)
    coords["route"] = [r.route for r in metrics.routes]
    for way in ("inward", "outward"):
        values = [getattr(r, way) for r in metrics.routes]
        per_area = solution.problem.capillary is None and not isinstance(solution, NetworkSolution)
        unit = "mol m-2" if per_area else "mol"
        variables[f"route_{way}"] = ("route", values, {"units": unit, "long_name": f"amount that crossed {way} by each route"})
    for key, (unit, text) in _SCALARS.items():
        variables[key] = ((), float(getattr(metrics, key)), {"units": unit, "long_name": text})
    data = xr.Dataset(variables, coords=coords)
    dose = result.case.doses[s]
    texts = {
        "dose": dose.describe() if dose else ("measured plasma curve" if s == 0 and "from" not in label else "formed inside"),
        "regime": metrics.regime,
        "solver": solution.solver,
        "notes": "; ".join(result.case.members[s].notes),
        "sources": _sources(result, s),
    }
    for key, text in texts.items():
        data[key] = ((), np.array(text, dtype=object))
    return data.expand_dims(compound=[label])


def _space(solution: Any, u: np.ndarray, s: int, coords: dict[str, Any]) -> dict[str, Any]:
    """Return the concentration over space: (time, x) in the slab, (time, x, z) and blood (time, z) in the cylinder."""
    attrs = {"units": "mol m-3", "long_name": "free concentration along the path"}
    if isinstance(solution, BlockSolution):
        return _block(solution, u, s, coords, attrs)
    if isinstance(solution, NetworkSolution):
        return _network(solution, u, s, coords, attrs)
    layout = solution.operator.graph.layout
    if solution.problem.capillary is None:
        return {"profile": (("time", "x"), u[:, 0, s][:, layout["cell_node"]], attrs)}
    n_z, dz = layout["n_z"], layout["dz_m"]
    coords["z"] = (np.arange(n_z) + 0.5) * dz
    index = n_z * (1 + layout["cell_node"][:, None]) + np.arange(n_z)
    return {
        "profile": (("time", "x", "z"), u[:, 0, s][:, index], attrs),
        "blood": (("time", "z"), u[:, 0, s, :n_z], {"units": "mol m-3", "long_name": "free concentration in capillary plasma"}),
    }


def _block(solution: BlockSolution, u: np.ndarray, s: int, coords: dict[str, Any], attrs: dict[str, str]) -> dict[str, Any]:
    """Return the mean profile (time, x), whole fields (frame, x, y, z) and the maps on the routes (y, z)."""
    problem = solution.problem
    coords |= {"y": problem.y.center_m, "z": problem.z.center_m, "frame": problem.frames_s}
    cells = solution.cell_nodes
    found: dict[str, Any] = {
        "profile": (("time", "x"), u[:, 0, s][:, cells], attrs | {"long_name": "mean free concentration over (y, z)"}),
        "field": (("frame", "x", "y", "z"), solution.fields[:, s, cells], attrs | {"long_name": "free concentration"}),
    }
    for route, density in problem.densities.items():
        text = f"density of {route} over the uniform barrier's"
        found[f"density_{route}"] = (("y", "z"), density, {"units": "1", "long_name": text})
    if problem.tissue is not None:
        grid = (cells.size, problem.y.size, problem.z.size)
        for name, unit, text in _TISSUE:
            values = getattr(problem.tissue, name)[s].astype(np.float32).reshape(grid)
            if np.any(values != (unit == "1")):
                found[f"tissue_{name}"] = (("x", "y", "z"), values, {"units": unit, "long_name": text})
    return found


def _network(solution: NetworkSolution, u: np.ndarray, s: int, coords: dict[str, Any], attrs: dict[str, str]) -> dict[str, Any]:
    """Return layer means (time, x), the tissue (frame, box_x, box_y, box_z), and every segment's blood and geometry."""
    problem = solution.problem
    box, flow = problem.tissue, problem.flow
    for axis, name in enumerate(("box_x", "box_y", "box_z")):
        coords[name] = box.origin_m[axis] + (np.arange(box.shape[axis]) + 0.5) * box.spacing_m
    coords |= {"frame": problem.frames_s, "axis": ["x", "y", "z"]}
    ends = flow.vessels.points_m[flow.vessels.ends]
    return {
        "profile": (
            ("time", "x"),
            u[:, 0, s][:, solution.cell_nodes],
            attrs | {"long_name": "mean free concentration of layers"},
        ),
        "tissue": (("frame", "box_x", "box_y", "box_z"), solution.tissue[:, s], attrs | {"long_name": "free in the tissue"}),
        "segment_blood": (("frame", "segment"), solution.blood[:, s], attrs | {"long_name": "free in plasma of a segment"}),
        "segment_start": (("segment", "axis"), ends[:, 0], {"units": "m", "long_name": "upstream end of each segment"}),
        "segment_end": (("segment", "axis"), ends[:, 1], {"units": "m", "long_name": "downstream end of each segment"}),
        "segment_radius": ("segment", flow.vessels.radius_m, {"units": "m", "long_name": "inner radius"}),
        "segment_flow": ("segment", flow.flow_m3_s, {"units": "m3 s-1", "long_name": "blood flow"}),
    }


def barrier_of(problem: AnyProblem) -> Barrier:
    """Return the barrier of a problem, with the lumen of a block in front."""
    return problem.whole if isinstance(problem, BlockProblem) else problem.barrier


def lumen_m(problem: AnyProblem) -> float:
    """Return how much blood lies in front of the wall [m]: depths start at the wall."""
    return problem.lumen.thickness_m if isinstance(problem, BlockProblem) and problem.lumen is not None else 0.0


def _brain_total(solution: AnySolution, u: np.ndarray, s: int) -> np.ndarray:
    return solution.amount(TISSUE, u)[:, 0, s] / solution.tissue_volume


def _sources(result: GroupResult, s: int) -> str:
    """Return where the decisive numbers come from, with the status letter of each."""
    member = result.case.members[s]
    compound, species = member.compound, result.case.physiology.species
    lines = []
    if member.measured is not None:
        p = member.measured.p_m_s
        value = format_quantity(p.value, "permeability")
        lines.append(f"permeability {value} {member.measured.basis} [{p.status}] {member.measured.method}")
    for key, table in (("fu_plasma", compound.fu_plasma), ("fu_brain", compound.fu_brain)):
        if species in table:
            lines.append(f"{key} {table[species].value:g} [{table[species].status}]")
    if species in compound.vu_brain_m3_kg:
        v = compound.vu_brain_m3_kg[species]
        lines.append(f"Vu,brain {v.value * 1e3:g} mL/g [{v.status}]")
    return "; ".join(lines)
