"""Say how far a trained window is from its equations, on points that it never saw; needs no reference solution."""

from __future__ import annotations

import numpy as np

from krogh.pinn.faces import Sides, face_residual, face_rows, net_flux
from krogh.pinn.physics import Slab
from krogh.pinn.rows import START, LayerRows
from krogh.pinn.window import Window

__all__ = ["ADD_UP", "FRONT", "THINNEST", "certificate", "held"]

_POINTS, _FACE_POINTS = 160, 60
ADD_UP = 2.0
THINNEST = 0.1
FRONT = 1.5


def certificate(window: Window, *, seed: int = 99) -> float:
    """Return the root mean square of all residuals on fresh points over the level of each layer, the worst species.

    Rows are in units of concentration, so this is the size of the error that the residuals would make if none cancelled; times
    two, because the errors of several windows add up. What leaves a layer again, and so forgives an error, is taken at the
    concentrations that were found: a saturated pump lets less back than its low-concentration slope, and a weight by that slope
    called errors small that were not. Where the concentration fills little of a layer or of a window (a thin front, a steep
    decline), its own mean square is the level, down to a tenth of the peak; of a thin front, two thirds of it.
    """
    rng = np.random.default_rng(seed)
    return ADD_UP * max(_species(window, s, rng) for s in range(window.slab.species))


def _species(window: Window, s: int, rng: np.random.Generator) -> float:
    t = np.sort(window.clock.at(rng.uniform(0, 1, _FACE_POINTS)))
    sides, blood = window.sides_at(t), window.blood_at(t)
    permeability = held(window.slab, s, sides, blood)
    slowest = float(min((p for p in permeability if p > 0), default=1e-15))
    inside = [_layer(window, s, i, slowest, rng) for i in range(len(window.slab.sheets))]
    return float(np.sqrt(max(inside) + _faces(window, s, t, sides, np.append(permeability, slowest))))


def held(slab: Slab, s: int, sides: Sides, blood: np.ndarray) -> np.ndarray:
    """Return what each face lets through at the concentrations that were found, least over the window [m/s]."""
    out = np.zeros(len(slab.faces))
    for i, face in enumerate(slab.faces):
        before = blood if i == 0 else sides.u_far[i - 1]
        _, d_1, d_2 = net_flux(face.membrane or (), s, before, sides.u_near[i])
        past = net_flux(face.entries, s, blood, sides.u_near[i])[1:]
        out[i] = (np.maximum(np.abs(d_1), np.abs(d_2)) + np.abs(past).max(0)).min()
    return out


def _layer(window: Window, s: int, i: int, slowest: float, rng: np.random.Generator) -> float:
    """Return the mean square residual inside one layer and at its start, relative to the level."""
    old = window.rows[s][i]
    level = float(window.level[s, i])
    t = window.clock.at(rng.uniform(0, 1, _POINTS))
    maps = (old.columns.depth, *old.columns.carried)
    x = np.concatenate([d.at(rng.uniform(0, 1, n.size)) for d, n in zip(maps, np.array_split(t, len(maps)), strict=True)])
    fresh = LayerRows(old.sheet, s, old.columns, slowest, level, x, t)
    values = [
        np.array([window.evaluate(other, i, x, t)[k] for other in range(window.slab.species)]) for k in range(1 + fresh.pools)
    ] if old.laws else []  # fmt: skip
    begin = window.start(s, i, fresh.x0)
    wide = 1.0 / old.columns.depth.xi(x)[1]
    mean_square = float((window.evaluate(s, i, x, t)[0] ** 2 * wide).sum() / wide.sum())
    level = min(level, max(float(np.sqrt(mean_square)), THINNEST * level))
    if old.columns.depth.front_m is not None:
        level /= FRONT
    r = fresh.residual(window.coefficients[s][i], values, begin) / level
    inside = r[: (2 + fresh.pools) * fresh.n].reshape(-1, fresh.n)
    start = r[(2 + fresh.pools) * fresh.n :].reshape(-1, fresh.x0.size) / START
    return float((inside**2).mean(1).sum() + (start**2).mean(1).sum())


def _faces(window: Window, s: int, t: np.ndarray, sides: Sides, permeability: np.ndarray) -> float:
    """Return the sum over the faces of their mean square residual, relative to the level."""
    slab = window.slab
    since = t + window.clock.offset_s
    total = 0.0
    for row in face_rows(slab, s, window.blood_at(t), sides, since, window.level[s], permeability):
        left = face_residual(row, s, sides)
        total += float((left**2).mean()) / START**2
    return total
