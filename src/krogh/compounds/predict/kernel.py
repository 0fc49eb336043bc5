"""Regress on similarity of structures: a kernel of fingerprints and descriptors, trained once, kept as small arrays.

``k(a, b) = T_circular + T_pairs + exp(-|x_a - x_b|^2 / (2 d))``: Tanimoto similarity of two fingerprints (Morgan radius 2, atom
pairs) and a Gaussian over ``d`` standardised descriptors. A Gaussian process with that covariance and a fixed noise gives the
mean and, if asked, the standard deviation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular

__all__ = ["BITS", "Features", "KernelModel", "fingerprint_features", "fit_kernel"]

#: Bits of one fingerprint; two stand side by side: circular, atom pairs.
BITS = 1024
_STEPS = 31  # a standardised descriptor is kept as a whole number of 1/31, from -4 to 4
_LIMIT = 4.0
#: Descriptors of RDKit that are slow or unbounded.
_LEFT_OUT = ("Ipc", "AvgIpc", "qed", "SPS", "BertzCT", "BalabanJ")
_PARTS = 3.0  # of the kernel, each 1 on the diagonal


@dataclass(frozen=True)
class Features:
    """Hold raw descriptors (m, d) and both fingerprints (m, 2048) of structures."""

    names: tuple[str, ...]
    raw: np.ndarray
    bits: np.ndarray

    def take(self, rows: Any) -> Features:
        """Return some of the structures."""
        return Features(self.names, self.raw[rows], self.bits[rows])


def fingerprint_features(molecules: Sequence[Any]) -> Features:
    """Return the features of RDKit molecules: Morgan radius 2, atom pairs, RDKit's two-dimensional descriptors."""
    from rdkit import rdBase
    from rdkit.Chem import Descriptors as Rd
    from rdkit.Chem import rdFingerprintGenerator

    functions = [(n, f) for n, f in Rd.descList if not n.startswith("BCUT2D") and n not in _LEFT_OUT]
    kinds = (rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=BITS),
             rdFingerprintGenerator.GetAtomPairGenerator(fpSize=BITS))  # fmt: skip
    with rdBase.BlockLogs():
        raw = np.array([[f(m) for _, f in functions] for m in molecules], dtype=float).reshape(-1, len(functions))
        prints = [[kind.GetFingerprintAsNumPy(m) for m in molecules] for kind in kinds]
    bits = np.concatenate([np.array(p, dtype=np.uint8).reshape(-1, BITS) for p in prints], axis=1)
    return Features(tuple(n for n, _ in functions), np.where(np.isfinite(raw), raw, 0.0), bits)


@dataclass(frozen=True)
class KernelModel:
    """Hold a trained regression on similarity.

    Attributes
    ----------
    names : tuple of str
        Descriptors, in order.
    shift, width, centre, scale : array, shape (d,)
        ``x = (asinh((raw - shift) / width) - centre) / scale``, rounded to 1/31 and limited to +-4.
    x : array of int8, shape (n, d)
        Training descriptors in 1/31.
    bits : array of uint8, shape (n, 2048)
        Training fingerprints.
    weight : array, shape (n,)
        ``K^-1 (y - offset)``.
    offset, noise, factor : float
        Mean of y, variance of the noise over that of the process, and the multiple of the standard deviation that held 90 %
        of the leave-one-out residuals.
    """

    names: tuple[str, ...]
    shift: np.ndarray
    width: np.ndarray
    centre: np.ndarray
    scale: np.ndarray
    x: np.ndarray
    bits: np.ndarray
    weight: np.ndarray
    offset: float
    noise: float
    factor: float

    def _scaled(self, features: Features) -> np.ndarray:
        columns = [features.names.index(n) for n in self.names]
        x = (np.arcsinh((features.raw[:, columns] - self.shift) / self.width) - self.centre) / self.scale
        return np.rint(np.clip(x, -_LIMIT, _LIMIT) * _STEPS).astype(np.int8)

    @cached_property
    def _cholesky(self) -> Any:
        k = _kernel(self.x, self.bits, self.x, self.bits)
        return np.linalg.cholesky(k + self.noise * np.eye(len(k)))

    def predict(self, features: Features, *, block: int = 512) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean (m,) and the largest circular Tanimoto similarity to a training structure (m,)."""
        mean, nearest = np.empty(len(features.bits)), np.empty(len(features.bits))
        for start in range(0, len(mean), block):
            part = features.take(slice(start, start + block))
            similarity = _tanimoto(part.bits[:, :BITS], self.bits[:, :BITS])
            k = similarity + _tanimoto(part.bits[:, BITS:], self.bits[:, BITS:]) + _gauss(self._scaled(part), self.x)
            mean[start : start + block], nearest[start : start + block] = self.offset + k @ self.weight, similarity.max(1)
        return mean, nearest

    def standard_deviation(self, features: Features, spread: float) -> np.ndarray:
        """Return the standard deviation of each prediction, noise included; `spread` is that of the process, in units of y."""
        k = _kernel(self._scaled(features), features.bits, self.x, self.bits)
        explained = (solve_triangular(self._cholesky, k.T, lower=True) ** 2).sum(0)
        return spread * np.sqrt(np.maximum(_PARTS - explained, 0.0) + self.noise)


def _tanimoto(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    x, y = a.astype(np.float32), b.astype(np.float32)
    both = x @ y.T
    return (both / np.maximum(x.sum(1)[:, None] + y.sum(1)[None] - both, 1.0)).astype(float)


def _gauss(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    x, y = a.astype(np.float32) / _STEPS, b.astype(np.float32) / _STEPS
    square = (x**2).sum(1)[:, None] + (y**2).sum(1)[None] - 2 * x @ y.T
    return np.exp(-0.5 * np.maximum(square, 0.0).astype(float) / a.shape[1])


def _kernel(ax: np.ndarray, ab: np.ndarray, bx: np.ndarray, bb: np.ndarray) -> np.ndarray:
    return _tanimoto(ab[:, :BITS], bb[:, :BITS]) + _tanimoto(ab[:, BITS:], bb[:, BITS:]) + _gauss(ax, bx)


def fit_kernel(
    features: Features, y: np.ndarray, *, noise: float, calibrate: bool = False
) -> tuple[KernelModel, np.ndarray | None, float]:
    """Train on structures and return the model, the leave-one-out predictions (if `calibrate`) and the spread of the process.

    Parameters
    ----------
    features : Features
        Of n structures.
    y : array, shape (n,)
        What to predict.
    noise : float
        Variance of the noise over that of each part of the kernel, > 0.
    calibrate : bool
        Compute leave-one-out predictions and the factor of the 90 % interval; costs an inverse.
    """
    y = np.asarray(y, dtype=float)
    raw = features.raw
    shift, width = np.median(raw, axis=0), raw.std(0) + 1e-9
    tamed = np.arcsinh((raw - shift) / width)
    centre, scale = tamed.mean(0), tamed.std(0) + 1e-9
    empty, offset = np.zeros(0), float(y.mean())
    blank = KernelModel(
        features.names, shift, width, centre, scale, np.zeros((0, 0), np.int8), features.bits, empty, offset, noise, np.nan
    )
    x = blank._scaled(features)
    k = _kernel(x, features.bits, x, features.bits) + noise * np.eye(len(y))
    factor = cho_factor(k, lower=True)
    weight = cho_solve(factor, y - offset)
    spread = float(np.sqrt((y - offset) @ weight / len(y)))
    loo, multiple = None, float("nan")
    if calibrate:
        from krogh.compounds.predict.process import conformal_factor

        diagonal = np.diag(cho_solve(factor, np.eye(len(y))))
        residual = weight / diagonal
        loo, multiple = y - residual, conformal_factor(residual / (spread * np.sqrt(1.0 / diagonal)))
    held = (features.names, shift, width, centre, scale, x, features.bits, weight, offset, noise, multiple)
    return KernelModel(*held), loo, spread
