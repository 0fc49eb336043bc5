"""Put compounds, physiology and state together into one :class:`~krogh.barrier.model.Barrier`.

A *group* is a set of compounds that act on each other (levodopa and the dopamine formed from it): its members are the
species of one problem. Groups of one member can be stacked into a batch and solved together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from krogh.barrier.crossing import endfoot_permeability
from krogh.barrier.member import Member, surface_capacity
from krogh.barrier.model import Barrier, Bypass, CellCompartment, Layer, Membrane
from krogh.barrier.reactions import MichaelisMenten
from krogh.barrier.routes import AdsorptiveTranscytosis, Carrier, Efflux, Paracellular, Passive, ReceptorTranscytosis, Route
from krogh.compounds.compound import Transporter
from krogh.errors import InputError

__all__ = ["LAYERS", "assemble"]

#: Layers from blood to brain, by index.
LAYERS = ("endothelium", "basement membrane", "end-feet", "interstitium")
_ENDOTHELIUM, _BASEMENT, _ENDFEET, _INTERSTITIUM = range(4)


def assemble(groups: Sequence[Sequence[Member]], *, radial: bool = False) -> Barrier:
    """Return the barrier of `groups`: (batch, species) in the order given.

    Parameters
    ----------
    groups : sequence of groups
        All of one size; all of one physiology, but for the interstitial fraction.
    radial : bool
        The barrier goes around a capillary, where the tissue widens by itself; else into a slab, where the interstitium is spread
        so that the distance to the far side and the tissue volume per barrier area are both those of the brain.
    """
    size = len(groups[0])
    if any(len(g) != size for g in groups) or (len(groups) > 1 and size > 1):
        raise InputError("groups", got="groups of several sizes", expected="one group, or a batch of single compounds")
    return _Assembly(groups).barrier(radial=radial)


class _Assembly:
    """Collect per-member numbers into (batch, species) arrays, and these into layers, membranes and routes."""

    def __init__(self, groups: Sequence[Sequence[Member]]) -> None:
        self.groups = groups
        self.physiology = groups[0][0].physiology
        self.names = tuple(m.compound.name for m in groups[0])

    def values(self, pick: Callable[[Member], float]) -> np.ndarray:
        """Return ``pick(member)`` as (batch, species)."""
        return np.array([[pick(m) for m in group] for group in self.groups], dtype=float)

    def faces(self, pick: Callable[[Member], float]) -> np.ndarray:
        """Return ``pick(member)`` as (batch, species, 1), to be used by a flux law."""
        return self.values(pick)[..., None]

    # -- layers ----------------------------------------------------------------------------------------------------------------

    def barrier(self, *, radial: bool) -> Barrier:
        """Return the whole."""
        return Barrier(
            species=self.names, batch=len(self.groups), layers=self._layers(radial),
            membranes=self._membranes(), bypasses=self._bypasses(), cells=self._cells(),
        )  # fmt: skip

    def _layers(self, radial: bool) -> tuple[Layer, ...]:
        p = self.physiology
        depth = p.tissue_depth_m
        alpha, density = self.values(lambda m: m.physiology.interstitial_fraction.value), p.tissue_density_kg_m3.value
        basement, endfoot = p.basement_membrane_thickness_m.value, p.endfoot_thickness_m.value
        drained = p.perivascular_drainage_m3_s_kg.value / (p.barrier_area_m2_kg.value * basement)
        d = self.values(lambda m: m.crossing.diffusivity_m2_s)
        sheath = self.values(
            lambda m: endfoot_permeability(
                m.crossing.membrane_m_s * m.crossing.permeant_interstitium, m.crossing.diffusivity_m2_s, p
            )
        )
        cytosol = self._endothelium_capacity()
        return (
            Layer(LAYERS[0], p.endothelium_thickness_m.value, d, cytosol, reactions=self._reactions("endothelium", cytosol)),
            Layer(LAYERS[1], basement, d * p.basement_membrane_hindrance.value, 1.0, loss_per_s=drained),
            Layer(LAYERS[2], endfoot, sheath * endfoot, alpha),
            Layer(LAYERS[3], depth, alpha * d / p.tortuosity.value**2, alpha,
                  loss_per_s=p.interstitial_bulk_flow_m3_s_kg.value * density,
                  reactions=self._reactions("interstitium", alpha),
                  spread=1.0 if radial else p.tissue_per_area_m / depth),
        )  # fmt: skip

    def _endothelium_capacity(self) -> np.ndarray:
        return self.values(lambda m: m.cell_capacity if m.cell_capacity > 0 else 1.0)

    def _cells(self) -> tuple[CellCompartment, ...]:
        p = self.physiology
        outside = 1.0 - self.values(lambda m: m.physiology.interstitial_fraction.value)
        # a drug that stays outside keeps a vanishing compartment, closed by zero exchange
        held = np.maximum(self.values(lambda m: m.cell_capacity), 1e-6)
        exchange = self.values(lambda m: m.cell_exchange_per_s if m.cell_capacity > 0 else 0.0)
        trapping = self.values(lambda m: m.cell_trapping)
        found = []
        for name, share in (("neuron", p.neuron_share.value), ("astrocyte", 1.0 - p.neuron_share.value)):
            capacity = outside * share * held
            reactions = self._reactions(name, capacity)
            found.append(CellCompartment(name, _INTERSTITIUM, capacity, share * exchange, trapping, reactions))
        return tuple(found)

    def _reactions(self, location: str, capacity: np.ndarray) -> tuple[MichaelisMenten, ...]:
        """Return one law per enzyme at `location`; rates given per amount there become rates per free concentration."""
        found = []
        enzymes = sorted({x.enzyme for g in self.groups for m in g for x in m.compound.metabolism if x.location == location})
        for enzyme in enzymes:
            rate, km = np.zeros(capacity.shape), np.full(capacity.shape, np.inf)
            product: list[int | None] = [None] * len(self.names)
            for b, group in enumerate(self.groups):
                for s, member in enumerate(group):
                    for x in member.compound.metabolism:
                        if x.enzyme == enzyme and x.location == location:
                            rate[b, s] = x.rate_per_s.value * capacity[b, s]
                            km[b, s] = x.km_mol_m3.value if x.km_mol_m3 else np.inf
                            product[s] = self.names.index(x.product) if x.product in self.names else None
            found.append(MichaelisMenten(rate[..., None], km[..., None], tuple(product), name=enzyme))
        if location == "endothelium":
            found += self._volumetric(capacity)
        return tuple(found)

    # -- routes ----------------------------------------------------------------------------------------------------------------

    def _membranes(self) -> tuple[Membrane, ...]:
        p_membrane = self.faces(lambda m: m.crossing.membrane_m_s)
        cell = self.faces(lambda m: m.crossing.permeant_cell)
        outside = self.faces(lambda m: m.crossing.permeant_interstitium)
        luminal: list[Route] = [Passive(p_membrane, 1.0, cell)]
        abluminal: list[Route] = [Passive(p_membrane, cell, outside)]
        for name in self._names_of("carriers"):
            luminal.append(self._carrier(name, "luminal"))
            abluminal.append(self._carrier(name, "abluminal"))
        for name in self._names_of("pumps"):
            for side, routes in (("luminal", luminal), ("abluminal", abluminal)):
                pump = self._pump(name, side)
                if pump is not None:
                    routes.append(pump)
        return (Membrane("luminal", _ENDOTHELIUM, tuple(luminal)), Membrane("abluminal", _BASEMENT, tuple(abluminal)))

    def _names_of(self, kind: str) -> list[str]:
        return sorted({t.name for g in self.groups for m in g for t in getattr(m, kind)})

    def _carrier(self, name: str, side: str) -> Carrier:
        """Return the carrier of one membrane: twice the measured capacity, so that two in series give the measurement."""

        def vmax(m: Member) -> float:
            t = _named(m.carriers, name)
            return 2.0 * t.vmax_mol_m2_s.value if t and t.vmax_mol_m2_s and t.side in (side, "both") else 0.0

        def km(m: Member) -> float:
            t = _named(m.carriers, name)
            return t.km_mol_m3.value if t and t.km_mol_m3 else np.inf

        def plasma(m: Member) -> float:
            t = _named(m.carriers, name)
            simulated = {x.compound.name for x in self.groups[0]}
            return m.state.amino_acids * sum(v.value for k, v in t.competitors.items() if k not in simulated) if t else 0.0

        # one carrier, one crowd of competitors: every member sees the largest that is known
        blood = self.values(plasma).max(axis=1, keepdims=True)[..., None]
        brain = blood * self.physiology.amino_acid_ratio.value
        cytosol = np.sqrt(blood * brain)
        sides = (blood, cytosol) if side == "luminal" else (cytosol, brain)
        return Carrier(self.faces(vmax), self.faces(km), *sides, name=name)

    def _pump(self, name: str, side: str) -> Efflux | None:
        def vmax(m: Member) -> float:
            t = _named(m.pumps, name)
            if t is None or t.side not in (side, "both") or (m.state.volumetric_efflux and side == "luminal"):
                return 0.0
            return surface_capacity(t, m)

        def km(m: Member) -> float:
            t = _named(m.pumps, name)
            return t.km_mol_m3.value if t and t.km_mol_m3 else 1.0

        capacity = self.faces(vmax)
        if not np.any(capacity > 0):
            return None
        return Efflux(capacity, self.faces(km), self.faces(lambda m: m.state.activity(name)), name=name)

    def _volumetric(self, capacity: np.ndarray) -> list[MichaelisMenten]:
        """Return luminal pumps spread through the endothelium, where the state asks for that comparison."""
        found = []
        for name in self._names_of("pumps"):
            rate, km = np.zeros(capacity.shape), np.full(capacity.shape, np.inf)
            for b, group in enumerate(self.groups):
                for s, m in enumerate(group):
                    t = _named(m.pumps, name)
                    if t and t.km_mol_m3 and t.side != "abluminal" and m.state.volumetric_efflux:
                        km[b, s] = t.km_mol_m3.value
                        per_area = surface_capacity(t, m) * m.state.activity(name) / km[b, s]
                        rate[b, s] = per_area / self.physiology.endothelium_thickness_m.value
            if np.any(rate > 0):
                found.append(
                    MichaelisMenten(rate[..., None], km[..., None], (None,) * len(self.names), name=f"{name} (volumetric)")
                )
        return found

    def _bypasses(self) -> tuple[Bypass, ...]:
        leak = self.faces(lambda m: m.crossing.paracellular_m_s * m.state.total_leak)
        vesicles = [Bypass(self._vesicle(name), _BASEMENT) for name in self._names_of("vesicles")]
        return (Bypass(Paracellular(leak), _BASEMENT), *vesicles)

    def _vesicle(self, name: str) -> Route:
        def take(key: str, default: float, absent: float) -> np.ndarray:
            def pick(m: Member) -> float:
                t = _named(m.vesicles, name)
                if t is None:
                    return absent
                return t.parameters[key].value if key in t.parameters else default

            return self.faces(pick)

        first = next(t for g in self.groups for m in g for t in m.vesicles if t.name == name)
        if first.route == "receptor":
            return ReceptorTranscytosis(
                take("internalisation_per_s", 0, 0), take("receptor_mol_m2", 0, 0), take("kd_mol_m3", 1, 1),
                take("sorted_share", 1, 0), take("luminal_share", 0.5, 0.5), take("abluminal_share", 0.5, 0.5),
                take("ligand_blood", 0, 0), take("ligand_brain", 0, 0), name=name,
            )  # fmt: skip
        return AdsorptiveTranscytosis(
            take("turnover_per_s", 0, 0),
            take("sites_mol_m2", 0, 0),
            take("affinity_mol_m3", 1, 1),
            take("fluid_m_s", 0, 0),
            name=name,
        )


def _named(transporters: Sequence[Transporter], name: str) -> Transporter | None:
    return next((t for t in transporters if t.name == name), None)
