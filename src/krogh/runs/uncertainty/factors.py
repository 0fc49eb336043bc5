"""Say which numbers of a run are uncertain, between which ends, and how they spread between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from krogh.barrier.physiology import leaves as physiology_leaves
from krogh.compounds.compound import Value
from krogh.compounds.ranges import Leaf, leaves
from krogh.compounds.values import Kind, read_value
from krogh.errors import InputError, nearest
from krogh.runs.simulate import Case

__all__ = ["SHAPES", "Factor", "choose_factors", "numbers_of"]

#: How a factor spreads: ``split`` keeps the value as its median; the last two take the range as a 95 % interval.
SHAPES = ("split", "uniform", "loguniform", "normal", "lognormal")
_LINEAR = ("pka_acid", "pka_base", "ph_plasma", "ph_interstitium", "ph_cell", "tortuosity")
_CUT = 1e-3  # normal factors end at these quantiles
_PHYSIOLOGY, _STATE = -1, -2
_SHARE = Kind(("fraction",))
_MOST_TIMES = 1e6
_GROUPS = ("all", "physiology", "compound")


@dataclass(frozen=True, slots=True)
class Factor:
    """Hold one uncertain number.

    Attributes
    ----------
    key : str
        Name as in ``--free``, e.g. ``permeability``, ``P-gp.vmax``, ``physiology.barrier_area``, ``dopamine.permeability``.
    owner : int
        Index of the compound in its group, -1 for the physiology, -2 for the state of the barrier.
    path : tuple
        Way to the number inside its owner.
    value, low, high : float
        In SI.
    shape : str
        One of :data:`SHAPES`.
    dimension : str
        Key of :data:`krogh.units.DIMENSIONS`.
    source : str
        Where the range comes from.
    """

    key: str
    owner: int
    path: tuple[str | int, ...]
    value: float
    low: float
    high: float
    shape: str
    dimension: str
    source: str

    def quantile(self, share: np.ndarray) -> np.ndarray:
        """Return the numbers below which the shares 0..1 lie."""
        q = np.asarray(share, dtype=float)
        low, high, mid = self.low, self.high, self.value
        if self.shape in ("normal", "lognormal"):
            z = ndtri(np.clip(q, _CUT, 1 - _CUT)) / ndtri(0.975)
            if self.shape == "normal":
                return 0.5 * (low + high) + 0.5 * (high - low) * z
            return np.sqrt(low * high) * np.sqrt(high / low) ** z
        if self.shape == "uniform" or (self.shape == "split" and not low < mid < high and self._linear):
            return low + (high - low) * q
        if self.shape == "loguniform" or not low < mid < high:
            return low * (high / low) ** q
        lower, upper = np.minimum(2 * q, 1.0), np.maximum(2 * q - 1.0, 0.0)
        if self._linear:
            return low + (mid - low) * lower + (high - mid) * upper
        return low * (mid / low) ** lower * (high / mid) ** upper

    @property
    def _linear(self) -> bool:
        """Whether an even spread is one of the number itself, not of its logarithm."""
        name = self.key.rpartition("physiology.")[2].split(".")[0]
        return self.low <= 0 or name in _LINEAR or self.path[0] in _LINEAR


def numbers_of(case: Case) -> Iterator[tuple[str, int, Leaf]]:
    """Yield (key, owner, leaf) of every number that a case may use."""
    for i, (label, member) in enumerate(zip(case.labels, case.members, strict=True)):
        method = member.measured.method if member.measured is not None else None
        prefix = "" if i == 0 else f"{label.partition(' (')[0]}."
        for leaf in leaves(member.compound, case.physiology.species, method):
            yield prefix + leaf.key, i, leaf
    for leaf in physiology_leaves(case.physiology):
        yield f"physiology.{leaf.key}", _PHYSIOLOGY, leaf
    state = case.state
    settings = {"leak_factor": state.leak_factor, "pericyte_coverage": state.pericyte_coverage, "amino_acids": state.amino_acids}
    for name, number in settings.items():
        yield name, _STATE, Leaf(name, (name,), Value(number, "setting", "U"), _SHARE)
    for pump in sorted({t.name for m in case.members for t in m.pumps}):
        path = ("efflux_activity", pump)
        yield f"efflux.{pump}", _STATE, Leaf(f"efflux.{pump}", path, Value(state.activity(pump), "setting", "U"), _SHARE)


def choose_factors(case: Case, free: Sequence[str] = ()) -> tuple[tuple[Factor, ...], tuple[str, ...]]:
    """Return the factors, and the numbers that are held since nobody states a range.

    Parameters
    ----------
    case : Case
        What is simulated.
    free : sequence of str
        ``KEY`` (with the range of the library), ``KEY=LOW..HIGH UNIT [SHAPE]``, ``KEY=xF [SHAPE]`` (from the value over F to
        the value times F), or ``all``, ``physiology``, ``compound`` for what has a range there. Nothing means ``all``.

    Raises
    ------
    InputError
        If a key is unknown, has no range and none is given, or a range is malformed.
    """
    known = {key: (owner, leaf) for key, owner, leaf in numbers_of(case)}
    ranged = [k for k, (_, leaf) in known.items() if leaf.value.low is not None and leaf.value.high is not None]
    chosen: dict[str, Factor] = {}
    for text in free or ("all",):
        key, equals, ends = (part.strip() for part in text.partition("="))
        if key in _GROUPS and not equals:
            for k in ranged:
                if key == "all" or (known[k][0] == _PHYSIOLOGY) == (key == "physiology"):
                    chosen.setdefault(k, _factor(k, *known[k]))
            continue
        if key not in known:
            raise InputError("--free", got=f"'{key[:60]}'", hint=nearest(key[:60], [*known, *_GROUPS]))
        if not equals and key not in ranged:
            raise InputError("--free", got=f"'{key}' without a range", hint=f"give one: --free '{key}=LOW..HIGH UNIT'")
        chosen[key] = _given(key, ends, *known[key]) if equals else _factor(key, *known[key])
    if not chosen:
        raise InputError("--free", got="nothing with a range", hint="give one: --free 'permeability=1..10 nm/s'")
    held = [k for k, (owner, _) in known.items() if k not in chosen and k not in ranged and owner >= 0]
    return tuple(chosen.values()), tuple(held)


def _factor(key: str, owner: int, leaf: Leaf) -> Factor:
    v = leaf.value
    assert v.low is not None
    assert v.high is not None
    return Factor(key, owner, leaf.path, v.value, v.low, v.high, "split", leaf.kind.dimensions[0], v.source)


def _given(key: str, text: str, owner: int, leaf: Leaf) -> Factor:
    """Return the factor of a range in words."""
    words, shape, where = text.split(), "split", f"--free {key}"
    if words and words[-1] in SHAPES:
        shape, text = words[-1], " ".join(words[:-1])
    low, high = _times(text[1:], leaf, where) if text.startswith("x") else _ends(text, leaf, where)
    if not low < high:
        raise InputError(where, got=repr(text[:60]), expected="a low end below the high end")
    if low <= 0 and shape in ("loguniform", "lognormal"):
        raise InputError(where, got=f"{shape} from {low:g}", expected="a range above 0", hint="or 'uniform'")
    return Factor(key, owner, leaf.path, leaf.value.value, low, high, shape, leaf.kind.dimensions[0], "given")


def _ends(text: str, leaf: Leaf, where: str) -> tuple[float, float]:
    """Return the ends of ``LOW..HIGH UNIT``; a unit that only the high end has is that of both."""
    first, dots, last = (part.strip() for part in text.partition(".."))
    if not (dots and first and last):
        raise InputError(where, got=repr(text[:60]), expected="LOW..HIGH UNIT or xF, e.g. 'permeability=1..10 nm/s'")
    unit = last.lstrip("+-.0123456789eE").strip()
    if unit and not first.lstrip("+-.0123456789eE").strip():
        first = f"{first} {unit}"
    low, high = (read_value(end, leaf.kind, where).value for end in (first, last))
    return low, high


def _times(text: str, leaf: Leaf, where: str) -> tuple[float, float]:
    """Return value / F and value x F, inside of what the number may be."""
    try:
        times = float(text)
    except ValueError:
        times = 0.0
    if not 1 < times <= _MOST_TIMES:
        raise InputError(where, got=f"'x{text.strip()[:40]}'", expected="xF with F above 1, e.g. x3")
    low, high = leaf.value.value / times, min(leaf.value.value * times, leaf.kind.high)
    if leaf.kind.dimensions == ("fraction",) and leaf.path[0] in _LINEAR:
        raise InputError(where, got=f"x{text}", expected="LOW..HIGH", hint="a pH or pKa is a logarithm already")
    return low, high
