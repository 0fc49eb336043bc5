"""Solve the model problems by Legendre spectral elements and Radau IIA: shares nothing with networks or finite volumes.

A linear bulk and a law at one face only: the eigenvectors of the bulk split every implicit step into small systems, joined by
the unknown flux at the stages. Two resolutions agree to 1e-8 (A), 1e-9 (H) and 3e-8 (B).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.polynomial import legendre

from bench.pinn_cases import KM, RATE_PER_S, SLABS, T_END_S, VMAX

__all__ = ["errors", "reference", "test_points"]

_DEGREE, _STAGES, _GROWTH = 16, 7, 1.6
_EDGES = {True: (0, 0.01, 0.04, 0.12, 0.3, 0.6, 1.0), False: (0, 0.1, 0.5, 1.0)}


def _lobatto(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the n + 1 Gauss-Lobatto points of [-1, 1], their weights and the differentiation matrix."""
    c = np.eye(n + 1)[n]
    x = np.concatenate([[-1.0], np.sort(np.real(legendre.legroots(legendre.legder(c)))), [1.0]])
    for _ in range(3):
        x[1:-1] -= legendre.legval(x[1:-1], legendre.legder(c)) / legendre.legval(x[1:-1], legendre.legder(c, 2))
    top = legendre.legval(x, c)
    gap = x[:, None] - x + np.eye(n + 1)
    d = top[:, None] / top / gap
    np.fill_diagonal(d, 0.0)
    d[0, 0], d[n, n] = -n * (n + 1) / 4, n * (n + 1) / 4
    return x, 2 / (n * (n + 1) * top**2), d


class _Bulk:
    """Hold all elements of a case: lengths in um, concentrations over that of blood."""

    def __init__(self, name: str) -> None:
        self.thickness, self.d, self.loss, self.p = SLABS[name]
        self.xi, w, dm = _lobatto(_DEGREE)
        self.elements: list[np.ndarray] = []
        mass, stiff, self.first = [], [], [0]
        for i, (length, d) in enumerate(zip(self.thickness, self.d, strict=True)):
            e = np.array(_EDGES[i == 0 or length > 5]) * length
            n = (e.size - 1) * _DEGREE + 1
            m, k = np.zeros(n), np.zeros((n, n))
            for j, h in enumerate(np.diff(e)):
                at = slice(j * _DEGREE, (j + 1) * _DEGREE + 1)
                m[at] += w * h / 2
                k[at, at] += d * 2 / h * dm.T @ np.diag(w) @ dm
            self.elements.append(e)
            mass.append(m)
            stiff.append(-k - self.loss[i] * np.diag(m))
            self.first.append(self.first[-1] + n)
        self.mass = np.concatenate(mass)
        a = np.zeros((self.mass.size, self.mass.size))
        for i, k in enumerate(stiff):
            at = slice(self.first[i], self.first[i + 1])
            a[at, at] += k
            if i:
                left, right = self.first[i] - 1, self.first[i]
                a[np.ix_([left, right], [left, right])] += self.p[i] * np.array([[-1.0, 1.0], [1.0, -1.0]])
        a[0, 0] -= self.p[0]
        root = np.sqrt(self.mass)
        self.rate, self.vectors = np.linalg.eigh(a / root / root[:, None])
        self.face = self.vectors[0] / root[0]  # value of each mode at the first face, and what unit flux there puts into it

    def march(self, times: np.ndarray) -> np.ndarray:
        """Return the state at each of `times`, (time, point)."""
        basis = legendre.Legendre.basis
        c = (np.sort(np.real((basis(_STAGES) - basis(_STAGES - 1)).roots())) + 1) / 2  # type: ignore[no-untyped-call]
        c[-1] = 1.0
        powers = np.arange(1, _STAGES + 1)
        table = (c[:, None] ** powers / powers) @ np.linalg.inv(np.vander(c, _STAGES, increasing=True))
        z, out = np.zeros(self.mass.size), []
        wanted = set(times.tolist())
        steps = _steps(times)
        for a, b in pairwise(steps):
            z = self._step(z, a, b - a, c, table)
            if b in wanted:
                out.append(self.vectors @ z / np.sqrt(self.mass))
        return np.array(out)

    def _step(self, z: np.ndarray, t: float, h: float, c: np.ndarray, table: np.ndarray) -> np.ndarray:
        inverse = np.linalg.inv(np.eye(c.size) - h * self.rate[:, None, None] * table)
        free = inverse.sum(-1) * z[:, None]
        push = h * np.einsum("nij,jk->nik", inverse, table) * self.face[:, None, None]
        blood, u0, response = np.exp(-RATE_PER_S * (t + c * h)), self.face @ free, np.einsum("n,nik->ik", self.face, push)
        u, vmax = u0.copy(), VMAX * 1e6
        for _ in range(50):
            flux, slope = self.p[0] * blood - vmax * u / (KM + u), -vmax * KM / (KM + u) ** 2
            change = np.linalg.solve(np.eye(c.size) - response * slope, u - u0 - response @ flux)
            u -= change
            if np.abs(change).max() < 1e-15:
                break
        return free[:, -1] + push[:, -1] @ (self.p[0] * blood - vmax * u / (KM + u))

    def at(self, layer: int, x_um: np.ndarray) -> np.ndarray:
        """Return the matrix (point, state) that evaluates a layer at the depths `x_um`."""
        e = self.elements[layer]
        j = np.clip(np.searchsorted(e, x_um, side="right") - 1, 0, e.size - 2)
        r = 2 * (x_um - e[j]) / (e[j + 1] - e[j]) - 1
        weight = np.array([1 / np.prod(self.xi[k] - np.delete(self.xi, k)) for k in range(self.xi.size)])
        out = np.zeros((x_um.size, self.mass.size))
        for p, (place, element) in enumerate(zip(r, j, strict=True)):
            gap = place - self.xi
            hit = np.abs(gap) < 1e-14
            row = hit.astype(float) if hit.any() else weight / gap / (weight / gap).sum()
            out[p, self.first[layer] + element * _DEGREE :][: self.xi.size] = row
        return out


def _steps(times: np.ndarray) -> np.ndarray:
    """Return steps that grow geometrically and end on every one of `times`."""
    grown = 1e-10 * _GROWTH ** np.arange(400)
    kept = [0.0]
    wanted = set(times.tolist())
    for t in np.unique(np.concatenate([grown[grown < times[-1]], times])):
        if t in wanted or t - kept[-1] > 0.2 * t:
            kept.append(float(t))
    return np.array(kept)


def test_points(kind: str) -> np.ndarray:
    """Return even times (``lin``), or times even in the logarithm from 0.1 ms (``log``): they see the first moments."""
    return np.linspace(0, T_END_S, 121)[1:] if kind == "lin" else np.geomspace(1e-4, T_END_S, 60)


@cache
def reference(name: str, kind: str) -> list[np.ndarray]:
    """Return the concentration of every layer at 101 even depths, each (time, depth)."""
    bulk = _Bulk(name)
    state = bulk.march(test_points(kind))
    return [state @ bulk.at(i, np.linspace(0, x, 101)).T for i, x in enumerate(bulk.thickness)]


def errors(name: str, answer: Callable[[int, np.ndarray, np.ndarray], np.ndarray]) -> dict[str, float]:
    """Return the relative L2 error of ``answer(layer, x_m, t_s)`` over even (``lin``) and logarithmic times (``log``)."""
    out = {}
    for kind in ("lin", "log"):
        miss = size = 0.0
        for i, exact in enumerate(reference(name, kind)):
            t, x = np.meshgrid(test_points(kind), np.linspace(0, SLABS[name][0][i] * 1e-6, exact.shape[1]), indexing="ij")
            found = answer(i, x.ravel(), t.ravel()).reshape(exact.shape)
            miss += float(((found - exact) ** 2).mean())
            size += float((exact**2).mean())
        out[kind] = float(np.sqrt(miss / size))
    return out
