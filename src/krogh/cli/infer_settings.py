"""Collect what ``krogh infer`` works on: data, one experiment a data set, priors and bounds in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from krogh.errors import InputError, UsageError
from krogh.inference.experiment import Experiment
from krogh.inference.observations import Observations
from krogh.inference.parameters import Parameter, find_parameter
from krogh.units import parse_quantity

__all__ = ["Settings", "read_settings"]

_DEFAULTS = {"cells": 40, "rtol": 1e-4}
Pair = tuple[float, float]


@dataclass(frozen=True)
class Settings:
    """Hold data, experiments by data set, input files and the settings behind them."""

    data: Observations
    experiments: Mapping[str, Experiment]
    inputs: tuple[Path, ...]
    config: Mapping[str, Any]

    def record(self, free: str) -> dict[str, Any]:
        """Return the settings for the record of the run."""
        return {"free": free, **self.config}

    def _parameters(self, free: str) -> dict[str, Parameter]:
        subject = next(iter(self.experiments.values())).subject
        found = [find_parameter(n.strip(), subject) for n in free.split(",") if n.strip()]
        return {p.name.lower(): p for p in found} | {p.name.rpartition(".")[2].lower(): p for p in found}

    def _pairs(self, option: str, words: Sequence[str], free: str, mark: str, example: str) -> list[tuple[Parameter, str, str]]:
        known = self._parameters(free)
        found = []
        for word in words:
            name, equals, text = word.partition("=")
            left, sign, right = text.partition(mark)
            if not (equals and sign):
                raise UsageError(option, got=repr(word), expected=example)
            if name.strip().lower() not in known:
                raise UsageError(option, got=f"'{name}'", expected=f"a parameter of --free {free}")
            found.append((known[name.strip().lower()], left.strip(), right.strip()))
        return found

    def priors(self, words: Sequence[str], free: str) -> dict[str, Pair]:
        """Return name -> (median, SD of the logarithm) from words such as ``Km='1 mM, 3'``: a factor of 3 is one SD."""
        out = {}
        for p, median, fold in self._pairs("--prior", words, free, ",", "NAME='MEDIAN, FOLD', e.g. Km='1 mM, 3'"):
            try:
                factor = float(fold)
            except ValueError:
                factor = 0.0
            value = parse_quantity(median, p.dimension, where=f"--prior {p.name}")
            if not (1 < factor < 1e6 and value > 0):
                raise UsageError(f"--prior {p.name}", got=f"'{median}, {fold}'", expected="a value > 0 and a factor > 1")
            out[p.name] = (value, float(np.log(factor)))
        return out

    def bounds(self, words: Sequence[str], free: str) -> dict[str, Pair]:
        """Return name -> (low, high) from words such as ``P='1 nm/s to 1 um/s'``."""
        out = {}
        for p, low, high in self._pairs("--bounds", words, free, " to ", "NAME='LOW to HIGH', e.g. P='1 nm/s to 1 um/s'"):
            ends = tuple(parse_quantity(x, p.dimension, where=f"--bounds {p.name}") for x in (low, high))
            if not 0 < ends[0] < ends[1]:
                raise UsageError(f"--bounds {p.name}", got=f"{low} to {high}", expected="0 < low < high")
            out[p.name] = (ends[0], ends[1])
        return out

    def check(self, names: Sequence[str], priors: Mapping[str, Pair], bounds: Mapping[str, Pair]) -> None:
        """Refuse what the run would refuse, without solving anything."""
        from krogh.runs.infer import build_target

        build_target(self.experiments, self.data, names, priors=priors, bounds=bounds)


def _relative(text: str) -> float:
    try:
        value = parse_quantity(text, "fraction", where="--cv")
    except InputError:
        value = 0.0
    if not 0 < value <= 10:
        raise UsageError("--cv", got=f"'{text}'", expected="a relative error above 0, at most 1000 %, e.g. '8 %'")
    return value


def read_settings(
    paths: Sequence[Path],
    given: Mapping[str, Any],
    set_: Sequence[str],
    config: Path | None,
    plasma: Path | None,
    compound_files: Sequence[Path],
    cv: str | None,
) -> Settings:
    """Read everything that the options name.

    Raises
    ------
    InputError, UsageError
        If a file or a setting is wrong; one line.
    """
    from krogh.io.compound_file import read_compound_file
    from krogh.io.observations import read_observations
    from krogh.io.text_file import read_plasma_curve, read_toml
    from krogh.runs.config import InferConfig, build_config
    from krogh.runs.infer import build_experiment
    from krogh.validation.lumbar import READERS

    base = dict(read_toml(config)) if config else {}
    tables = base.pop("dataset", {})
    if not isinstance(tables, Mapping) or not all(isinstance(t, Mapping) for t in tables.values()):
        raise InputError("dataset", got="no tables", expected="[dataset.NAME] with dose, efflux, leak_factor ...")
    own = {c.name.lower(): c for c in (read_compound_file(p) for p in compound_files)}
    curve = read_plasma_curve(plasma) if plasma else None
    start = {**_DEFAULTS, **base}
    common = build_config(start, set_, given, kind=InferConfig)
    mass = build_experiment("", common, own=own, plasma=curve).subject.compound.molar_mass_kg_mol
    relative = _relative(cv) if cv else None
    data = read_observations(paths, mass.value if mass else None, cv=relative)
    names = list(dict.fromkeys(data.dataset))
    lost = [n for n in tables if n not in names]
    if lost:
        raise InputError(f"dataset.{lost[0]}", got="no row of the data", expected="one of " + ", ".join(names))
    experiments, settings, curves = {}, {}, list[Path]()
    for name in names:
        own_table = dict(tables.get(name, {}))
        mine = None if "dose" in own_table else curve
        if "plasma" in own_table:  # beside the file that names it
            curves.append((config or Path()).parent / str(own_table.pop("plasma")))
            mine = read_plasma_curve(curves[-1])
        rest = {k: v for k, v in given.items() if k not in own_table}
        one = build_config({**start, **own_table}, set_, rest, kind=InferConfig)
        settings[name] = one.model_dump()
        experiments[name] = build_experiment(name, one, own=own, plasma=mine, readers=READERS)
    files = [*paths, *(p for p in (config, plasma) if p), *curves, *compound_files]
    return Settings(data, experiments, tuple(files), {"datasets": settings, "compounds": list(common.compounds)})
