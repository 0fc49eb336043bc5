"""Find again every value that a simulation used, with its source: compounds and physiology as the settings chose them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from krogh.compounds.compound import Value
from krogh.errors import KroghError
from krogh.io.run_folder import RunFolder

__all__ = ["Used", "used_values"]


@dataclass(frozen=True)
class Used:
    """Hold one value that a run used: whose it is, its key, and how it is shown."""

    owner: str
    key: str
    value: Value
    shown: str
    span: str = ""
    detail: str = ""


def used_values(run: RunFolder) -> list[Used]:
    """Return the values behind a simulation; nothing for other runs, and nothing of compounds that only the user's file knows."""
    config = run.config
    if "compounds" not in config:
        return []
    from krogh.runs.config import SimulateConfig

    try:
        settings = SimulateConfig(**{k: v for k, v in config.items() if k in SimulateConfig.model_fields})
    except ValueError:
        return []
    found: dict[tuple[str, str, float], Used] = {}
    for name in settings.compounds:
        for used in _of_compound(name, settings):
            found.setdefault((used.owner, used.key, used.value.value), used)
    for used in _of_physiology(settings):
        found.setdefault((used.owner, used.key, used.value.value), used)
    return list(found.values())


def _of_compound(name: str, config: Any) -> Iterator[Used]:
    from krogh.runs.simulate import plan

    own = {k: v for k, v in config.compound.items() if k.lower() == name.lower()}
    # a constant dose needs no plasma model: the values are wanted, not the doses
    alone = config.model_copy(update={"compounds": (name,), "compound": own, "dose": _dose_of(name, config), "together": False})
    try:
        cases = plan(alone)
    except KroghError:
        try:
            cases = plan(alone.model_copy(update={"dose": "1 uM constant"}))
        except KroghError:
            return
    for member in cases[0].members:
        yield from _rows(member, config.species)


def _dose_of(name: str, config: Any) -> str | None:
    given = config.dose
    if isinstance(given, dict):
        return {k.lower(): v for k, v in given.items()}.get(name.lower())
    return given if isinstance(given, str) else None


def _rows(member: Any, species: str) -> Iterator[Used]:
    from krogh.barrier.physiology import SPECIES
    from krogh.compounds.describe import describe

    names = {t.name for t in (*member.carriers, *member.pumps, *member.vesicles)}
    left_out = {t.name for t in member.compound.transporters} - names
    for row in describe(member.compound):
        parts = row.key.split(".")
        other = any(p in SPECIES and p != species for p in parts)
        unused_p = row.key == "permeability" and (member.measured is None or row.value is not member.measured.p_m_s)
        observed = parts[0] == "kp_uu" or any(row.key.startswith(f"{t}.") for t in left_out)
        if row.value is None or other or unused_p or observed:
            continue
        v = row.value
        shown = f"{row.shown(v.value):.4g} {row.unit}".strip()
        ends = [row.shown(end) for end in (v.low, v.high)]
        span = "" if None in ends else f"{ends[0]:.3g} to {ends[1]:.3g}"
        yield Used(member.compound.name, row.key, v, shown, span, row.detail)


def _of_physiology(config: Any) -> Iterator[Used]:
    from krogh.barrier.physiology import get_physiology, listed, with_physiology

    try:
        physiology = with_physiology(get_physiology(config.species), config.physiology)
    except KroghError:
        return
    for key, value, shown in listed(physiology):
        ends = "" if value.low is None or value.high is None else f"{shown(value.low)} to {shown(value.high)}"
        yield Used(f"{config.species} barrier", key, value, shown(value.value), ends)
