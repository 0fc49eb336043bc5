"""Name what can be inferred, and put a value of it into a compound, its barrier or its blood.

``P``, ``PS``   permeability of the whole barrier for free drug at plasma pH, alone or times its area
``Vmax``, ``Km``  of the one transporter with known kinetics; ``P-gp.Vmax`` where there are several
``D``, ``fu_brain``, ``fu_plasma``  diffusivity in water, unbound fractions
``clearance``, ``volume``, ``ka``  plasma kinetics: elimination clearance, central volume, absorption
``leak``, ``porosity``  open tight junctions over healthy, interstitial volume fraction
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from krogh.barrier.member import prepare
from krogh.barrier.physiology import Physiology
from krogh.barrier.state import BarrierState
from krogh.compounds.compound import Compound, Permeability, PlasmaPK, Transporter, Value
from krogh.errors import InputError, nearest

__all__ = ["NAMES", "Parameter", "Subject", "find_parameter"]

#: Half-width of the default bounds: the library's value times or over this.
_REACH = 1e3
#: Vmax and Km may be lower: a Km far above the concentrations must be able to fall below them, where the carrier is saturated.
_REACH_DOWN = 1e6


@dataclass(frozen=True, slots=True)
class Subject:
    """Hold what is dosed: a compound, the barrier that it meets, and how that barrier is today."""

    compound: Compound
    physiology: Physiology
    state: BarrierState
    method: str | None = None

    @property
    def species(self) -> str:
        """Return the species of the barrier."""
        return self.physiology.species

    def transporters(self) -> list[Transporter]:
        """Return the transporters that the model uses."""
        m = prepare(self.compound, self.physiology, self.state, method=self.method)
        return [*m.carriers, *m.pumps]


Put = Callable[[Subject, float], Subject]


@dataclass(frozen=True)
class Parameter:
    """Describe one unknown; SI.

    Attributes
    ----------
    name : str
        As in the tables.
    dimension, unit : str
        Key of :data:`krogh.units.DIMENSIONS`, and the unit in which it is shown.
    nominal : float
        The library's value, where the search starts.
    low, high, hard : float, float, (bool, bool)
        Bounds, and which of them are known limits.
    put : callable
        Returns a subject with a value of it.
    prior : (median, sd) or None
        Log-normal prior: its median, and the SD of the logarithm.
    """

    name: str
    dimension: str
    unit: str
    nominal: float
    low: float
    high: float
    put: Put
    prior: tuple[float, float] | None = None
    hard: tuple[bool, bool] = (False, False)


@dataclass(frozen=True)
class _Kind:
    dimension: str
    unit: str
    read: Callable[[Subject], float | None]
    put: Put
    largest: float = float("inf")


def _value(x: float) -> Value:
    return Value(x, "inferred", "C")


def _permeability(s: Subject) -> float | None:
    return prepare(s.compound, s.physiology, s.state, method=s.method).crossing.target_m_s


def _put_permeability(s: Subject, x: float) -> Subject:
    held = Permeability(_value(x), "apparent", "inferred", s.species)
    return replace(s, compound=replace(s.compound, permeabilities=(held, *s.compound.permeabilities)), method=None)


def _area(s: Subject) -> float:
    return s.physiology.barrier_area_m2_kg.value


def _put_fu_brain(s: Subject, x: float) -> Subject:
    c = s.compound
    volumes = {k: v for k, v in c.vu_brain_m3_kg.items() if k != s.species}
    return replace(s, compound=replace(c, fu_brain={**c.fu_brain, s.species: _value(x)}, vu_brain_m3_kg=volumes))


def _fu_brain(s: Subject) -> float:
    m = prepare(s.compound, s.physiology, s.state, method=s.method)
    alpha = s.physiology.interstitial_fraction.value
    return 1.0 / (alpha + (1.0 - alpha) * m.cell_capacity)


def _put_fu_plasma(s: Subject, x: float) -> Subject:
    held = {**s.compound.fu_plasma, s.species: _value(x)}
    return replace(s, compound=replace(s.compound, fu_plasma=held))


def _fu_plasma(s: Subject) -> float | None:
    held = s.compound.fu_plasma.get(s.species)
    return held.value if held else None


def _put_diffusivity(s: Subject, x: float) -> Subject:
    return replace(s, compound=replace(s.compound, diffusivity_m2_s=_value(x)))


def _diffusivity(s: Subject) -> float:
    from krogh.compounds import aqueous_diffusivity

    return aqueous_diffusivity(s.compound).value


def _plasma(field: str) -> tuple[Callable[[Subject], float | None], Put]:
    def read(s: Subject) -> float | None:
        pk = s.compound.pk.get(s.species)
        held = getattr(pk, field) if pk else None
        return held.value if held else None

    def put(s: Subject, x: float) -> Subject:
        pk: PlasmaPK = s.compound.pk[s.species]
        changed: dict[str, Any] = {field: _value(x)}
        return replace(s, compound=replace(s.compound, pk={**s.compound.pk, s.species: replace(pk, **changed)}))

    return read, put


def _put_leak(s: Subject, x: float) -> Subject:
    return replace(s, state=replace(s.state, leak_factor=x))


def _put_porosity(s: Subject, x: float) -> Subject:
    return replace(s, physiology=replace(s.physiology, interstitial_fraction=_value(x)))


_KINDS: dict[str, _Kind] = {
    "P": _Kind("permeability", "nm/s", _permeability, _put_permeability),
    "PS": _Kind(
        "clearance_per_mass", "uL/min/g", lambda s: (_permeability(s) or 0.0) * _area(s) or None,
        lambda s, x: _put_permeability(s, x / _area(s)),
    ),
    "D": _Kind("diffusivity", "um2/s", _diffusivity, _put_diffusivity),
    "fu_brain": _Kind("fraction", "", _fu_brain, _put_fu_brain, 1.0),
    "fu_plasma": _Kind("fraction", "", _fu_plasma, _put_fu_plasma, 1.0),
    "clearance": _Kind("flow", "mL/min", *_plasma("cl_m3_s")),
    "volume": _Kind("volume", "mL", *_plasma("v1_m3")),
    "ka": _Kind("rate", "1/h", *_plasma("ka_per_s")),
    "leak": _Kind("fraction", "", lambda s: s.state.leak_factor, _put_leak),
    "porosity": _Kind("fraction", "", lambda s: s.physiology.interstitial_fraction.value, _put_porosity, 0.6),
}  # fmt: skip
_OF_TRANSPORTER = {
    "vmax": ("Vmax", "vmax_mol_m2_s", "flux", "pmol/cm2/min"),
    "km": ("Km", "km_mol_m3", "concentration", "uM"),
}
NAMES = ("P", "PS", "Vmax", "Km", *list(_KINDS)[2:])


def find_parameter(name: str, subject: Subject) -> Parameter:
    """Return the parameter `name` of `subject`, with the library's value and wide bounds.

    Raises
    ------
    InputError
        If there is none of that name, it belongs to several transporters, or the library has no value to start from.
    """
    head, dot, tail = name.rpartition(".")
    if (tail if dot else name).lower() in _OF_TRANSPORTER:
        return _of_transporter(head, (tail if dot else name).lower(), subject)
    keys = {k.lower(): k for k in _KINDS}
    if name.lower() not in keys:
        raise InputError("--free", got=f"'{name}'", hint=nearest(name, NAMES))
    key = keys[name.lower()]
    kind = _KINDS[key]
    nominal = kind.read(subject)
    if nominal is None or not nominal > 0:
        raise InputError(
            f"--free {key}", got=f"no value of {key} for {subject.compound.name} ({subject.species}) to start from",
            hint=f"give one with --set {subject.compound.name}.KEY=VALUE",
        )  # fmt: skip
    return Parameter(
        key, kind.dimension, kind.unit, nominal, nominal / _REACH, min(nominal * _REACH, kind.largest), kind.put,
        hard=(False, nominal * _REACH >= kind.largest),
    )  # fmt: skip


def _of_transporter(owner: str, key: str, subject: Subject) -> Parameter:
    label, field, dimension, unit = _OF_TRANSPORTER[key]
    usable = subject.transporters()
    names = [t.name for t in usable]
    chosen = [t for t in usable if not owner or t.name.lower() == owner.lower()]
    if len(chosen) != 1:
        have = f"{subject.compound.name} has " + (", ".join(names) or "no transporter with known kinetics")
        raise InputError(f"--free {owner + '.' if owner else ''}{label}", got=have, expected="one transporter",
                         hint=f"name it, e.g. {names[0]}.{label}" if names else "give its vmax and km with --set")  # fmt: skip
    which = chosen[0].name
    held = getattr(chosen[0], field)

    def put(s: Subject, x: float) -> Subject:
        changed: dict[str, Any] = {field: _value(x)}
        items: Sequence[Transporter] = s.compound.transporters
        return replace(
            s, compound=replace(s.compound, transporters=tuple(replace(t, **changed) if t.name == which else t for t in items))
        )  # fmt: skip

    shown = label if len(usable) == 1 else f"{which}.{label}"
    return Parameter(shown, dimension, unit, held.value, held.value / _REACH_DOWN, held.value * _REACH, put)
