"""Describe what happens along a capillary by a few smooth modes, in the time that has passed since the blood arrived.

Blood moves at the velocity v: with ``s = t - z / v`` it has no time derivative left, a dose arrives everywhere at s = 0, and

``u_blood(z, s) = u_in(s) - 2 fu / (a v) int_0^z J dz``,  J the flux into the wall. The tissue is ``u = sum_k u_k(x, s) psi_k(z)``
with the eigenvectors psi_k of diffusion along the vessel among polynomials, ends closed, so that beside what a slab sees, u_k has

``D (lambda_k u_k + sum_j G_kj du_j/ds - d2u_k/ds2 / v2)``,  ``G = (E^T - E) / v``, ``E_kj = int psi_k' psi_j``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import legendre

__all__ = ["Axial", "axial"]


@dataclass(frozen=True)
class Axial:
    """Hold the modes along a vessel; shares of its length, 0..1.

    Attributes
    ----------
    length_m, velocity_m_s : float
        Of the vessel.
    rate : array (mode,)
        lambda [1/m2].
    mix : array (mode, mode)
        G [s/m2].
    share, weight : array (point,)
        Gauss points and weights.
    at, before : array (point, mode)
        psi and its integral from the inlet at these points.
    vectors : array (degree, mode)
        Legendre coefficients of the modes.
    """

    length_m: float
    velocity_m_s: float
    rate: np.ndarray
    mix: np.ndarray
    share: np.ndarray
    weight: np.ndarray
    at: np.ndarray
    before: np.ndarray
    vectors: np.ndarray

    @property
    def count(self) -> int:
        """Return the number of modes."""
        return int(self.rate.size)

    def modes(self, share: np.ndarray) -> np.ndarray:
        """Return psi at shares of the length, (point, mode)."""
        return _legendre(share, self.count) @ self.vectors

    def integrals(self, share: np.ndarray) -> np.ndarray:
        """Return the integral of psi from the inlet over the length, (point, mode)."""
        return _legendre(share, self.count, integral=True) @ self.vectors

    def project(self, values: np.ndarray) -> np.ndarray:
        """Return the modes of values at the Gauss points, (point, ...) to (mode, ...)."""
        return np.tensordot(self.at * self.weight[:, None], values, (0, 0))


def _legendre(share: np.ndarray, count: int, *, slope: bool = False, integral: bool = False) -> np.ndarray:
    """Return orthonormal Legendre polynomials of the share, their slopes or their integrals from 0."""
    c = np.diag(np.sqrt(2 * np.arange(count) + 1.0))
    if slope:
        c = 2 * legendre.legder(c)
    if integral:
        c = legendre.legint(c, lbnd=-1) / 2
    return legendre.legval(2 * np.asarray(share) - 1, c).T


def axial(count: int, length_m: float, velocity_m_s: float) -> Axial:
    """Return `count` modes along a vessel."""
    x, w = legendre.leggauss(count + 4)
    share, weight = (x + 1) / 2, w / 2
    plain, slope = _legendre(share, count), _legendre(share, count, slope=True)
    rate, vectors = np.linalg.eigh(slope.T @ (slope * weight[:, None]) / length_m**2)
    at, by_share = plain @ vectors, slope @ vectors
    cross = by_share.T @ (at * weight[:, None]) / length_m
    before = _legendre(share, count, integral=True) @ vectors
    return Axial(
        length_m, velocity_m_s, np.maximum(rate, 0.0), (cross.T - cross) / velocity_m_s, share, weight, at, before, vectors
    )
