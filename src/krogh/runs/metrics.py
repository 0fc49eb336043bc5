"""Reduce a solution to the numbers that pharmacologists compare: AUC, Cmax, Kp, Kp,uu, extraction, routes, half-time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from krogh.barrier.crossing import barrier_permeability
from krogh.barrier.member import Member
from krogh.barrier.physiology import Physiology
from krogh.blood.exponentials import ExponentialBlood
from krogh.blood.pk import constant_terms, stack
from krogh.errors import ConvergenceError
from krogh.permeability import crone_renkin_extraction
from krogh.transport.block.problem import BlockSolution
from krogh.transport.integrate import integrate
from krogh.transport.linear import SOLVERS, LinearSolver
from krogh.transport.network.problem import NetworkSolution
from krogh.transport.newton import solve_stage
from krogh.transport.operator import Operator
from krogh.transport.path import path_graph
from krogh.transport.problem import Solution

__all__ = [
    "TISSUE",
    "AnySolution",
    "Metrics",
    "RouteShare",
    "compute_metrics",
    "tracer",
    "transport_regime",
    "uptake_permeability",
]

#: Media that make up the brain tissue.
TISSUE = ("end-feet", "interstitium", "neuron", "astrocyte")
#: The solution of any geometry.
AnySolution = Solution | BlockSolution | NetworkSolution
_TRACER_MOL_M3 = 1e-9
_LONG_STEP_S = 1e7
_MOST_LONG_STEPS = 1000
#: Times between the neighbours of the highest step, and then of the highest of these.
_NEAR_PEAK = (17, 17)


@dataclass(frozen=True, slots=True)
class RouteShare:
    """Hold how much crossed by one route from blood over the run, both ways [mol per m2 of barrier, or per capillary]."""

    route: str
    inward: float
    outward: float
    share_in: float
    share_out: float


@dataclass(frozen=True, slots=True)
class Metrics:
    """Hold the summary of one compound; concentrations in mol/m3, times in s, NaN where a quantity does not exist.

    Attributes
    ----------
    auc_plasma_total, auc_plasma_free, auc_interstitium, auc_neuron, auc_brain_total : float
        Time integrals over the run [mol s/m3], by the weights of the stepper.
    kp, kp_uu : float
        AUC ratios total brain / total plasma, free interstitium / free plasma over the run.
    kp_uu_steady : float
        The same ratio for a constant, vanishingly small plasma concentration.
    half_time_s : float
        Time for the interstitium to come half-way to that steady state.
    extraction : float
        Share of the inflowing drug that did not leave with the blood (cylinder only).
    extraction_crone_renkin : float
        1 - exp(-fu PS/F) for the barrier's permeability.
    ps_over_flow : float
        fu PS / F: above 1 the flow limits, below 0.1 the barrier does.
    """

    label: str
    auc_plasma_total: float
    auc_plasma_free: float
    auc_interstitium: float
    auc_neuron: float
    auc_brain_total: float
    cmax_plasma_free: float
    tmax_plasma_s: float
    cmax_interstitium: float
    tmax_interstitium_s: float
    cmax_neuron: float
    kp: float
    kp_uu: float
    kp_uu_steady: float
    half_time_s: float
    permeability_m_s: float
    ps_over_flow: float
    regime: str
    extraction: float
    extraction_crone_renkin: float
    routes: tuple[RouteShare, ...]
    mass_defect_step: float
    mass_defect_run: float
    most_negative: float


def tracer(members: Sequence[Member], index: int) -> tuple[float, float]:
    """Return (Kp,uu, half-time [s]) of species `index` for a constant, tiny free plasma concentration, in the slab.

    The steady state comes from a few very long implicit steps; the half-time comes from a run towards it.
    """
    from krogh.barrier.assemble import assemble
    from krogh.transport.mesh import layered_mesh

    alone = [members[index]]
    barrier = assemble([alone])
    operator = Operator(path_graph(barrier, layered_mesh(barrier.layers, 64)))
    solver = SOLVERS["chain"](operator)
    blood = np.full((1, 1), _TRACER_MOL_M3)
    zero = np.zeros(operator.graph.shape)
    steady = _steady_state(operator, solver, zero, blood)
    nodes = operator.graph.media["interstitium"]
    weight = operator.graph.capacity[0, 0, nodes] / operator.graph.capacity[0, 0, nodes].sum()
    level = float(steady[0, 0, nodes] @ weight)
    if not level > 0:
        return float("nan"), float("nan")
    source: ExponentialBlood = stack([[constant_terms(_TRACER_MOL_M3)]])
    inflow = float(
        operator.ledger(zero, blood)[0, 0, [i for i, (n, _) in enumerate(operator.ledger_names) if n.startswith("in:")]].sum()
    )
    amount = float((operator.graph.capacity * steady).sum())
    guess = max(amount / max(inflow, 1e-300), 1e-3)
    for horizon in 30 * guess * 10.0 ** np.arange(6):  # diffusion behind an open barrier takes longer than the first inflow tells
        march = integrate(operator, source, float(horizon), rtol=1e-4, reduce=lambda u: u[..., nodes] @ weight)
        curve = np.array(march.u)[:, 0, 0]
        after = int(np.argmax(curve >= 0.5 * level))
        if curve[after] >= 0.5 * level and after > 0:
            break
    else:
        return level / _TRACER_MOL_M3, float("nan")
    t = np.array(march.t_s)
    part = (0.5 * level - curve[after - 1]) / (curve[after] - curve[after - 1])
    return level / _TRACER_MOL_M3, float(t[after - 1] + part * (t[after] - t[after - 1]))


def _steady_state(operator: Operator, solver: LinearSolver, u: np.ndarray, blood: np.ndarray) -> np.ndarray:
    """Return the steady state (1, 1, N) by implicit steps of four months, until nothing changes.

    One endless step would leave closed compartments undetermined; these stay as they are.

    Raises
    ------
    ConvergenceError
        If it does not settle within centuries.
    """
    capacity = operator.graph.capacity
    for _ in range(_MOST_LONG_STEPS):
        stage = solve_stage(operator, solver, _LONG_STEP_S, capacity * u, u, blood)
        change = float(np.abs(stage.u - u).max())
        u = stage.u
        if not stage.converged:
            break
        if change <= 1e-10 * float(np.abs(u).max()):
            return u
    raise ConvergenceError("steady state", got="none found", hint="check the kinetics of the routes")


def compute_metrics(
    members: Sequence[Member], solution: AnySolution, physiology: Physiology, *, uniform: bool = True
) -> tuple[Metrics, ...]:
    """Return the metrics of every species of one problem; the steady Kp,uu and the half-time only of a `uniform` barrier."""
    return tuple(_one(members, s, solution, physiology, uniform) for s in range(len(members)))


def _ratio(top: float, bottom: float) -> float:
    return top / bottom if bottom > 0 else float("nan")


def _one(members: Sequence[Member], s: int, solution: AnySolution, physiology: Physiology, uniform: bool) -> Metrics:
    member, march = members[s], solution.march
    source = solution.problem.blood
    total_auc = float(source.auc_total(solution.problem.t_end_s)[0, s])  # type: ignore[attr-defined]
    free_auc = float(source.fu[0, s]) * total_auc  # type: ignore[attr-defined]
    grid = _fine_grid(solution)
    plasma = np.array([source.free(t)[0, s] for t in grid])
    (cmax, tmax), (cmax_neuron, _) = (_peak(solution, medium, s) for medium in ("interstitium", "neuron"))
    auc = solution.auc
    brain = float(solution.amount(TISSUE, auc)[0, s] / solution.tissue_volume)
    isf, neuron = (float(solution.medium(m, auc)[0, s]) for m in ("interstitium", "neuron"))
    kp_uu, half = tracer(members, s) if uniform else (float("nan"), float("nan"))
    p = uptake_permeability(member)
    flow = physiology.blood_flow_m3_s_kg.value * member.state.flow_factor
    ps = p * physiology.barrier_area_m2_kg.value
    fu = float(source.fu[0, s])  # type: ignore[attr-defined]
    regime = transport_regime(fu * ps / flow) if free_auc > 0 else "formed inside"
    return Metrics(
        label=member.compound.name, auc_plasma_total=total_auc, auc_plasma_free=free_auc, auc_interstitium=isf, auc_neuron=neuron,
        auc_brain_total=brain, cmax_plasma_free=float(plasma.max()), tmax_plasma_s=float(grid[plasma.argmax()]),
        cmax_interstitium=cmax, tmax_interstitium_s=tmax, cmax_neuron=cmax_neuron,
        kp=_ratio(brain, total_auc), kp_uu=_ratio(isf, free_auc), kp_uu_steady=kp_uu, half_time_s=half,
        permeability_m_s=p, ps_over_flow=fu * ps / flow, regime=regime,
        extraction=_extraction(solution, s), extraction_crone_renkin=crone_renkin_extraction(ps, flow, fu),
        routes=_routes(solution, s), mass_defect_step=march.worst_defect, mass_defect_run=solution.mass_defect,
        most_negative=march.most_negative,
    )  # fmt: skip


def _peak(solution: AnySolution, medium: str, s: int) -> tuple[float, float]:
    """Return the highest mean concentration in a medium and its time; both lie between steps as a rule."""
    t, curve = solution.t_s, solution.medium(medium, np.array(solution.march.u))[:, 0, s]
    for points in _NEAR_PEAK:
        top = int(curve.argmax())
        t = np.linspace(t[max(top - 1, 0)], t[min(top + 1, t.size - 1)], points)
        curve = solution.medium(medium, solution.sample(t))[:, 0, s]
    return float(curve.max()), float(t[curve.argmax()])


def _fine_grid(solution: AnySolution) -> np.ndarray:
    """Return the steps with their midpoints: plasma peaks may lie between steps."""
    t = solution.t_s
    return np.unique(np.concatenate([t, np.linspace(0, t[-1], 2001), 0.5 * (t[1:] + t[:-1])]))


def uptake_permeability(member: Member) -> float:
    """Return the barrier's initial uptake permeability at low concentration: passive, leak and carriers [m/s]."""
    c = member.crossing
    leak = c.paracellular_m_s * member.state.total_leak
    p = barrier_permeability(
        c.membrane_m_s, leak, c.permeant_cell, c.permeant_interstitium, c.diffusivity_m2_s, member.physiology
    )
    for t in member.carriers:
        if t.vmax_mol_m2_s and t.km_mol_m3:
            crowd = member.state.amino_acids * sum(v.value for v in t.competitors.values())
            p += t.vmax_mol_m2_s.value / t.km_mol_m3.value / (1 + crowd)
    return p


def transport_regime(ratio: float) -> str:
    """Return what limits uptake from fu PS over blood flow."""
    if ratio > 1:
        return "flow-limited"
    return "mixed" if ratio > 0.1 else "permeability-limited"


def _extraction(solution: AnySolution, s: int) -> float:
    if not solution.ledger("in:blood flow")[-1, 0, s] > 0:
        return float("nan")
    inflow, outflow = (float(solution.ledger(f"{way}:blood flow")[-1, 0, s]) for way in ("in", "out"))
    return _ratio(inflow - outflow, inflow)


def _routes(solution: AnySolution, s: int) -> tuple[RouteShare, ...]:
    names = [n[3:] for n, _ in solution.ledger_names if n.startswith("in:") and n.endswith(("@luminal", "@blood-brain"))]
    flows = [(n, float(solution.ledger(f"in:{n}")[-1, 0, s]), float(solution.ledger(f"out:{n}")[-1, 0, s])) for n in names]
    total_in, total_out = sum(f[1] for f in flows), sum(f[2] for f in flows)
    return tuple(
        RouteShare(n.split("@")[0], i, o, _ratio(i, total_in), _ratio(o, total_out)) for n, i, o in flows if i > 0 or o > 0
    )
