"""Prepare one compound for the barrier: pick its permeability, its usable routes and its binding, and note what is left out."""

from __future__ import annotations

from dataclasses import dataclass

from krogh.barrier.crossing import Crossing, crossing
from krogh.barrier.physiology import Physiology
from krogh.barrier.state import BarrierState
from krogh.compounds.completeness import missing_kinetics
from krogh.compounds.compound import Compound, Permeability, Transporter
from krogh.errors import InputError

__all__ = ["Member", "cell_exchange", "prepare", "surface_capacity"]


@dataclass(frozen=True, slots=True)
class Member:
    """Hold one compound with the numbers that its crossing needs, and what had to be left out.

    Attributes
    ----------
    cell_capacity : float
        Amount per cell volume over free concentration inside: binding, from Vu,brain or fu,brain; 0 where the drug stays outside.
    """

    compound: Compound
    physiology: Physiology
    state: BarrierState
    crossing: Crossing
    measured: Permeability | None
    cell_capacity: float
    carriers: tuple[Transporter, ...]
    pumps: tuple[Transporter, ...]
    vesicles: tuple[Transporter, ...]
    notes: tuple[str, ...]

    @property
    def trapping(self) -> float:
        """Return free concentration in cells over interstitium at equilibrium (ion trapping)."""
        return self.crossing.permeant_interstitium / self.crossing.permeant_cell


def prepare(compound: Compound, physiology: Physiology, state: BarrierState, *, method: str | None = None) -> Member:
    """Return the member of a group that stands for `compound`.

    Parameters
    ----------
    compound, physiology, state
        What crosses, what is crossed, and how it is today.
    method : str, optional
        Which of the compound's permeabilities to take (``in situ perfusion``, ``PAMPA`` ...); the first by default.

    Raises
    ------
    InputError
        If the permeability or the brain binding is blank; the message names the option that supplies it.
    """
    known = [t for t in compound.transporters if t.substrate != "no"]
    usable = [t for t in known if not missing_kinetics(t)]
    notes = [
        f"{t.name}: {t.substrate} substrate, but {' and '.join(missing_kinetics(t))} blank: left out"
        for t in known
        if t not in usable
    ]
    measured = _measured(compound, method, carried=any(t.route != "efflux" for t in usable))
    passive = crossing(compound, physiology, measured)
    total, borrowed = _brain_volume(compound, physiology)
    notes += [borrowed] if borrowed else []
    return Member(
        compound, physiology, state, passive, measured, _cell_capacity(total, physiology, passive),
        carriers=tuple(t for t in usable if t.route == "carrier"), pumps=tuple(t for t in usable if t.route == "efflux"),
        vesicles=tuple(t for t in usable if t.route in ("receptor", "adsorptive")), notes=(*passive.notes, *notes),
    )  # fmt: skip


def _measured(compound: Compound, method: str | None, *, carried: bool) -> Permeability | None:
    held = compound.permeabilities
    if method is not None:
        fits = [p for p in held if p.method == method]
        if not fits:
            have = ", ".join(sorted({p.method for p in held})) or "none"
            raise InputError(f"compound '{compound.name}'", got=f"no permeability by '{method}'", expected=have)
        return fits[0]
    if held:
        return held[0]
    if carried:
        return None
    raise InputError(f"compound '{compound.name}'", got="no permeability",
                     hint=f"e.g. --set {compound.name}.permeability='25 nm/s' with .permeability_basis=apparent")  # fmt: skip


def _brain_volume(compound: Compound, physiology: Physiology) -> tuple[float, str | None]:
    """Return Vu,brain per tissue volume, and a note where another species had to lend its value.

    Where a species has neither Vu,brain nor fu,brain, that of another one serves: brain binding hardly depends on the species
    (Di 2011, Drug Metab Dispos 39:1270; recalled).
    """
    species = physiology.species
    for source in (species, *sorted({*compound.vu_brain_m3_kg, *compound.fu_brain} - {species})):
        note = None if source == species else f"brain binding of the {source} taken for the {species}"
        if source in compound.vu_brain_m3_kg:
            return compound.vu_brain_m3_kg[source].value * physiology.tissue_density_kg_m3.value, note
        if source in compound.fu_brain:
            return 1.0 / compound.fu_brain[source].value, note
    return 1.0 / compound.need("fu_brain", species).value, None


def _cell_capacity(total: float, physiology: Physiology, passive: Crossing) -> float:
    """Return kappa of the cells from V_u = alpha + (1 - alpha) kappa trapping, with V_u = 1/fu_brain where only that is known."""
    alpha = physiology.interstitial_fraction.value
    trapping = passive.permeant_interstitium / passive.permeant_cell
    return max(total - alpha, 0.0) / ((1.0 - alpha) * trapping)


def surface_capacity(pump: Transporter, member: Member) -> float:
    """Return Vmax [mol/(m2 s)] of a pump on its membrane.

    Where the source gives an apparent brain-to-blood clearance ``CL`` of the whole barrier, the pump acts on the
    cytosol, between two membranes: ``CL_surface = CL P_m phi_c / (P phi_i)`` gives the same Kp,uu.
    """
    assert pump.vmax_mol_m2_s is not None
    c = member.crossing
    if "apparent_clearance_m_s" not in pump.parameters or not c.target_m_s:
        return pump.vmax_mol_m2_s.value
    return pump.vmax_mol_m2_s.value * c.membrane_m_s * c.permeant_cell / (c.target_m_s * c.permeant_interstitium)


def cell_exchange(m: Member) -> float:
    """Return the exchange of all cells per tissue volume [1/s]: membrane like the endothelium's, with the same carriers."""
    passive = m.crossing.membrane_m_s * m.crossing.permeant_interstitium
    carried = 0.0
    for t in m.carriers:
        if t.vmax_mol_m2_s and t.km_mol_m3:
            crowd = m.state.amino_acids * sum(v.value for v in t.competitors.values()) * m.physiology.amino_acid_ratio.value
            carried += 2.0 * t.vmax_mol_m2_s.value / t.km_mol_m3.value / (1.0 + crowd)
    return (passive + carried) * m.physiology.cell_surface_1_m.value
