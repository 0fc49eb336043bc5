"""Screen molecules: structure to permeability to brain exposure, many at a time; a molecule that cannot be run says why."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from krogh.barrier.member import Member, prepare
from krogh.barrier.physiology import get_physiology
from krogh.barrier.state import BarrierState
from krogh.blood.dose import parse_dose
from krogh.blood.pk import Terms, dose_terms, stack
from krogh.compounds import Compound, get_compound, with_values
from krogh.compounds.compound import Value
from krogh.compounds.predict.penetration import predict_penetration
from krogh.compounds.predict.permeability import predict_intrinsic
from krogh.compounds.predict.summary import Molecule, read_molecule
from krogh.compounds.ranges import with_numbers
from krogh.errors import InputError, KroghError
from krogh.runs.batch import BatchResult, simulate_batch
from krogh.runs.metrics import transport_regime, uptake_permeability

__all__ = ["INTERVALS", "Entry", "ScreenChunk", "ScreenSettings", "screen_chunk"]

#: Results that get the 90 % interval which comes from that of the permeability.
INTERVALS = ("kp_uu", "auc_interstitium_uM_min", "time_to_half_of_peak_min")

_TOGETHER = 64  # problems that share their steps: on so few cells, what a step costs by itself counts most
_SPAN_RTOL = 3e-3  # an interval of decades needs no more; areas are far better than single values
_LONGEST_S = 30 * 86400.0


@dataclass(frozen=True, slots=True)
class Entry:
    """Hold one row of the user's table, as text; a row that could not be read holds why in `fault`."""

    row: int
    name: str
    molecule: str
    logp: str = ""
    pka_acid: str = ""
    pka_base: str = ""
    fu_brain: str = ""
    fault: str = ""


@dataclass(frozen=True, slots=True)
class ScreenSettings:
    """Hold what is the same for all molecules.

    Attributes
    ----------
    species, dose, duration_s
        As in ``krogh simulate``.
    plasma_of : str
        Library compound whose plasma kinetics serve for every molecule, or empty with a constant free concentration.
    fu_brain : float
        Unbound fraction in brain where a row gives none: an assumption, and marked as one.
    cells : int
        Cells across the layers.
    """

    species: str
    dose: str
    duration_s: float
    plasma_of: str = ""
    fu_brain: float = 1.0
    cells: int = 40

    def check(self) -> Terms:
        """Return the plasma curve of every molecule.

        Raises
        ------
        InputError
            If the dose, the species or the compound that lends its kinetics is unusable.
        """
        get_physiology(self.species)
        if not 0 < self.duration_s <= _LONGEST_S:
            raise InputError("duration", got=f"{self.duration_s:g} s", expected="more than 0 and at most 30 days")
        dose = parse_dose(self.dose)
        if dose.route != "constant" and not self.plasma_of:
            raise InputError("--dose", got=f"'{self.dose}' without plasma kinetics",
                             hint="--plasma-of NAME lends those of a library compound; or --dose '1 uM constant'")  # fmt: skip
        return dose_terms(get_compound(self.plasma_of or "caffeine"), dose, self.species)


@dataclass(frozen=True, slots=True)
class ScreenChunk:
    """Hold the rows that are done together."""

    entries: tuple[Entry, ...]
    settings: ScreenSettings


@dataclass(frozen=True, slots=True)
class _Ready:
    entry: Entry
    molecule: Molecule
    assumed: tuple[str, ...]


def screen_chunk(chunk: ScreenChunk) -> tuple[bytes, int]:
    """Return the records of a chunk as JSON lines in a list, in row order, and how many molecules failed."""
    records: dict[int, dict[str, Any]] = {}
    ready = []
    for entry in chunk.entries:
        try:
            ready.append(_read(entry, chunk.settings))
        except KroghError as error:
            records[entry.row] = _reject(entry, error)
    for record in _predict(ready, chunk.settings):
        records[record["row"]] = record
    ordered = [records[e.row] for e in chunk.entries]
    content = json.dumps(ordered, allow_nan=False, separators=(",", ":")).encode()
    return content, sum("reason" in r for r in ordered)


def _reject(entry: Entry, error: KroghError) -> dict[str, Any]:
    return {"row": entry.row, "name": entry.name[:200], "molecule": entry.molecule[:200], "reason": str(error)}


def _number(text: str, key: str) -> float | None:
    if not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not math.isfinite(value):
        raise InputError(key, got=repr(text[:40]), expected="a number, or nothing")
    return value


def _read(entry: Entry, settings: ScreenSettings) -> _Ready:
    if entry.fault:
        raise InputError("row", got=entry.fault)
    if not entry.molecule.strip():
        raise InputError("molecule", got="nothing", expected="a SMILES or a name of the library")
    molecule = read_molecule(entry.molecule.strip(), logp=_number(entry.logp, "logp"))
    assumed = []
    if molecule.compound is None and not (entry.pka_acid.strip() or entry.pka_base.strip()):
        assumed.append("no charge (pKa not given)")
    if not entry.fu_brain.strip() and not _bound(molecule.compound, settings.species):
        assumed.append(f"fu_brain {settings.fu_brain:g}")
    return _Ready(entry, molecule, tuple(assumed))


def _bound(compound: Compound | None, species: str) -> bool:
    return compound is not None and (species in compound.fu_brain or species in compound.vu_brain_m3_kg)


def _predict(ready: Sequence[_Ready], settings: ScreenSettings) -> list[dict[str, Any]]:
    """Return one record for each molecule that was read."""
    if not ready:
        return []
    permeability = predict_intrinsic([r.molecule.descriptors for r in ready], [r.molecule.logp for r in ready])
    penetration = predict_penetration([r.molecule.structure for r in ready])
    physiology, state = get_physiology(settings.species), BarrierState()
    records: list[dict[str, Any]] = []
    members, others, rows = [], [], []
    for r, p, b in zip(ready, permeability, penetration, strict=True):
        held = p.permeability
        d = r.molecule.descriptors
        record = {
            "row": r.entry.row, "name": r.entry.name or r.molecule.label, "molecule": r.entry.molecule.strip(),
            "smiles": d.smiles,
            "molar_mass_g_mol": d.molar_mass_kg_mol * 1e3,
            "logp": r.molecule.logp if r.molecule.logp is not None else d.logp_calculated, "logp_basis": p.logp_basis,
            "tpsa_A2": d.tpsa_m2 * 1e20, "hbd": d.hbd, "hba": d.hba, "rotatable_bonds": d.rotatable_bonds,
            "permeability_intrinsic_m_s": held.p_m_s.value, "permeability_low_90_m_s": held.p_m_s.low,
            "permeability_high_90_m_s": held.p_m_s.high, "inside_domain": p.inside, "outside_because": p.reason,
            "probability_bbb_plus": b.probability, "log_bb": b.log_bb, "log_bb_low_90": b.log_bb_low,
            "log_bb_high_90": b.log_bb_high, "assumed": "; ".join(r.assumed), "notes": "; ".join(d.notes),
        }  # fmt: skip
        try:
            whole = _compound(r, held, settings)
            nodes = [prepare(c, physiology, state, method=held.method) for c in (whole, *_others(whole, held.p_m_s))]
            members.append(nodes[0])
            others += nodes[1:]
            rows.append(len(records))
            records.append(record)
        except KroghError as error:
            records.append(_reject(r.entry, error))
    terms = settings.check()
    results, spread = _simulate(members, terms, settings), _simulate(others, terms, settings, rtol=_SPAN_RTOL)
    for i, (place, result) in enumerate(zip(rows, results, strict=True)):
        if isinstance(result, KroghError):
            records[place] = {k: records[place][k] for k in ("row", "name", "molecule")} | {"reason": str(result)}
        else:
            records[place] |= dict(result) | _intervals(result, spread[4 * i : 4 * i + 4])
    return records


def _others(compound: Compound, p: Value) -> list[Compound]:
    """Return the compound at the ends of its permeability's interval and half-way to them, in the logarithm."""
    assert p.low is not None
    assert p.high is not None
    nodes = (p.low, math.sqrt(p.low * p.value), math.sqrt(p.value * p.high), p.high)
    return [with_numbers(compound, {("permeabilities", 0, "p_m_s"): node}) for node in nodes]


def _intervals(result: Mapping[str, Any], others: Sequence[Mapping[str, Any] | KroghError]) -> dict[str, float | None]:
    """Return the span of each result over the permeability's 90 % interval; blank where a part of it cannot be simulated.

    The values over an interval that holds 90 % hold at least 90 % of what comes out, whether or not that rises all the way.
    """
    found: dict[str, float | None] = {}
    for key in INTERVALS:
        values = [result[key], *(e[key] for e in others if not isinstance(e, KroghError))]
        whole = len(values) == 1 + len(others)
        found[f"{key}_low_90"], found[f"{key}_high_90"] = (min(values), max(values)) if whole else (None, None)
    return found


def _compound(r: _Ready, held: Any, settings: ScreenSettings) -> Compound:
    """Return what is simulated: passive, with the predicted permeability, and the charge and binding that are known."""
    known, d = r.molecule.compound, r.molecule.descriptors
    compound = Compound(
        name=r.entry.name or r.molecule.label, smiles=d.smiles, permeabilities=(held,),
        molar_mass_kg_mol=Value(d.molar_mass_kg_mol, "RDKit", "C"),
        pka_acid=known.pka_acid if known else (), pka_base=known.pka_base if known else (),
        fu_brain=known.fu_brain if known else {}, vu_brain_m3_kg=known.vu_brain_m3_kg if known else {},
    )  # fmt: skip
    values: dict[str, Any] = {k: getattr(r.entry, k) for k in ("pka_acid", "pka_base", "fu_brain") if getattr(r.entry, k).strip()}
    values = {k: v.replace(";", ",") if k != "fu_brain" else v for k, v in values.items()}
    if "fu_brain" not in values and not _bound(known, settings.species):
        values["fu_brain"] = str(settings.fu_brain)
    return with_values(compound, values) if values else compound


def _simulate(
    members: Sequence[Member], terms: Terms, settings: ScreenSettings, rtol: float = 1e-4
) -> list[Mapping[str, Any] | KroghError]:
    """Return the exposure of each; where a batch cannot be solved, each is tried alone: one does not take the rest along."""
    if not members:
        return []

    def run(some: Sequence[Member]) -> BatchResult:
        blood = stack([[terms] for _ in some])
        times = _times(settings.duration_s)
        return simulate_batch(some, blood, settings.duration_s, times_s=times, cells=settings.cells, rtol=rtol, chunk=_TOGETHER)

    try:
        together = run(members)
        return [_exposure(m, together, i, terms) for i, m in enumerate(members)]
    except KroghError:
        found: list[Mapping[str, Any] | KroghError] = []
        for m in members:
            try:
                found.append(_exposure(m, run([m]), 0, terms))
            except KroghError as error:
                found.append(error)
        return found


def _times(duration_s: float) -> np.ndarray:
    """Return output times that are dense at first: lipophilic molecules equilibrate in seconds."""
    early = np.geomspace(min(0.01, 1e-3 * duration_s), duration_s, 200)
    return np.unique(np.concatenate([np.linspace(0.0, duration_s, 201), early]))


def _exposure(member: Member, result: BatchResult, i: int, terms: Terms) -> dict[str, Any]:
    curve = result.media["interstitium"][i]
    peak = int(np.argmax(curve >= 0.999 * curve.max()))  # a plateau has no other peak than the time when it is reached
    half = int(np.argmax(curve >= 0.5 * curve[peak]))
    part = (0.5 * curve[peak] - curve[half - 1]) / (curve[half] - curve[half - 1]) if half else 0.0
    p, physiology = uptake_permeability(member), member.physiology
    ratio = terms.fu * p * physiology.barrier_area_m2_kg.value / (physiology.blood_flow_m3_s_kg.value * member.state.flow_factor)
    found = {
        "permeability_at_ph_7_4_m_s": p, "regime": transport_regime(ratio),
        "kp_uu": float(result.kp_uu[i]), "auc_interstitium_uM_min": float(result.auc["interstitium"][i]) * 1e3 / 60,
        "auc_neuron_uM_min": float(result.auc["neuron"][i]) * 1e3 / 60, "cmax_interstitium_uM": float(curve[peak]) * 1e3,
        "tmax_min": float(result.t_s[peak]) / 60,
        "time_to_half_of_peak_min": float(np.interp(part, [0, 1], result.t_s[[max(half - 1, 0), half]])) / 60,
    }  # fmt: skip
    bad = [k for k, v in found.items() if isinstance(v, float) and not math.isfinite(v)]
    if bad:
        raise InputError("simulation", got=f"no finite {bad[0]}")
    return found
