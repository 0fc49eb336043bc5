"""Prepare one compound for the barrier: pick its permeability, its usable routes and its binding, and note what is left out."""

from __future__ import annotations

from dataclasses import dataclass

from krogh.barrier.crossing import Crossing, crossing
from krogh.barrier.physiology import Physiology
from krogh.barrier.state import BarrierState
from krogh.compounds.completeness import missing_kinetics
from krogh.compounds.compound import Compound, Permeability, Transporter
from krogh.compounds.schema import LENDERS
from krogh.errors import InputError

__all__ = ["Member", "prepare", "surface_capacity"]


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
    def _carried_m_s(self) -> float:
        """Return the permeability of cell membranes by the barrier's carriers, at low concentration [m/s].

        Cells are taken to have the carriers that the endothelium has on its brain side, as many per area. Linear: their
        saturation is left to the barrier.
        """
        total = 0.0
        for t in self.carriers:
            if t.side != "luminal" and t.vmax_mol_m2_s and t.km_mol_m3:
                crowd = self.state.amino_acids * sum(v.value for v in t.competitors.values())
                crowd *= self.physiology.amino_acid_ratio.value
                total += 2.0 * t.vmax_mol_m2_s.value / t.km_mol_m3.value / (1.0 + crowd)
        return total

    @property
    def cell_exchange_per_s(self) -> float:
        """Return the uptake of all cells per tissue volume [1/s]: a lipid membrane like the endothelium's beside its carriers."""
        c = self.crossing
        return (c.membrane_m_s * c.permeant_interstitium + self._carried_m_s) * self.physiology.cell_surface_1_m.value

    @property
    def cell_trapping(self) -> float:
        """Return free concentration in cells over interstitium at equilibrium: the membrane traps ions, carriers do not."""
        c, carried = self.crossing, self._carried_m_s
        if c.membrane_m_s == 0 and carried == 0:
            return 1.0
        return (c.membrane_m_s * c.permeant_interstitium + carried) / (c.membrane_m_s * c.permeant_cell + carried)


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
    notes += _lost_pumps(usable, passive)
    capacity, borrowed = _cell_capacity(compound, physiology, passive)
    notes += [borrowed] if borrowed else []
    return Member(
        compound, physiology, state, passive, measured, capacity,
        carriers=tuple(t for t in usable if t.route == "carrier"), pumps=tuple(t for t in usable if t.route == "efflux"),
        vesicles=tuple(t for t in usable if t.route in ("receptor", "adsorptive")), notes=(*passive.notes, *notes),
    )  # fmt: skip


def _lost_pumps(usable: list[Transporter], passive: Crossing) -> list[str]:
    if passive.membrane_m_s > 0:
        return []
    lost = [t.name for t in usable if t.route == "efflux" and "apparent_clearance_m_s" in t.parameters]
    return [f"{name}: its clearance belongs to a membrane that is closed here: no efflux" for name in lost]


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


def _cell_capacity(compound: Compound, physiology: Physiology, passive: Crossing) -> tuple[float, str | None]:
    """Return kappa of the cells, and a note where another species had to lend its value.

    Slices keep their cells: ``Vu,brain = alpha + (1 - alpha) kappa trapping``. Homogenate has none, so 1/fu,brain holds no ion
    trapping: ``1/fu,brain = alpha + (1 - alpha) kappa``. Where a species has neither, another one serves (rat, then mouse, then
    human first): brain binding hardly depends on the species (Di 2011, Drug Metab Dispos 39:1270; recalled).
    """
    species = physiology.species
    alpha = physiology.interstitial_fraction.value
    others = [s for s in LENDERS if s != species]
    for source in (species, *others):
        note = None if source == species else f"brain binding of the {source} taken for the {species}"
        if source in compound.vu_brain_m3_kg:
            total = compound.vu_brain_m3_kg[source].value * physiology.tissue_density_kg_m3.value
            trapping = passive.permeant_interstitium / passive.permeant_cell
            return max(total - alpha, 0.0) / ((1.0 - alpha) * trapping), note
        if source in compound.fu_brain:
            return max(1.0 / compound.fu_brain[source].value - alpha, 0.0) / (1.0 - alpha), note
    compound.need("fu_brain", species)
    raise AssertionError("need() raises where the value is blank")


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
