"""Describe what crosses the barrier: one compound with sourced values; a blank stays blank.

This file holds the nouns only. Loading is in ``library.py``, charge in ``ionisation.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from krogh.errors import InputError

__all__ = ["Compound", "Metabolism", "Permeability", "PlasmaPK", "Status", "Transporter", "Value"]

#: V read in the source named; R recalled from it, not re-opened; C computed; A assumed with a reason; U given by the user.
Status = Literal["V", "R", "C", "A", "U"]
Basis = Literal["intrinsic", "apparent"]


@dataclass(frozen=True, slots=True)
class Value:
    """Hold one number in SI with where it comes from and how far it may be trusted.

    Attributes
    ----------
    value : float
        In SI; the unit is in the name of the field that holds it.
    source : str
        Reference (DOI where there is one), or the reason for an assumption.
    status : {"V", "R", "C", "A", "U"}
        See :data:`Status`.
    low, high : float or None
        Range in SI, where one is known.
    """

    value: float
    source: str
    status: Status
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Permeability:
    """Hold one measured or predicted permeability of the whole endothelium.

    ``intrinsic`` is that of the neutral species, without efflux or flow limit; ``apparent`` is what was measured at pH 7.4 with
    whatever limits applied. The two differ by orders of magnitude and are never mixed.

    Attributes
    ----------
    p_m_s : Value
        Permeability [m/s]; values given as PS are divided by the surface area that the source states.
    basis : {"intrinsic", "apparent"}
        See above.
    method : str
        ``in situ perfusion``, ``PAMPA``, ``PET K1``, ``user`` ...
    species : str
        Where it was measured; ``in vitro`` for PAMPA.
    """

    p_m_s: Value
    basis: Basis
    method: str
    species: str


@dataclass(frozen=True, slots=True)
class Transporter:
    """Describe one saturable route of a compound.

    Attributes
    ----------
    name : str
        ``P-gp``, ``BCRP``, ``MRP4``, ``LAT1``, ``GLUT1``, ``TfR`` ...
    route : {"carrier", "efflux", "receptor", "adsorptive"}
        The flux law that it uses.
    substrate : {"yes", "strong", "weak", "no", "disputed"}
        What the source says.
    side : {"luminal", "abluminal", "both"}
        Membrane on which it sits.
    km_mol_m3, vmax_mol_m2_s : Value or None
        Kinetics per barrier area; None while unknown: then the route cannot be simulated and says so.
    competitors : mapping of str to Value
        Endogenous competitors as ``sum(C_plasma / Km)`` per name, dimensionless (luminal side).
    parameters : mapping of str to Value
        Further constants of the route, SI, unit in the key (e.g. ``receptor_density_mol_m2``).
    """

    name: str
    route: Literal["carrier", "efflux", "receptor", "adsorptive"]
    substrate: str
    source: str
    status: Status
    side: Literal["luminal", "abluminal", "both"] = "luminal"
    km_mol_m3: Value | None = None
    vmax_mol_m2_s: Value | None = None
    competitors: Mapping[str, Value] = field(default_factory=dict)
    parameters: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Metabolism:
    """Describe one conversion: Michaelis-Menten where Km is given, first order otherwise.

    Attributes
    ----------
    enzyme : str
        ``AADC``, ``MAO/COMT`` ...
    location : {"endothelium", "interstitium", "neuron", "astrocyte"}
        Where it acts.
    rate_per_s : Value
        First-order rate at low free concentration [1/s] (= Vmax/Km).
    km_mol_m3 : Value or None
        Michaelis constant; None means first order at every concentration.
    product : str or None
        Name of the compound formed, one molecule per molecule; None where it leaves the model.
    """

    enzyme: str
    location: Literal["endothelium", "interstitium", "neuron", "astrocyte"]
    rate_per_s: Value
    km_mol_m3: Value | None = None
    product: str | None = None


@dataclass(frozen=True, slots=True)
class PlasmaPK:
    """Describe the plasma of one species by one to three compartments (total concentration unless said otherwise).

    Attributes
    ----------
    body_mass_kg : Value
        Body mass that the volumes and clearances belong to.
    v1_m3, cl_m3_s : Value
        Central volume and elimination clearance.
    q2_m3_s, v2_m3, q3_m3_s, v3_m3 : Value or None
        Peripheral compartments.
    ka_per_s, bioavailability, lag_s : Value or None
        Oral absorption.
    basis : {"total", "unbound"}
        Which plasma concentration the model describes.
    """

    species: str
    body_mass_kg: Value
    v1_m3: Value
    cl_m3_s: Value
    q2_m3_s: Value | None = None
    v2_m3: Value | None = None
    q3_m3_s: Value | None = None
    v3_m3: Value | None = None
    ka_per_s: Value | None = None
    bioavailability: Value | None = None
    lag_s: Value | None = None
    basis: Literal["total", "unbound"] = "total"


@dataclass(frozen=True, slots=True)
class Compound:
    """Hold what is known of one compound.

    Per-species values are mappings from species (``human``, ``rat``, ``mouse``) to :class:`Value`. An absent value is ``None`` or
    an absent key; :meth:`need` turns that into an error that names the option which supplies it.
    """

    name: str
    role: str = ""
    smiles: str | None = None
    aliases: tuple[str, ...] = ()
    molar_mass_kg_mol: Value | None = None
    logp: Value | None = None
    logd74: Value | None = None
    tpsa_m2: Value | None = None
    hbd: Value | None = None
    hba: Value | None = None
    rotatable_bonds: Value | None = None
    pka_acid: tuple[Value, ...] = ()
    pka_base: tuple[Value, ...] = ()
    diffusivity_m2_s: Value | None = None
    fu_plasma: Mapping[str, Value] = field(default_factory=dict)
    fu_brain: Mapping[str, Value] = field(default_factory=dict)
    vu_brain_m3_kg: Mapping[str, Value] = field(default_factory=dict)
    permeabilities: tuple[Permeability, ...] = ()
    transporters: tuple[Transporter, ...] = ()
    metabolism: tuple[Metabolism, ...] = ()
    pk: Mapping[str, PlasmaPK] = field(default_factory=dict)
    kp_uu: Mapping[str, Value] = field(default_factory=dict)
    notes: str = ""

    def need(self, quantity: str, species: str | None = None) -> Value:
        """Return a value that a simulation cannot do without.

        Raises
        ------
        InputError
            If it is blank; the message names the option that supplies it.
        """
        held = getattr(self, quantity)
        value = held.get(species) if isinstance(held, Mapping) else held
        if not isinstance(value, Value):
            place = f"{quantity} ({species})" if species else quantity
            raise InputError(
                f"compound '{self.name}'",
                got=f"no {place}",
                hint=f"give it with --set {self.name}.{quantity}=VALUE or in a compound file (--compound-file)",
            )
        return value
