"""Say what a compound still lacks before it can be simulated in a species."""

from __future__ import annotations

from krogh.compounds.compound import Compound, Transporter

__all__ = ["NEEDED_PARAMETERS", "missing_for_simulation", "missing_kinetics"]

#: Parameters without which a route that is no Michaelis-Menten law of its own cannot be computed.
NEEDED_PARAMETERS = {
    "receptor": ("receptor_mol_m2", "kd_mol_m3", "internalisation_per_s"),
    "adsorptive": ("sites_mol_m2", "affinity_mol_m3", "turnover_per_s"),
}


def missing_kinetics(transporter: Transporter) -> list[str]:
    """Return the kinetic constants that are blank; a route with a blank cannot be simulated."""
    if transporter.route in NEEDED_PARAMETERS:
        return [f"parameters.{key}" for key in NEEDED_PARAMETERS[transporter.route] if key not in transporter.parameters]
    pairs = (("km", transporter.km_mol_m3), ("vmax", transporter.vmax_mol_m2_s))
    return [name for name, value in pairs if value is None]


def missing_for_simulation(compound: Compound, species: str) -> list[str]:
    """Return what is blank of the values without which no simulation starts, by their names in a compound file.

    A permeability may be replaced by an inward transporter with kinetics; brain binding is one of ``fu_brain`` and ``vu_brain``.
    Diffusivity is never missing once the molar mass is known (:func:`krogh.compounds.diffusivity.aqueous_diffusivity`).
    """
    pk = compound.pk.get(species)
    carried = any(t.route != "efflux" and not missing_kinetics(t) for t in compound.transporters)
    # a plasma model of the unbound concentration needs no plasma binding
    binding = species in compound.fu_plasma or (pk is not None and pk.basis == "unbound")
    checks = (
        ("molar_mass", compound.molar_mass_kg_mol is not None),
        ("permeability", bool(compound.permeabilities) or carried),
        (f"fu_plasma.{species}", binding),
        (f"fu_brain.{species}", species in compound.fu_brain or species in compound.vu_brain_m3_kg),
        (f"pk.{species}", pk is not None),
    )
    return [name for name, held in checks if not held]
