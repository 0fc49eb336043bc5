"""How precisely a protocol can measure a tissue: the Cramer-Rao bound, before any scan.

Gaussian noise is assumed (right above an SNR of about 5 in every volume). No unbiased estimator can have a smaller standard
deviation than the bound; a biased one can, at the price of bias.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from krogh.errors import InputError
from krogh.fexi.interface import SignalModel
from krogh.fexi.protocol import Protocol

__all__ = ["Precision", "check_identifiable", "crlb", "fisher", "sd_from_fisher", "voxels_needed"]

FloatArray = NDArray[np.float64]
_SINGULAR = 1e-13
_PROBES = 64


def fisher(
    model: SignalModel, protocol: Protocol, theta: FloatArray, s0: FloatArray, weights: FloatArray, *, s0_free: bool = True
) -> FloatArray:
    """Return the Fisher matrix of the tissue parameters, S0 of every series taken into account [voxel, param, param].

    I = J' W J - J' W A (A' W A)^-1 A' W J, with J = d signal / d theta, A = d signal / d S0, W the inverse noise variances.

    Parameters
    ----------
    theta : array [voxel, param]
        SI.
    s0 : array [voxel, series]
        Signal at b = 0 in the unit of the noise.
    weights : array [volume] or [voxel, volume]
        1 / noise_sd**2.
    s0_free : bool, optional
        S0 of each series is unknown (default) or known.
    """
    series, n_par = protocol.series_index, len(model.parameter_names)
    jac = np.asarray(s0)[:, series, None] * model.shape_jacobian(theta, protocol)
    w = np.broadcast_to(weights, jac.shape[:2])[:, :, None]
    if s0_free:
        shape = model.shape(theta, protocol)
        member = (series[:, None] == np.arange(protocol.n_series)).astype(float)
        q = (w[:, :, 0] * shape * shape) @ member
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.stack([((w[:, :, 0] * shape * jac[:, :, p]) @ member) / q for p in range(n_par)], axis=2)
        jac = jac - shape[:, :, None] * mean[:, series]
    return np.einsum("vgp,vgq->vpq", jac * w, jac)


def sd_from_fisher(information: FloatArray, scale: ArrayLike) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return the square roots of the diagonal of the inverse [voxel, param], NaN where singular, and where it is not.

    `scale` [param] is the size of each parameter (the width of its bounds): a matrix counts as singular when, so scaled, its
    smallest eigenvalue is below 1e-13 of the largest.
    """
    s = np.asarray(scale, float)
    scaled = information * s[:, None] * s
    finite = np.isfinite(scaled).all(axis=(1, 2))
    scaled[~finite] = 0.0
    values, vectors = np.linalg.eigh(scaled)
    good = finite & (values[:, 0] > _SINGULAR * values[:, -1]) & (values[:, 0] > 0)
    variance = np.full(values.shape, np.nan)
    variance[good] = np.einsum("vpk,vk->vp", vectors[good] ** 2, 1 / values[good])
    return np.sqrt(variance) * s, good


@dataclass(frozen=True)
class Precision:
    """Cramer-Rao bound of one tissue under one protocol.

    Parameters
    ----------
    sd : dict
        Smallest possible standard deviation of each parameter for one voxel, one acquisition, SI.
    value : dict
        The tissue.
    snr : float
        On the unfiltered b = 0 signal.
    """

    sd: dict[str, float]
    value: dict[str, float]
    snr: float

    def cv(self, name: str) -> float:
        """Return SD / value of one parameter (1 = 100 %)."""
        return self.sd[name] / abs(self.value[name]) if self.value[name] else math.inf


def crlb(
    model: SignalModel,
    protocol: Protocol,
    tissue: dict[str, float],
    snr: float,
    *,
    s0: str | ArrayLike = "per-series",
    s0_level: ArrayLike = 1.0,
) -> Precision:
    """Return the Cramer-Rao bound of every parameter.

    Parameters
    ----------
    tissue : dict
        Value of every free parameter of the model, SI.
    snr : float
        Signal of the unfiltered b = 0 volume over the noise SD of one acquisition.
    s0 : {"per-series", "known"}
        Whether S0 of each series is unknown.
    s0_level : float or array [series]
        S0 of each series relative to the unfiltered one (filter and T1 losses).

    Raises
    ------
    InputError
        If a parameter is missing or the SNR is not > 0.
    """
    if not (np.isfinite(snr) and snr > 0):
        raise InputError("snr", got=snr, expected="a finite number > 0")
    missing = [name for name in model.parameter_names if name not in tissue]
    if missing:
        raise InputError("tissue", got=f"no {missing[0]}", expected="a value for " + ", ".join(model.parameter_names))
    theta = np.array([[tissue[name] for name in model.parameter_names]])
    level = np.broadcast_to(np.asarray(s0_level, float), (1, protocol.n_series))
    weights = np.full(protocol.n_volumes, snr**2)
    information = fisher(model, protocol, theta, level, weights, s0_free=s0 == "per-series")
    sd = sd_from_fisher(information, np.ptp(model.bounds, axis=1))[0][0]
    names = model.parameter_names
    return Precision(dict(zip(names, sd.tolist(), strict=True)), {n: float(tissue[n]) for n in names}, float(snr))


def voxels_needed(precision: Precision, name: str, cv: float) -> float:
    """Return how many voxels x averages must be pooled for SD / value <= `cv` of parameter `name` (infinite: impossible).

    Pooling n voxels divides the SD by sqrt(n).

    Raises
    ------
    InputError
        If `cv` is not > 0 or the parameter is unknown.
    """
    if not cv > 0:
        raise InputError("cv", got=cv, expected="a number > 0 (0.2 is 20 %)")
    if name not in precision.sd:
        raise InputError("parameter", got=repr(name), expected="one of " + ", ".join(precision.sd))
    one = precision.cv(name)
    return max(1.0, math.ceil((one / cv) ** 2 - 1e-9)) if np.isfinite(one) else math.inf


def check_identifiable(model: SignalModel, protocol: Protocol, *, s0_free: bool) -> None:
    """Refuse a model whose parameters the protocol cannot tell apart: no training can add what is not in the data.

    Raises
    ------
    InputError
        If at half or more of 64 tissues within the bounds the Fisher matrix is singular, or the Cramer-Rao SD of a parameter at
        SNR 1000 exceeds the width of its bounds.
    """
    rng = np.random.default_rng(5)
    width = np.ptp(model.bounds, axis=1)
    inner = model.bounds[:, 0] + width * rng.uniform(0.05, 0.95, (_PROBES, width.size))
    s0, weights = np.ones((_PROBES, protocol.n_series)), np.full(protocol.n_volumes, 1e6)
    sd, good = sd_from_fisher(fisher(model, protocol, inner, s0, weights, s0_free=s0_free), width)
    held = good & (np.where(good[:, None], sd, np.inf) < width).all(axis=1)
    if held.mean() <= 0.5:
        names = ", ".join(model.parameter_names)
        raise InputError(
            f"model {model.name}", got=f"free {names}, which this protocol cannot tell apart (singular Fisher matrix)",
            expected="parameters that the data hold", hint="hold one at a value (--fix di=10), or acquire more b-values",
        )  # fmt: skip
