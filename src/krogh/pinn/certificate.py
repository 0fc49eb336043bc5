"""Say how far a trained window is from its equations, on points that it never saw; needs no reference solution."""

from __future__ import annotations

import numpy as np

from krogh.pinn.faces import Sides, face_rows
from krogh.pinn.rows import START, LayerRows
from krogh.pinn.window import Window

__all__ = ["certificate"]

_POINTS, _FACE_POINTS = 160, 60
_ADD_UP = 2.0
_THINNEST = 0.1
_FRONT = 1.5


def certificate(window: Window, *, seed: int = 99) -> float:
    """Return the root mean square of all residuals on fresh points over the level of each layer, the worst species.

    Rows are in units of concentration, so this is the size of the error that the residuals would make if none cancelled; times
    two, because the errors of several windows add up. Where a thin front fills little of a layer, its own mean square counts,
    and half as much again.
    """
    rng = np.random.default_rng(seed)
    return _ADD_UP * max(_species(window, s, rng) for s in range(window.slab.species))


def _species(window: Window, s: int, rng: np.random.Generator) -> float:
    inside = [_layer(window, s, i, rng) for i in range(len(window.slab.sheets))]
    return float(np.sqrt(max(inside) + _faces(window, s, rng)))


def _layer(window: Window, s: int, i: int, rng: np.random.Generator) -> float:
    """Return the mean square residual inside one layer and at its start, relative to the level."""
    old = window.rows[s][i]
    level = float(window.level[s, i])
    t = window.clock.at(rng.uniform(0, 1, _POINTS))
    x = old.columns.depth.at(rng.uniform(0, 1, _POINTS))
    fresh = LayerRows(old.sheet, s, old.columns, window.slowest[s], level, x, t)
    values = [
        np.array([window.evaluate(other, i, x, t)[k] for other in range(window.slab.species)]) for k in range(1 + fresh.pools)
    ] if old.laws else []  # fmt: skip
    begin = window.start(s, i, fresh.x0)
    if old.columns.depth.front_m is not None:
        wide = 1.0 / old.columns.depth.xi(x)[1]
        mean_square = float((window.evaluate(s, i, x, t)[0] ** 2 * wide).sum() / wide.sum())
        level = min(level, max(float(np.sqrt(mean_square)), _THINNEST * level)) / _FRONT
    r = fresh.residual(window.coefficients[s][i], values, begin) / level
    inside = r[: (2 + fresh.pools) * fresh.n].reshape(-1, fresh.n)
    start = r[(2 + fresh.pools) * fresh.n :].reshape(-1, fresh.x0.size) / START
    return float((inside**2).mean(1).sum() + (start**2).mean(1).sum())


def _faces(window: Window, s: int, rng: np.random.Generator) -> float:
    """Return the sum over the faces of their mean square residual, relative to the level."""
    t = np.sort(window.clock.at(rng.uniform(0, 1, _FACE_POINTS)))
    slab = window.slab
    out = np.zeros((4, len(slab.sheets), slab.species, t.size))
    for other in range(slab.species):
        for i, r in enumerate(window.rows[other]):
            c = window.coefficients[other][i]
            for k, trace in enumerate((*r.columns.trace(0.0, t), *r.columns.trace(r.sheet.thickness, t))):
                out[k, i, other] = trace @ c
    sides = Sides(*out)
    rows = face_rows(slab, s, window.blood_at(t), sides, t + window.clock.offset_s, window.level[s], window.permeability[s])
    total = 0.0
    for row in rows:
        left = -row.target
        for at, u, q, side_u, side_q in (
            (row.layer - 1, row.far_u, row.far_q, sides.u_far, sides.q_far),
            (row.layer, row.near_u, row.near_q, sides.u_near, sides.q_near),
        ):
            if u is not None:
                left = left + u * side_u[at][s]
            if q is not None:
                left = left + q * side_q[at][s]
        total += float((left**2).mean()) / START**2
    return total
