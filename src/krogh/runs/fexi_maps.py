"""Lay out fitted voxels as maps in the units shown to users, with the exchange rates and permeability that follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from krogh.errors import InputError
from krogh.fexi.derived import exchange_maps
from krogh.fexi.interface import Estimate, Flag, SignalModel
from krogh.fexi.protocol import Protocol
from krogh.permeability import cylinder_surface_to_volume
from krogh.runs.fexi_parameters import shown

__all__ = ["PS_ML_MIN_100ML", "PS_UNIT", "MapStore", "ParameterMap", "Vessels"]

#: Suffix of a quantile map -> its place in ``extra["quantiles"]``.
_INNER = {"Q10": 1, "Q25": 2, "Median": 3, "Q75": 4, "Q90": 5}
PS_UNIT = "mL/min/100mL"
PS_ML_MIN_100ML = 6000.0  # of 1/s


@dataclass(frozen=True, slots=True)
class Vessels:
    """State the vessels that turn an exchange rate into a permeability: blood fraction v_b [1], capillary radius [m]."""

    blood_fraction: float = 0.04
    radius_m: float = 3e-6
    source: str = "assumed"

    def __post_init__(self) -> None:
        if not 0 < self.blood_fraction < 1:
            raise InputError("blood fraction v_b", got=self.blood_fraction, expected="a fraction between 0 and 1")
        cylinder_surface_to_volume(self.radius_m)


@dataclass(frozen=True)
class ParameterMap:
    """Hold one map in the unit shown to users: values (x, y, z) float32, NaN where there is none."""

    name: str
    values: NDArray[Any]
    units: str
    words: str
    formula: str = ""


class MapStore:
    """Collect the chunks in float32 and lay them out as maps."""

    def __init__(self, model: SignalModel, protocol: Protocol, grid: tuple[int, ...], count: int) -> None:
        self.model, self.grid = model, grid
        n = len(model.parameter_names)
        self.theta = np.full((count, n), np.nan, np.float32)
        self.sd = np.full((count, n), np.nan, np.float32)
        self.s0 = np.full((count, protocol.n_series), np.nan, np.float32)
        self.rmse = np.full(count, np.nan, np.float32)
        self.flag = np.full(count, Flag.MASKED, np.uint8)
        self.low: dict[str, NDArray[np.float32]] = {}
        self.high: dict[str, NDArray[np.float32]] = {}
        self.quantiles: dict[str, NDArray[np.float32]] = {}
        self.odd: NDArray[np.uint8] | None = None
        self.learned = False
        self.interval_words = ""
        self.notes: list[str] = []

    def put(self, part: slice, estimate: Estimate) -> None:
        """Take the estimate of the voxels `part`."""
        names = self.model.parameter_names
        factors = np.array([1 / shown(name).si_per_unit for name in names])
        self.theta[part] = estimate.theta() * factors
        for j, name in enumerate(names):
            if name in estimate.sd:
                self.sd[part, j] = estimate.sd[name] * factors[j]
            if name in estimate.interval:
                for ends, values in zip((self.low, self.high), estimate.interval[name], strict=True):
                    ends.setdefault(name, np.full(self.flag.size, np.nan, np.float32))[part] = values * factors[j]
        self.interval_words = str(estimate.extra.get("interval_words", "")) or self.interval_words
        if (found := estimate.extra.get("quantiles")) is not None:
            self._put_quantiles(part, found * factors[:, None], estimate)
        self.s0[part], self.rmse[part], self.flag[part] = estimate.s0, estimate.rmse, estimate.flag
        self.notes += [note for note in estimate.notes if note not in self.notes]

    def _put_quantiles(self, part: slice, values: NDArray[Any], estimate: Estimate) -> None:
        self.learned = True
        for j, name in enumerate(self.model.parameter_names):
            for suffix, i in _INNER.items():
                key = f"{shown(name).name}{suffix}"
                self.quantiles.setdefault(key, np.full(self.flag.size, np.nan, np.float32))[part] = values[:, j, i]
        if self.odd is None:
            self.odd = np.full(self.flag.size, 0, np.uint8)
        self.odd[part] = estimate.extra["odd"]

    def theta_flags(self, inside: NDArray[np.intp], size: int) -> NDArray[np.uint8]:
        """Return the flag of every voxel of the flat grid."""
        flags = np.full(size, Flag.MASKED, np.uint8)
        flags[inside] = self.flag
        return flags

    def maps(self, inside: NDArray[np.intp], vessels: Vessels) -> dict[str, ParameterMap]:
        """Return the maps by short name; `inside` are the voxels on the flat grid."""
        made: dict[str, ParameterMap] = {}

        def add(name: str, values: NDArray[Any], units: str, words: str, formula: str = "") -> None:
            blank: Any = np.uint8(Flag.MASKED) if values.dtype == np.uint8 else np.float32(np.nan)
            whole = np.full((int(np.prod(self.grid)), *values.shape[1:]), blank, values.dtype, order="F")
            whole[inside] = values
            made[name] = ParameterMap(name, whole.reshape((*self.grid, *values.shape[1:]), order="F"), units, words, formula)

        for j, field_name in enumerate(self.model.parameter_names):
            p = shown(field_name)
            add(p.name, self.theta[:, j], p.unit, p.words, p.formula)
            kind = "of the posterior" if self.learned else "from the Fisher matrix"
            add(f"{p.name}Sd", self.sd[:, j], p.unit, f"standard deviation of {p.label} {kind}", "")
            words = self.interval_words or ("posterior" if self.learned else "profile")
            for suffix, ends in (("Low", self.low), ("High", self.high)):
                if field_name in ends:
                    add(
                        f"{p.name}{suffix}",
                        ends[field_name],
                        p.unit,
                        f"{suffix.lower()} end of the 95 % {words} interval of {p.label}",
                    )
            for suffix in _INNER if self.quantiles else ():
                words = "median" if suffix == "Median" else f"{suffix[1:]} % quantile"
                add(f"{p.name}{suffix}", self.quantiles[f"{p.name}{suffix}"], p.unit, f"posterior {words} of {p.label}")
        add("s0", self.s0, "arbitrary", "signal at b = 0, one volume per series of the protocol")
        self._add_exchange(add, vessels)
        add("rmse", self.rmse, "arbitrary", "root mean square of signal minus fit")
        if self.odd is not None:
            add("odd", self.odd, "1", "1: the residual is larger than noise makes it in one of a million voxels; no such tissue")
        add("flag", self.flag, "1", "; ".join(f"{int(f)} {f.name}: {f.sentence}" for f in Flag))
        return made

    def _add_exchange(self, add: Any, vessels: Vessels) -> None:
        names = list(self.model.parameter_names)
        rate_name = next((n for n in ("axr_per_s", "k_per_s") if n in names), None)
        if rate_name is None:
            return
        rate = self.theta[:, names.index(rate_name)]
        fitted = "f_i" in names
        f_i = self.theta[:, names.index("f_i")] if fitted else np.float32(vessels.blood_fraction)
        own = "as fitted" if fitted else f"{vessels.blood_fraction:g} ({vessels.source})"
        label = shown(rate_name).label
        # a fitted fraction of 0 is allowed: nothing in blood, PS 0
        made = exchange_maps(rate, blood_fraction=np.clip(f_i, 1e-9, 0.999), capillary_radius_m=vessels.radius_m)
        radius = f"capillary radius r = {vessels.radius_m * 1e6:g} um ({vessels.source})"
        for name, values, units, words, formula in (
            (
                "kie",
                made.k_ie_per_s,
                "1/s",
                "exchange rate of water, blood to tissue",
                f"k_ie = (1 - v_b) {label}, v_b = f_i {own}",
            ),
            ("kei", made.k_ei_per_s, "1/s", "exchange rate of water, tissue to blood", f"k_ei = v_b {label}, v_b = f_i {own}"),
            (
                "ps",
                PS_ML_MIN_100ML * made.ps_per_s,
                PS_UNIT,
                "permeability-surface product of water",
                f"PS = v_b k_ie, v_b = f_i {own}",
            ),
            ("p", 1e6 * made.p_m_s, "um/s", "permeability of the barrier to water", f"P = k_ie / (S/V) = k_ie r / 2, {radius}"),
        ):
            add(name, np.asarray(values).astype(np.float32), units, words, formula)
