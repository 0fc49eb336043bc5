"""State what happens at the faces as rows: fluxes in and out obey the routes, the far side is closed.

With ``h = 3 / (P_face + s L kappa/(t + t0))``, what one unit of flux is worth in concentration::

    membrane      h (q- - J(u-, u+)) = 0,          h (q+ - q- - J_past(blood, u+)) = 0
    no membrane   3 (u- - u+) = 0,                 h (q+ - q- - J_past(blood, u+)) = 0
    luminal       h (q+ - J(blood, u+) - J_past(blood, u+)) = 0;   without routes 3 (u+ - blood) = 0
    far side      h q = 0,   P the smallest of all faces in series with s D/L

J is the sum of the route objects' own fluxes, linearised by their own derivatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from krogh.barrier.routes.base import Route
from krogh.pinn.physics import Slab
from krogh.pinn.rows import START

__all__ = ["FaceRow", "Sides", "face_residual", "face_rows", "net_flux"]


@dataclass(frozen=True, slots=True)
class Sides:
    """Hold the values at the faces of all layers and species: u and q, arrays (layer, S, time), at the blood and far side."""

    u_near: np.ndarray
    q_near: np.ndarray
    u_far: np.ndarray
    q_far: np.ndarray


@dataclass(frozen=True, slots=True)
class FaceRow:
    """Hold one set of rows: coefficients of (u, q) at the far side of layer i - 1 and the near side of layer i, and their sum.

    Attributes
    ----------
    layer : int
        The layer behind the face.
    far_u, far_q, near_u, near_q : array (time,) or None
        Coefficients, None where absent.
    target : array (time,)
        Right-hand side.
    """

    layer: int
    far_u: np.ndarray | None
    far_q: np.ndarray | None
    near_u: np.ndarray | None
    near_q: np.ndarray | None
    target: np.ndarray


def net_flux(
    routes: Sequence[Route], s: int, side_1: np.ndarray, side_2: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return J of species `s` and its derivatives by its own concentration on both sides; the sides are (S, time)."""
    total = np.zeros((3, side_1.shape[1]))
    for route in routes:
        inward, outward, d_1, d_2 = route.flux(side_1[None], side_2[None])
        total[0] += (inward - outward)[0, s]
        for k, d in ((1, d_1), (2, d_2)):
            d = np.asarray(d)
            total[k] += d[0, s, s] if d.ndim == 4 else d[0, s]
    return total[0], total[1], total[2]


def face_rows(
    slab: Slab, s: int, blood: np.ndarray, sides: Sides, since: np.ndarray, level: np.ndarray, permeability: np.ndarray
) -> list[FaceRow]:
    """Return all rows of species `s`, linearised at `sides`.

    Parameters
    ----------
    blood : array (S, time)
        Free concentration in blood.
    since : array (time,)
        t + t0 [s].
    level : array (layer,)
        Size of the concentration in each layer; rows are divided by it [mol/m3].
    permeability : array (layer + 1,)
        Of each face at low concentration, and the smallest of them at the end [m/s].
    """
    rows: list[FaceRow] = []
    one = np.ones_like(since)
    for i, face in enumerate(slab.faces):
        behind = slab.sheets[i]
        storage = behind.spread * behind.thickness * behind.capacity[s]
        top = level[i]
        if i > 0:
            before = slab.sheets[i - 1]
            storage = min(storage, before.spread * before.thickness * before.capacity[s])
            top = min(top, level[i - 1])
        h = START / (permeability[i] + storage / since) / top
        past, _, d_past = net_flux(face.entries, s, blood, sides.u_near[i])
        past_rest = past - d_past * sides.u_near[i][s]
        if i == 0:
            if face.membrane is None and not face.entries:
                rows.append(FaceRow(0, None, None, START / top * one, None, START / top * blood[s]))
                continue
            flux, _, d = net_flux(face.membrane or (), s, blood, sides.u_near[0])
            rest = flux - d * sides.u_near[0][s] + past_rest
            rows.append(FaceRow(0, None, None, -h * (d + d_past), h, h * rest))
            continue
        if face.membrane is None:
            rows.append(FaceRow(i, START / top * one, None, -START / top * one, None, 0 * one))
        else:
            flux, d_1, d_2 = net_flux(face.membrane, s, sides.u_far[i - 1], sides.u_near[i])
            rest = flux - d_1 * sides.u_far[i - 1][s] - d_2 * sides.u_near[i][s]
            rows.append(FaceRow(i, -h * d_1, h, -h * d_2, None, h * rest))
        rows.append(FaceRow(i, None, -h, -h * d_past, h, h * past_rest))
    last = slab.sheets[-1]
    storage = last.spread * last.thickness * last.capacity[s]
    # what stays behind the far side leaves by the slowest face, but no faster than it diffuses there
    leaving = 1.0 / (1.0 / permeability[-1] + last.thickness / (last.spread * last.diffusivity[s]))
    h = START / (leaving + storage / since) / level[-1]
    rows.append(FaceRow(len(slab.sheets), None, h, None, None, 0 * one))
    return rows


def face_residual(row: FaceRow, s: int, sides: Sides) -> np.ndarray:
    """Return what the values of species `s` at the `sides` leave of a row, (time,)."""
    left = -row.target
    for at, u, q, side_u, side_q in (
        (row.layer - 1, row.far_u, row.far_q, sides.u_far, sides.q_far),
        (row.layer, row.near_u, row.near_q, sides.u_near, sides.q_near),
    ):
        if u is not None:
            left = left + u * side_u[at][s]
        if q is not None:
            left = left + q * side_q[at][s]
    return left
