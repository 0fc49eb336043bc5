"""The prior of the tissue parameters: a mixture of Gaussians on the logit scale plus a uniform background.

With ``x = (theta - low) / (high - low)`` and ``u = ln(x / (1 - x))``,

    g(u) = w_0 prod_p x_p (1 - x_p) + sum_k w_k N(u; m_k, C_k)

The first term is uniform in theta within the bounds, so that a scan that holds anything is not forced into clusters, and an odd
voxel keeps its own value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MixturePrior", "to_theta", "to_u", "uniform_prior"]

FloatArray = NDArray[np.float64]
_EDGE = 1e-9


def to_u(theta: FloatArray, bounds: FloatArray) -> FloatArray:
    """Return the logit coordinate [..., param] of theta [..., param]."""
    x = np.clip((theta - bounds[:, 0]) / np.ptp(bounds, axis=1), _EDGE, 1 - _EDGE)
    return np.log(x / (1 - x))


def to_theta(u: FloatArray, bounds: FloatArray) -> FloatArray:
    """Return theta [..., param] of the logit coordinate u [..., param]."""
    return bounds[:, 0] + np.ptp(bounds, axis=1) / (1 + np.exp(-u))


def log_uniform(u: FloatArray) -> FloatArray:
    """Return the log density per u of a uniform theta [...]."""
    return np.sum(-np.abs(u) - 2 * np.log1p(np.exp(-np.abs(u))), axis=-1)


@dataclass(frozen=True)
class MixturePrior:
    """Hold the mixture.

    Attributes
    ----------
    bounds : array [param, 2]
        Limits, SI.
    weight : array [1 + component]
        Background first; they add to 1.
    mean, cov : arrays [component, param], [component, param, param]
        On the logit scale.
    """

    bounds: FloatArray
    weight: FloatArray
    mean: FloatArray
    cov: FloatArray

    @property
    def n_components(self) -> int:
        """Number of Gaussians."""
        return int(self.mean.shape[0])

    def log_parts(self, u: FloatArray) -> FloatArray:
        """Return log(weight x density per u) of each part [..., 1 + component]."""
        with np.errstate(divide="ignore"):
            log_w = np.log(self.weight)
        parts = [log_w[0] + log_uniform(u)]
        for w, m, c in zip(log_w[1:], self.mean, self.cov, strict=True):
            root = np.linalg.cholesky(c)
            z = np.linalg.solve(root, (u - m).reshape(-1, m.size).T)
            norm = 0.5 * m.size * np.log(2 * np.pi) + np.log(np.diag(root)).sum()
            parts.append(w - norm - 0.5 * np.sum(z * z, axis=0).reshape(u.shape[:-1]))
        return np.stack(parts, axis=-1)

    def log_density(self, u: FloatArray) -> FloatArray:
        """Return log g(u) [...]."""
        parts = self.log_parts(u)
        top = parts.max(axis=-1)
        return np.asarray(top + np.log(np.exp(parts - top[..., None]).sum(axis=-1)))

    def draw(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Return `n` tissues theta [n, param]."""
        part = rng.choice(self.weight.size, size=n, p=self.weight)
        x = rng.random((n, self.bounds.shape[0]))
        u = np.log(x / (1 - x))
        for k in range(self.n_components):
            rows = part == k + 1
            u[rows] = self.mean[k] + rng.standard_normal((int(rows.sum()), u.shape[1])) @ np.linalg.cholesky(self.cov[k]).T
        return to_theta(u, self.bounds)

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers as plain lists."""
        return {name: getattr(self, name).tolist() for name in ("bounds", "weight", "mean", "cov")}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> MixturePrior:
        """Return the prior of :meth:`as_dict`."""
        n = len(content["bounds"])
        return cls(
            np.asarray(content["bounds"], float), np.asarray(content["weight"], float),
            np.asarray(content["mean"], float).reshape(-1, n), np.asarray(content["cov"], float).reshape(-1, n, n),
        )  # fmt: skip


def uniform_prior(bounds: FloatArray) -> MixturePrior:
    """Return the prior that is uniform within `bounds` [param, 2]: nothing learned."""
    n = bounds.shape[0]
    return MixturePrior(np.array(bounds, float), np.ones(1), np.empty((0, n)), np.empty((0, n, n)))
