"""Replace the model near its fit by polynomials of the log-parameters, so that a posterior costs seconds; the error is measured.

In the coordinates in which the normal approximation is a unit ball, every prediction over its error is a polynomial of all terms
up to a degree, fitted to solutions of the model spread over the ball of radius :data:`REACH`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.polynomial.chebyshev import chebvander
from scipy.stats import qmc

from krogh.inference.fit import Fit
from krogh.inference.target import Target

__all__ = ["REACH", "Surrogate", "build_surrogate"]

#: Radius in standard deviations.
REACH = 4.5
_ROWS_PER_TERM = 2.5


@dataclass(frozen=True)
class Surrogate:
    """Hold the polynomials.

    Attributes
    ----------
    target : Target
        What they stand for.
    center, root : arrays (P,), (P, P)
        ``x = center + root u`` with u in the ball.
    terms : int array (K, P)
        Degree of each term in each coordinate.
    weights : array (K, N)
        Coefficients of prediction over error.
    scale : array (N,)
        Errors at the fit.
    """

    target: Target
    center: np.ndarray
    root: np.ndarray
    terms: np.ndarray
    weights: np.ndarray
    scale: np.ndarray

    def inside(self, x: np.ndarray) -> np.ndarray:
        """Return the distance of points (C, P) from the fit in units of the reach: up to 1 inside (C,)."""
        u = np.linalg.solve(self.root, (x - self.center).T).T
        return np.asarray(np.linalg.norm(u, axis=1) / REACH)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the predictions (C, N) at log-parameters (C, P)."""
        u = np.linalg.solve(self.root, (x - self.center).T).T / REACH
        return (_basis(u, self.terms) @ self.weights) * self.scale

    def log_posterior(self, x: np.ndarray) -> np.ndarray:
        """Return the log posterior (C,); -inf outside the bounds and beyond the reach."""
        allowed = (self.inside(x) <= 1) & np.all((x >= self.target.low) & (x <= self.target.high), axis=1)
        safe = np.where(allowed[:, None], x, self.center)
        return np.where(allowed, -self.target.weigh(safe, self.predict(safe)), -np.inf)


def _basis(u: np.ndarray, terms: np.ndarray) -> np.ndarray:
    powers = chebvander(u, int(terms.max()))
    out = powers[:, 0, terms[:, 0]]
    for k in range(1, u.shape[1]):
        out = out * powers[:, k, terms[:, k]]
    return np.asarray(out)


def build_surrogate(target: Target, fit: Fit, degree: int, *, widen: float = 1.0, seed: int = 0) -> Surrogate:
    """Return the surrogate around a fit.

    Parameters
    ----------
    target, fit
        What is replaced, and where.
    degree : int
        Of the polynomials.
    widen : float
        Factor on the standard deviations, >= 1, where profiles are wider than the normal approximation.
    seed : int
        Of the design.
    """
    p = target.size
    root = widen * np.linalg.cholesky(fit.covariance)
    terms = np.array([t for t in itertools.product(range(degree + 1), repeat=p) if sum(t) <= degree])
    count = 2 ** int(np.ceil(np.log2(_ROWS_PER_TERM * len(terms))))  # a power of two, as Sobol points want
    draws = qmc.MultivariateNormalQMC(np.zeros(p), seed=seed).random(count)
    radius = np.linspace(0.0, 1.0, count) ** (1.0 / p)  # even over the volume
    u = draws / np.linalg.norm(draws, axis=1, keepdims=True) * np.random.default_rng(seed).permutation(radius)[:, None]
    x = np.clip(fit.x + REACH * u @ root.T, target.low, target.high)
    u = np.linalg.solve(root, (x - fit.x).T).T / REACH
    scale = target.data.spread(fit.predicted)
    weights = np.linalg.lstsq(_basis(u, terms), target.predict(np.exp(x)) / scale, rcond=None)[0]
    return Surrogate(target, fit.x, root, terms, weights, scale)
