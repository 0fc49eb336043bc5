"""Run compounds across the barrier: settings in, one labelled data set out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from krogh.barrier.assemble import assemble
from krogh.barrier.member import Member, prepare
from krogh.barrier.physiology import Physiology, get_physiology, with_physiology
from krogh.barrier.state import BarrierState
from krogh.blood.curve import CurveBlood, check_curve
from krogh.blood.dose import Dose, parse_dose
from krogh.blood.pk import Terms, constant_terms, dose_terms, stack
from krogh.compounds import Compound, get_compound, with_values
from krogh.errors import InputError, UsageError
from krogh.runs.block import block_problem
from krogh.runs.config import SimulateConfig
from krogh.runs.metrics import AnySolution, Metrics, compute_metrics
from krogh.runs.network import describe_network, network_problem
from krogh.runs.typical import typical_dose
from krogh.transport.block.device.place import Place
from krogh.transport.block.problem import BlockProblem, solve_block
from krogh.transport.cylinder import Capillary
from krogh.transport.march import BloodSource
from krogh.transport.network.problem import NetworkProblem, solve_network
from krogh.transport.network.vessels import Vessels
from krogh.transport.problem import Problem, solve
from krogh.units import parse_quantity

__all__ = ["Case", "GroupResult", "capillary_of", "check_place", "check_solver", "plan", "run_case"]


@dataclass(frozen=True)
class Case:
    """Hold one problem ready to be solved: its members, its blood and the words that describe it."""

    labels: tuple[str, ...]
    members: tuple[Member, ...]
    doses: tuple[Dose | None, ...]
    problem: Problem | BlockProblem | NetworkProblem
    physiology: Physiology
    state: BarrierState


@dataclass(frozen=True)
class GroupResult:
    """Hold the solution of one case and its metrics, one per species."""

    case: Case
    solution: AnySolution
    metrics: tuple[Metrics, ...]


def _compound(name: str, config: SimulateConfig, own: Mapping[str, Compound]) -> Compound:
    held = own.get(name.lower())
    compound = held if held is not None else get_compound(name)
    given = {k.lower(): v for k, v in config.compound.items()}
    values = given.get(compound.name.lower(), given.get(name.lower()))
    return with_values(compound, values) if values else compound


def _with_products(compound: Compound, config: SimulateConfig, own: Mapping[str, Compound]) -> list[Compound]:
    """Return the compound and what is formed from it, as far as the library knows."""
    found = [compound]
    for step in found:
        for x in step.metabolism:
            if x.product and x.product.lower() not in {c.name.lower() for c in found}:
                found.append(_compound(x.product, config, own))
    return found


def _dose(compound: Compound, config: SimulateConfig) -> Dose:
    given = config.dose
    if isinstance(given, dict):
        table = {k.lower(): v for k, v in given.items()}
        given = table.get(compound.name.lower())
    return parse_dose(given) if given is not None else typical_dose(compound, config.species)


def capillary_of(physiology: Physiology, state: BarrierState) -> Capillary:
    """Return the vessel whose wall area and flow agree with the blood flow and barrier area per mass of brain.

    ``L = (pi r^2 v / F) S / (2 pi r)``: the tissue that one capillary's flow serves has that much barrier.
    """
    r, v = physiology.capillary_radius_m.value, physiology.capillary_velocity_m_s.value * state.flow_factor
    served_kg = np.pi * r**2 * v / (physiology.blood_flow_m3_s_kg.value * state.flow_factor)
    return Capillary(r, float(served_kg * physiology.barrier_area_m2_kg.value / (2 * np.pi * r)), v)


def plan(
    config: SimulateConfig,
    *,
    own: Mapping[str, Compound] | None = None,
    plasma: tuple[np.ndarray, np.ndarray] | None = None,
    maps: Mapping[str, np.ndarray] | None = None,
    vessels: Vessels | None = None,
) -> list[Case]:
    """Return the cases of a run, checked and ready, without solving anything.

    Parameters
    ----------
    config : SimulateConfig
        The settings.
    own : mapping of str to Compound, optional
        The user's compounds by lower-case name; they go before the library's.
    plasma : (t_s, total_mol_m3), optional
        A measured plasma curve in place of a dose; for one compound.
    maps : mapping of str to array, optional
        Pictures, maps and volumes that a block names, by file name; see :func:`krogh.io.map_file.read_maps`.
    vessels : Vessels, optional
        The capillaries of ``geometry = "network"``; see :func:`krogh.io.network_file.read_network`.

    Raises
    ------
    InputError
        If anything that the run needs is unknown, blank or out of range.
    """
    own = own or {}
    state = BarrierState(
        config.leak_factor, config.pericyte_coverage, config.efflux, config.amino_acids, config.volumetric_efflux
    )
    physiology = with_physiology(get_physiology(config.species), config.physiology)
    main = [_compound(name, config, own) for name in config.compounds]
    seen: set[str] = set()
    for c in main:
        if c.name.lower() in seen:
            raise InputError("compounds", got=f"'{c.name}' twice", expected="each once")
        seen.add(c.name.lower())
    unknown = [k for k in config.compound if k.lower() not in seen | {n.lower() for n in config.compounds}]
    formed = {x.name.lower() for c in main for x in _with_products(c, config, own)}
    if any(k.lower() not in formed for k in unknown):
        raise InputError("compound settings", got=f"'{unknown[0]}'", expected="one of " + ", ".join(config.compounds))
    if plasma is not None and len(main) != 1:
        raise InputError("plasma curve", got=f"{len(main)} compounds", expected="one compound with a measured curve")
    groups = [main] if config.together else [[c] for c in main]
    return [_case(group, config, own, physiology, state, plasma, maps or {}, vessels) for group in groups]


def _case(
    given: Sequence[Compound],
    config: SimulateConfig,
    own: Mapping[str, Compound],
    physiology: Physiology,
    state: BarrierState,
    plasma: tuple[np.ndarray, np.ndarray] | None,
    maps: Mapping[str, np.ndarray],
    vessels: Vessels | None,
) -> Case:
    chains = [_with_products(c, config, own) for c in given]
    extra = {c.name: (c, chain[0].name) for chain in chains for c in chain[1:] if c.name not in {g.name for g in given}}
    everything = [*given, *(c for c, _ in extra.values())]
    labels = tuple([c.name for c in given] + [f"{c.name} (from {origin})" for c, origin in extra.values()])
    members = tuple(prepare(c, physiology, state, method=config.permeability_method if c in given else None) for c in everything)
    duration = parse_quantity(config.duration, "time", where="duration")
    doses: list[Dose | None] = [None] * len(everything)
    blood: BloodSource
    if plasma is not None:
        check_curve(*plasma, "plasma curve")
        fu = [given[0].need("fu_plasma", config.species).value] + [1.0] * (len(everything) - 1)
        blood = CurveBlood(*plasma, np.array([fu]))
    else:
        terms: list[Terms] = []
        for i, compound in enumerate(everything):
            doses[i] = _dose(compound, config) if i < len(given) else None
            dose = doses[i]
            terms.append(dose_terms(compound, dose, config.species) if dose is not None else constant_terms(0.0))
        blood = stack([terms])
    barrier = assemble([members], radial=config.geometry in ("cylinder", "network"))
    capillary = capillary_of(physiology, state)
    problem: Problem | BlockProblem | NetworkProblem
    if config.geometry == "block":
        problem = block_problem(config.block, barrier, blood, duration, members, capillary, maps)
    elif config.geometry == "network":
        problem = network_problem(config.network, barrier, blood, duration, vessels)
        members = (replace(members[0], notes=(*members[0].notes, describe_network(problem.flow))), *members[1:])
    else:
        problem = Problem(
            barrier, blood, duration, capillary=capillary if config.geometry == "cylinder" else None,
            fu_plasma=getattr(blood, "fu", 1.0), cells=config.cells, cells_along=config.cells_along,
        )  # fmt: skip
    return Case(labels, members, tuple(doses), problem, physiology, state)


def check_place(place: Place | None, config: SimulateConfig) -> None:
    """Refuse a torch device for what has no code there, before any work.

    Raises
    ------
    UsageError
        If this is neither a block by finite volumes nor a slab by networks.
    """
    if place is None or (config.geometry, config.solver) in (("block", "fv"), ("slab", "pinn")):
        return
    got = f"{place.name} with geometry {config.geometry}, solver {config.solver}"
    expected = "a block (--geometry block), or a slab by networks (--solver pinn)"
    raise UsageError("--device", got=got, expected=expected, hint="the others run on the processor: use --device cpu")


def check_solver(case: Case, config: SimulateConfig) -> None:
    """Refuse what the networks are not made for, before any work.

    Raises
    ------
    InputError
        See :func:`krogh.pinn.support.check_supported`.
    """
    if config.solver == "pinn":
        from krogh.pinn.support import check_supported

        check_supported(case.problem, config.pinn_method)


def run_case(
    case: Case,
    config: SimulateConfig,
    *,
    progress: Callable[[float], None] | None = None,
    place: Place | None = None,
    tell: Callable[[Any], None] | None = None,
    keep: Any = None,
) -> GroupResult:
    """Solve one case and compute its metrics; a block, or a slab by networks, on a torch device where `place` names one.

    `tell` and `keep` are those of :func:`krogh.pinn.solve`.

    Raises
    ------
    InputError, ConvergenceError
        See :func:`krogh.transport.problem.solve` and :func:`krogh.pinn.solve`.
    """
    check_place(place, config)
    check_solver(case, config)
    if config.solver == "pinn":
        from krogh import pinn

        assert not isinstance(case.problem, NetworkProblem)
        networks = pinn.solve(
            case.problem, method=config.pinn_method, tol=config.tol, seed=config.seed, progress=progress, tell=tell, keep=keep,
            device=place.device if place else "cpu", precision="mixed" if place and place.precision == "float32" else "float64",
        )  # fmt: skip
        uniform = not isinstance(case.problem, BlockProblem) or not case.problem.densities
        return GroupResult(case, networks, compute_metrics(case.members, networks, case.physiology, uniform=uniform))
    step = parse_quantity(config.step, "time", where="step") if config.step is not None else None
    settings: dict[str, Any] = {"method": config.method, "step_s": step, "rtol": config.rtol, "progress": progress}
    solution: AnySolution
    if isinstance(case.problem, BlockProblem):
        solution = solve_block(case.problem, **settings, place=place)
        uniform = not case.problem.densities and case.problem.tissue is None
    elif isinstance(case.problem, NetworkProblem):
        solution, uniform = solve_network(case.problem, **settings), True
    else:
        solution, uniform = solve(case.problem, **settings), True
    return GroupResult(case, solution, compute_metrics(case.members, solution, case.physiology, uniform=uniform))
