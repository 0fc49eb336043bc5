"""Infer tissue from FEXI signals: curves and a protocol in, parameters with intervals and what the protocol cannot tell out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.stats import chi2

from krogh.errors import InputError
from krogh.fexi.interface import SignalModel
from krogh.fexi.protocol import Protocol
from krogh.inference.fit import Fit, fit
from krogh.inference.observations import Observations
from krogh.inference.parameters import Parameter
from krogh.inference.rician import RicianObservations
from krogh.inference.signals import Scan
from krogh.inference.target import Target
from krogh.runs.fexi_parameters import shown, shown_by_name
from krogh.runs.infer_fexi_curves import Curve, NextSeries, draw_curves, next_series
from krogh.runs.infer_notes import notes_of_fit
from krogh.runs.judged import Judged, Known, draw, settle, target_of

__all__ = ["FexiInference", "find_tissue", "infer_fexi", "observe", "residual_sd", "scans_of"]

#: Where the search starts, and what is held without a word: in the unit of :mod:`krogh.runs.fexi_parameters`.
TYPICAL = {"adc": 1.0, "sigma": 0.2, "axr": 3.0, "fi": 0.04, "di": 10.0, "de": 0.8, "k": 3.0}
#: Lower reach of a parameter whose bound is 0, over the upper one.
_SMALLEST = 1e-3
_DIMENSION = {"um2/ms": "diffusivity", "1/s": "rate", "1": "fraction"}
_NOISY = 3.0
_LEAST_DEGREES = 5


@dataclass(frozen=True)
class FexiInference(Judged):
    """Hold a finished inference from FEXI signals; ``name`` is the model's.

    Attributes
    ----------
    scans : mapping of str to Scan
        How each curve was measured.
    curves : tuple of Curve
        ADC' over the mixing time, with its bands.
    further : tuple of NextSeries
        Series that would narrow the parameters most.
    """

    scans: Mapping[str, Scan]
    curves: tuple[Curve, ...]
    further: tuple[NextSeries, ...]


def observe(
    dataset: Sequence[str],
    mixing_time_s: np.ndarray,
    signal: np.ndarray,
    sd: np.ndarray,
    *,
    likelihood: str = "gaussian",
    line: np.ndarray | None = None,
) -> Observations:
    """Return signals as observations: a value a row, with its curve, mixing time and noise SD in the unit of the signal.

    Raises
    ------
    InputError
        If a signal is not > 0, or its SD not.
    """
    count = len(signal)
    rows = np.arange(1, count + 1) if line is None else line
    for what, values in (("signal", signal), ("noise SD", sd)):
        bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
        if bad.size:
            raise InputError(f"line {int(rows[bad[0]])}, {what}", got=f"{values[bad[0]]:g}", expected="a finite number > 0")
    kind = {"gaussian": Observations, "rician": RicianObservations}[likelihood]
    zero = np.zeros(count)
    return kind(tuple(dataset), ("signal",) * count, np.asarray(mixing_time_s, dtype=float), np.asarray(signal, dtype=float),
                np.asarray(sd, dtype=float), zero, zero, rows)  # fmt: skip


def scans_of(
    dataset: Sequence[str], volume: np.ndarray, protocol: Protocol, model: SignalModel, held: Mapping[str, float]
) -> dict[str, Scan]:
    """Return one scan a curve; `held` are values of the model's parameters by field, SI, in place of typical ones.

    Raises
    ------
    InputError
        If a volume is there twice for one curve.
    """
    fields = model.parameter_names
    values = np.array([held.get(f, TYPICAL[shown(f).name] * shown(f).si_per_unit) for f in fields])
    place = {shown(f).label: i for i, f in enumerate(fields)}
    scans = {}
    for name in dict.fromkeys(dataset):
        mine = np.asarray(volume)[np.array([d == name for d in dataset])]
        twice = np.flatnonzero(np.bincount(mine) > 1)
        if twice.size:
            raise InputError(f"dataset '{name}'", got=f"volume {twice[0] + 1} twice", expected="each volume once")
        scans[name] = Scan(name, protocol, mine, model, values, place)
    return scans


def find_tissue(name: str, scan: Scan) -> Parameter:
    """Return an unknown with its reach: the bounds of the model; a share is known to be at most 1."""
    fields = scan.model.parameter_names
    p = shown_by_name(name, "--free", fields)
    i = fields.index(p.field)
    low, high = scan.model.bounds[i]
    if low < 0:
        raise InputError(
            f"--bound {p.name}", got=f"{low / p.si_per_unit:g}", expected="a lower limit >= 0: inference works in logarithms",
            hint="krogh fexi fit takes a negative sigma",
        )  # fmt: skip
    reach = max(float(low), _SMALLEST * float(high))
    return Parameter(
        p.label, _DIMENSION[p.unit], "" if p.unit == "1" else p.unit,
        float(np.clip(scan.held[i], reach, high)), reach, float(high), lambda subject, x: subject,
        hard=(False, p.name == "sigma" and bool(high >= 1)),
    )  # fmt: skip


def infer_fexi(
    scans: Mapping[str, Scan],
    data: Observations,
    free: Sequence[str],
    *,
    priors: Known | None = None,
    bounds: Known | None = None,
    unheld: Literal["report", "fix"] = "report",
    level: float = 0.95,
    posterior: bool = True,
    seed: int = 0,
    notes: Sequence[str] = (),
) -> FexiInference:
    """Infer the tissue parameters `free` of one or more curves that share them; every series of every curve has its own S0.

    Parameters
    ----------
    scans, data
        See :func:`scans_of` and :func:`observe`.
    free : sequence of str
        Short names, as in maps and tables: ``adc``, ``sigma``, ``axr``; ``fi``, ``di``, ``de``, ``k``. Others are held.
    priors, bounds, unheld, level, posterior, seed
        See :func:`krogh.runs.infer.infer`.
    notes : sequence of str
        What a reader should know of the data.

    Raises
    ------
    InputError, ConvergenceError
        If a name is unknown, or no fit converges.
    """
    first = next(iter(scans.values()))

    def build(names: Sequence[str], priors: Known, bounds: Known) -> tuple[tuple[Parameter, ...], Target, np.ndarray]:
        return target_of(scans, data, [find_tissue(n, first) for n in names], priors, bounds)

    s = settle(build, free, priors or {}, bounds or {}, unheld=unheld, level=level, seed=seed, tell=lambda share: None,
               usual="a typical value")  # fmt: skip
    s = replace(s, fit=_with_series(s.fit, scans))
    samples, reason, draws = draw(s, posterior=posterior, seed=seed)
    curves = tuple(draw_curves(scan, s.parameters, data, s.fit.x, draws) for scan in scans.values())
    further = tuple(next_series(scans, s.parameters, data, s.fit))
    said = [*notes, *s.said, *([reason] if reason else []), *notes_of_fit(s.target, s.fit, s.judged, s.parameters)]
    said += _notes(scans, data, s.fit.predicted)
    return FexiInference(
        first.model.name, s.parameters, data, s.target, s.fit, s.profiles, s.judged, samples, draws, level, tuple(said),
        scans, curves, further,
    )  # fmt: skip


def _with_series(found: Fit, scans: Mapping[str, Scan]) -> Fit:
    """Return the fit with the degrees of freedom that S0 of every series takes."""
    dof = found.dof - sum(np.unique(s.protocol.series_index[s.volume]).size for s in scans.values())
    return replace(found, dof=dof, p_value=float(chi2.sf(found.chi2, dof)) if dof > 0 else float("nan"))


def _notes(scans: Mapping[str, Scan], data: Observations, predicted: np.ndarray) -> list[str]:
    notes = []
    if not isinstance(data, RicianObservations) and float((predicted / data.sd).min()) < _NOISY:
        notes.append("the weakest signal is below 3 noise SD: Gaussian errors bias the fit there, use --likelihood rician")
    if next(iter(scans.values())).model.name == "2cm":
        notes.append("2cm knows no relaxation and no crushers; what they do to the signal goes into the parameters")
    return notes


def residual_sd(scans: Mapping[str, Scan], data: Observations, free: Sequence[str], bounds: Known) -> tuple[float, int]:
    """Return the noise SD from the residuals of a least-squares fit, and its degrees of freedom; `data` carry any one SD.

    Raises
    ------
    InputError
        If fewer than five degrees of freedom are left.
    """
    first = next(iter(scans.values()))
    _, target, start = target_of(scans, data, [find_tissue(n, first) for n in free], {}, bounds)
    found = _with_series(fit(target, start), scans)
    if found.dof < _LEAST_DEGREES:
        raise InputError(
            "noise SD", got=f"none, and {found.dof} degrees of freedom to take it from",
            expected="--noise-sd, --snr or a column 'sd'", hint=f"residuals need {_LEAST_DEGREES}",
        )  # fmt: skip
    return float(data.sd[0] * np.sqrt(found.chi2 / found.dof)), found.dof
