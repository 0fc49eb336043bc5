"""Collect what ``krogh fexi infer`` works on: signals, protocols, the model, noise, priors; from options and a TOML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from krogh.cli.fexi_model import tissue_model
from krogh.errors import InputError, UsageError, nearest
from krogh.fexi.interface import SignalModel
from krogh.fexi.protocol import Protocol
from krogh.inference.observations import Observations
from krogh.inference.signals import Scan
from krogh.io.fexi_protocol import read_protocol
from krogh.io.fexi_signals import FexiSignals, read_fexi_signals
from krogh.io.text_file import read_toml
from krogh.runs.fexi_parameters import Shown, shown_by_name
from krogh.runs.infer_fexi import observe, residual_sd, scans_of
from krogh.units import parse_quantity

__all__ = ["FexiSettings", "read_fexi_settings"]

_DEFAULTS: dict[str, Any] = {
    "protocol": None, "model": "axr", "free": None, "noise_sd": None, "snr": None, "likelihood": "gaussian", "bound": [],
    "fix": [], "relax": [], "prior": [], "only": [], "vb": "4 %", "radius": "3 um",
}  # fmt: skip
_OF_A_CURVE = ("protocol", "noise_sd", "snr")
_DIMENSION = {"um2/ms": "diffusivity", "1/s": "rate", "1": "fraction"}


@dataclass(frozen=True)
class FexiSettings:
    """Hold curves, how they were measured, what is free, what is known of it, and the settings behind them."""

    data: Observations
    scans: Mapping[str, Scan]
    free: tuple[str, ...]
    priors: Mapping[str, tuple[float, float]]
    bounds: Mapping[str, tuple[float, float]]
    blood_fraction: float
    radius_m: float
    notes: tuple[str, ...]
    inputs: tuple[Path, ...]
    config: Mapping[str, Any]


def read_fexi_settings(paths: Sequence[Path], given: Mapping[str, Any], config: Path | None) -> FexiSettings:
    """Read everything that the options name; an option that is not None goes before the file `config`.

    Raises
    ------
    InputError, UsageError
        If a file or a setting is wrong; one line.
    """
    base = dict(read_toml(config)) if config else {}
    tables = base.pop("dataset", {})
    _check_tables(base, tables)
    s = {**_DEFAULTS, **base, **{k: v for k, v in given.items() if v is not None and v != []}}
    if s["likelihood"] not in ("gaussian", "rician"):
        raise UsageError("--likelihood", got=repr(s["likelihood"]), expected="gaussian or rician")
    model, free, held = _model(s)
    protocols: dict[str, Protocol] = {}

    def protocol_of(name: str) -> Protocol:
        source = tables.get(name, {}).get("protocol", s["protocol"])
        if source is None:
            raise UsageError("--protocol", got="none", expected="a protocol file, or a preset such as human-bbb")
        return protocols.setdefault(str(source), read_protocol(source))

    signals = read_fexi_signals(paths, lambda name: protocol_of(name).n_volumes)
    signals = _chosen(signals, s["only"])
    names = list(dict.fromkeys(signals.dataset))
    lost = [n for n in tables if n not in names]
    if lost:
        raise InputError(f"dataset.{lost[0]}", got="no row of the signals", expected="one of " + ", ".join(names))
    scans = _scans(signals, names, protocol_of, model, held)
    priors = dict(_prior(text, free, model) for text in s["prior"])
    limits = dict(x for text in s["bound"] if (x := _limits(text, free, model)) is not None)
    data, said = _with_noise(signals, scans, s, tables, free, limits)
    notes = (*said, *((f"{', '.join(names)} share one tissue; --only NAME takes one of them",) if len(names) > 1 else ()))
    fraction, radius = (parse_quantity(str(s[k]), d, where=f"--{k}") for k, d in (("vb", "fraction"), ("radius", "length")))
    files = tuple(Path(p) for p in (*paths, config, s["protocol"]) if p is not None and Path(p).is_file())
    record = {**s, "dataset": tables, "free": list(free), "protocols": {n: protocol_of(n).as_dict() for n in names}}
    return FexiSettings(data, scans, free, priors, limits, fraction, radius, notes, files, record)


def _check_tables(base: Mapping[str, Any], tables: Any) -> None:
    for key in base:
        if key not in _DEFAULTS:
            raise InputError(f"setting '{key}'", got="an unknown key", hint=nearest(key, _DEFAULTS))
    if not isinstance(tables, Mapping) or not all(isinstance(t, Mapping) for t in tables.values()):
        raise InputError("dataset", got="no tables", expected="[dataset.NAME] with " + ", ".join(_OF_A_CURVE))
    for name, table in tables.items():
        for key in table:
            if key not in _OF_A_CURVE:
                raise InputError(f"dataset.{name}.{key}", got="an unknown key", expected=", ".join(_OF_A_CURVE))


def _chosen(signals: FexiSignals, only: Sequence[str]) -> FexiSignals:
    """Return the rows of the curves that were asked for."""
    for name in only:
        if name not in signals.dataset:
            raise UsageError("--only", got=f"'{name}'", hint=nearest(name, list(dict.fromkeys(signals.dataset))))
    if not only:
        return signals
    rows = np.array([d in only for d in signals.dataset])
    dataset = tuple(d for d in signals.dataset if d in only)
    return FexiSignals(dataset, signals.volume[rows], signals.signal[rows], signals.sd[rows], signals.line[rows])


def _model(s: Mapping[str, Any]) -> tuple[SignalModel, tuple[str, ...], dict[str, float]]:
    """Return the model with all its parameters, the names of the free ones, and values of held ones by field."""
    usual = tissue_model(s["model"], [], [], [])
    model = tissue_model(s["model"], list(s["bound"]), [], list(s["relax"]), whole=True)
    held: dict[str, float] = dict(getattr(usual, "fixed", {}))
    for text in s["fix"]:
        name, _, value = text.partition("=")
        p = shown_by_name(name, "--fix", model.parameter_names)
        held[p.field] = _value(value, p, "--fix")
    words = str(s["free"]).split(",") if s["free"] else [_short(f) for f in usual.parameter_names if f not in held]
    free = tuple(shown_by_name(w, "--free", model.parameter_names).name for w in words if w.strip())
    both = [n for n in free if any(t.partition("=")[0].strip().lower() == n for t in s["fix"])]
    if both:
        raise UsageError("--fix", got=f"{both[0]}, which is free as well", expected="one of the two")
    missing = [_short(f) for f in model.parameter_names if f not in held and _short(f) not in free]
    if missing:
        raise UsageError("--free", got=f"neither a free nor a fixed {missing[0]}", expected=f"--fix {missing[0]}=VALUE")
    return model, free, held


def _short(field: str) -> str:
    from krogh.runs.fexi_parameters import shown

    return shown(field).name


def _value(text: str, p: Shown, where: str) -> float:
    """Return a value in SI: a number in the unit in which it is shown, or one with its unit."""
    try:
        number = float(text) * p.si_per_unit
    except ValueError:
        number = parse_quantity(text, _DIMENSION[p.unit], where=f"{where} {p.name}")
    if not (np.isfinite(number) and number > 0):
        raise InputError(f"{where} {p.name}", got=repr(text), expected="a value > 0")
    return number


def _free(name: str, where: str, free: Sequence[str], model: SignalModel) -> Shown:
    p = shown_by_name(name, where, model.parameter_names)
    if p.name not in free:
        raise UsageError(where, got=f"'{name}'", expected="a free parameter: " + ", ".join(free))
    return p


def _prior(text: str, free: Sequence[str], model: SignalModel) -> tuple[str, tuple[float, float]]:
    """Return label -> (median, SD of the logarithm) from words such as ``axr='3, 1.5'``: a factor of 1.5 is one SD."""
    name, _, rest = text.partition("=")
    median, comma, fold = rest.partition(",")
    p = _free(name, "--prior", free, model)
    try:
        factor = float(fold)
    except ValueError:
        factor = 0.0
    if not (comma and 1 < factor < 1e6):
        raise UsageError("--prior", got=repr(text), expected="NAME='MEDIAN, FOLD' with a factor > 1, e.g. axr='3, 2'")
    return p.label, (_value(median.strip(), p, "--prior"), float(np.log(factor)))


def _limits(text: str, free: Sequence[str], model: SignalModel) -> tuple[str, tuple[float, float]] | None:
    """Return label -> limits that were given; a lower one of 0 is no limit of a logarithm."""
    name, _, ends = text.partition("=")
    p = _free(name, "--bound", free, model)
    low, high = (float(x) * p.si_per_unit for x in ends.split(":"))
    return (p.label, (low, high)) if low > 0 else None


def _scans(
    signals: FexiSignals, names: Sequence[str], protocol_of: Any, model: SignalModel, held: Mapping[str, float]
) -> dict[str, Scan]:
    found: dict[str, Scan] = {}
    for name in names:
        mine = np.array([d == name for d in signals.dataset])
        found |= scans_of((name,) * int(mine.sum()), signals.volume[mine], protocol_of(name), model, held)
        model.shape(found[name].held[None], protocol_of(name))  # what the protocol lacks is said before anything is fitted
    return found


def _with_noise(
    signals: FexiSignals, scans: Mapping[str, Scan], s: Mapping[str, Any], tables: Mapping[str, Any], free: Sequence[str],
    bounds: Mapping[str, tuple[float, float]],
) -> tuple[Observations, tuple[str, ...]]:  # fmt: skip
    """Return the observations; noise from the file, the options, or else the residuals."""
    sd, time = signals.sd.copy(), np.zeros(len(signals.signal))
    for name, scan in scans.items():
        mine = np.array([d == name for d in signals.dataset])
        own = {**{k: s[k] for k in ("noise_sd", "snr")}, **{k: v for k, v in tables.get(name, {}).items() if k != "protocol"}}
        if own["noise_sd"] is not None and own["snr"] is not None:
            raise UsageError("--noise-sd", got="also --snr", expected="one of the two")
        p = scan.protocol
        time[mine] = p.mixing_time_s[scan.volume]
        level = _positive(own["noise_sd"], "--noise-sd")
        if own["snr"] is not None:
            plain = (p.filter_b_s_m2[scan.volume] == 0) & (p.b_s_m2[scan.volume] == 0)
            if not plain.any():
                raise InputError("--snr", got=f"no unfiltered b = 0 volume in '{name}'", expected="--noise-sd")
            level = float(signals.signal[mine][plain].mean()) / _positive(own["snr"], "--snr")
        sd[mine & np.isnan(sd)] = level
    missing = np.isnan(sd)
    if not missing.any():
        return _observations(signals, time, sd, s["likelihood"]), ()
    if s["likelihood"] == "rician" or not missing.all():
        raise InputError(
            f"line {int(signals.line[missing][0])}, sd", got="no noise SD", expected="--noise-sd, --snr or a column 'sd'"
        )
    first = _observations(signals, time, np.full(sd.size, 0.01 * signals.signal.max()), "gaussian")
    found, degrees = residual_sd(scans, first, free, bounds)
    note = f"noise SD {found:.3g} from the residuals ({degrees} degrees of freedom), taken as known"
    return _observations(signals, time, np.full(sd.size, found), "gaussian"), (note,)


def _positive(value: Any, where: str) -> float:
    if value is None:
        return float("nan")
    if not isinstance(value, (int, float)) or not (np.isfinite(value) and value > 0):
        raise UsageError(where, got=repr(value), expected="a finite number > 0")
    return float(value)


def _observations(signals: FexiSignals, time: np.ndarray, sd: np.ndarray, likelihood: str) -> Observations:
    return observe(signals.dataset, time, signals.signal, sd, likelihood=likelihood, line=signals.line)
