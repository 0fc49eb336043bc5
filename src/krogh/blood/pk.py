"""Compute the plasma curve of a dose by one to three compartments, exactly, as a sum of exponentials."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from krogh.blood.dose import Dose
from krogh.blood.exponentials import ExponentialBlood
from krogh.compounds.compound import Compound, PlasmaPK, Value
from krogh.errors import InputError

__all__ = ["Terms", "constant_terms", "disposition", "dose_terms", "stack"]


@dataclass(frozen=True, slots=True)
class Terms:
    """Hold the exponentials of one compound: c(t) = sum coefficient exp(-rate (t - start)) from each start on."""

    start_s: np.ndarray
    rate_per_s: np.ndarray
    coefficient: np.ndarray
    fu: float


def disposition(pk: PlasmaPK) -> tuple[np.ndarray, np.ndarray]:
    """Return (a_k [1/m3], lambda_k [1/s]) of c(t) = dose sum a_k exp(-lambda_k t) after an intravenous bolus.

    Eigenvalues of the compartment matrix; a_k are the residues of the central compartment, and sum a_k = 1 / V1.
    """
    v = [pk.v1_m3.value]
    k = np.zeros((3, 3))
    k[0, 0] -= pk.cl_m3_s.value / v[0]
    size = 1
    for q, volume in ((pk.q2_m3_s, pk.v2_m3), (pk.q3_m3_s, pk.v3_m3)):
        if q is None or volume is None or q.value == 0:
            continue
        i = size
        k[0, 0] -= q.value / v[0]
        k[0, i] += q.value / v[0]
        k[i, 0] += q.value / volume.value
        k[i, i] -= q.value / volume.value
        v.append(volume.value)
        size += 1
    k = k[:size, :size]
    # symmetric in the metric of the volumes, so the eigenvalues are real
    root = np.sqrt(np.array(v))
    values, vectors = np.linalg.eigh(-(root[:, None] * k / root[None, :]))
    weight = vectors[0] ** 2 / v[0]
    return weight, np.maximum(values, 0.0)


def _absorbed(a: np.ndarray, rates: np.ndarray, ka: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the exponentials after first-order absorption: a ka / (ka - lambda) (exp(-lambda t) - exp(-ka t))."""
    # equal rates are moved apart by a part in a million: the limit t exp(-kt) is no exponential
    rates = np.where(np.abs(rates - ka) < 1e-6 * ka, ka * (1 + 1e-6), rates)
    scaled = a * ka / (ka - rates)
    return np.append(scaled, -scaled.sum()), np.append(rates, ka)


def dose_terms(compound: Compound, dose: Dose, species: str) -> Terms:
    """Return the plasma curve of a dose; a dose per kg is for the body mass that the plasma model belongs to.

    Raises
    ------
    InputError
        If the plasma model, its absorption or the binding is blank; the message names the option that supplies it.
    """
    if dose.route == "constant":
        return constant_terms(dose.size)
    pk = compound.pk.get(species)
    if pk is None:
        have = ", ".join(sorted(compound.pk)) or "none"
        raise InputError(f"compound '{compound.name}'", got=f"no plasma kinetics for {species} (has: {have})",
                         hint="give --plasma CURVE.csv, --dose '1 uM constant', or a [pk] table")  # fmt: skip
    fu = 1.0 if pk.basis == "unbound" else compound.need("fu_plasma", species).value
    amount = dose.amount_mol(compound.need("molar_mass_kg_mol").value, pk.body_mass_kg.value)
    a, rates = disposition(pk)
    lag = 0.0
    if dose.route == "oral":
        amount *= _needed(compound, pk.bioavailability, "bioavailability", species)
        a, rates = _absorbed(a, rates, _needed(compound, pk.ka_per_s, "ka", species))
        lag = pk.lag_s.value if pk.lag_s else 0.0
    starts, coefficients, speeds = [], [], []
    for t in dose.times_s():
        if dose.route == "infusion":
            speed = amount / dose.over_s
            # an infusion is a rise towards steady state from its start and the same taken off from its end
            for when, sign in ((t, 1.0), (t + dose.over_s, -1.0)):
                plateau = sign * speed * _plateau(a, rates)
                starts += [np.full(2 * a.size, when)]
                coefficients += [plateau, -plateau]
                speeds += [np.zeros(a.size), rates]
        else:
            starts += [np.full(a.size, t + lag)]
            coefficients += [amount * a]
            speeds += [rates]
    return Terms(np.concatenate(starts), np.concatenate(speeds), np.concatenate(coefficients), fu)


def _plateau(a: np.ndarray, rates: np.ndarray) -> np.ndarray:
    if np.any(rates <= 0):
        raise InputError("plasma kinetics", got="no elimination", expected="a clearance > 0 for an infusion")
    return a / rates


def _needed(compound: Compound, value: Value | None, key: str, species: str) -> float:
    if value is None:
        raise InputError(f"compound '{compound.name}'", got=f"no {key} for an oral dose ({species})",
                         hint=f"give it with --set {compound.name}.pk.{species}.{key}=VALUE, or an iv dose")  # fmt: skip
    return value.value


def constant_terms(free_mol_m3: float) -> Terms:
    """Return a constant free plasma concentration (0: absent from blood, formed inside)."""
    return Terms(np.zeros(1), np.zeros(1), np.array([free_mol_m3]), 1.0)


def stack(groups: list[list[Terms]]) -> ExponentialBlood:
    """Return the terms of all problems (batch) and species as one source, padded with zeros."""
    longest = max(t.start_s.size for g in groups for t in g)
    shape = (len(groups), len(groups[0]), longest)
    start, rate, coefficient = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for b, group in enumerate(groups):
        for s, t in enumerate(group):
            n = t.start_s.size
            start[b, s, :n], rate[b, s, :n], coefficient[b, s, :n] = t.start_s, t.rate_per_s, t.coefficient
    return ExponentialBlood(start, rate, coefficient, np.array([[t.fu for t in g] for g in groups]))
