"""Say how far a trained window of a cylinder is from its equations, on points that it never saw."""

from __future__ import annotations

import numpy as np

from krogh.pinn.certificate import ADD_UP, held
from krogh.pinn.cylinder.window import CylinderWindow
from krogh.pinn.faces import Sides
from krogh.pinn.rows import START

__all__ = ["cylinder_certificate"]

_TAIL = 2


def cylinder_certificate(window: CylinderWindow, *, seed: int = 99) -> float:
    """Return the root mean square of all residuals over the level, as in a slab, the modes added up; the worst species.

    What the modes along the vessel leave out is estimated by the last Legendre coefficients of blood and wall, and added: the
    thin layer at a closed end behind blood that falls steeply is what they hold worst.
    """
    faces = window.modes_at_faces()
    blood = _blood(window, faces)
    sides = Sides(*window.along(faces).reshape(*faces.shape[:3], -1))
    through = [held(window.slab, s, sides, blood.reshape(blood.shape[0], -1)) for s in range(window.slab.species)]
    probe = CylinderWindow(
        window.slab, window.axial, window.clock, window.size, window.level, window.seed, window.inlet_at, window.drain,
        window.start, np.random.default_rng(seed), through, coefficients=window.coefficients,
    )  # fmt: skip
    faces = probe.modes_at_faces()
    blood = _blood(probe, faces)
    return max(_species(probe, s, faces, blood) for s in range(window.slab.species))


def _blood(window: CylinderWindow, faces: np.ndarray) -> np.ndarray:
    blood = np.repeat(window.inlet[:, None, :], window.axial.share.size, 1)
    for _ in range(12):  # what passes the wall at once depends on the blood itself
        blood = window.blood(faces, blood)
    return blood


def _species(window: CylinderWindow, s: int, faces: np.ndarray, blood: np.ndarray) -> float:
    inside = []
    for i in range(len(window.slab.sheets)):
        slopes, right = window.layer_sides(s, i, None)
        total = 0.0
        for k, f in enumerate(right):
            r = window.rows[s][k][i]
            left = (r.linear(slopes) if slopes else r.base) @ window.coefficients[s][k][i] - f
            cut = (2 + r.pools) * r.n
            total += float((left[:cut].reshape(-1, r.n) ** 2).mean(1).sum())
            total += float((left[cut:].reshape(-1, r.x0.size) ** 2).mean(1).sum()) / START**2
        inside.append(total / window.level[s, i] ** 2)
    residual = max(inside) + _faces(window, s, faces, blood)
    return float(np.sqrt(ADD_UP**2 * residual + _tail(window, s, faces, blood)))


def _faces(window: CylinderWindow, s: int, faces: np.ndarray, blood: np.ndarray) -> float:
    rows, targets = window.face_sides(s, faces, blood, None)
    total = 0.0
    for row, target in zip(rows, targets, strict=True):
        left = -target
        for part, values in (
            (row.far_u, faces[2, row.layer - 1, s]), (row.far_q, faces[3, row.layer - 1, s]),
        ):  # fmt: skip
            left = left + part * values if part is not None else left
        if row.near_u is not None or row.near_q is not None:
            for part, values in ((row.near_u, faces[0, row.layer, s]), (row.near_q, faces[1, row.layer, s])):
                left = left + part * values if part is not None else left
        total += float((left**2).sum(0).mean()) / START**2
    return total


def _tail(window: CylinderWindow, s: int, faces: np.ndarray, blood: np.ndarray) -> float:
    """Return the mean square of the last Legendre coefficients over the level, the worst of blood and layers."""
    vectors = window.axial.vectors
    of_blood = vectors @ window.axial.project(blood[s])
    worst = float((of_blood[-_TAIL:] ** 2).sum(0).mean()) / max(float((of_blood**2).sum(0).mean()), 1e-300)
    for i in range(len(window.slab.sheets)):
        of_layer = vectors @ faces[0, i, s]
        worst = max(worst, float((of_layer[-_TAIL:] ** 2).sum(0).mean()) / window.level[s, i] ** 2)
    return worst
