"""Move the hidden weights of a window by damped Gauss-Newton steps; the output weights follow by least squares.

Variable projection: with output weights beta(theta) that solve the rows for every theta, one step solves ::

    min || A(theta) beta + (dA/dtheta beta_old) dtheta - f ||^2 + mu^2 || D dtheta ||^2        over beta and dtheta,

with D the root mean square of each column. The tangents are columns like any others, so the step goes through the same QR per
layer, the same faces and the same linearised laws as the output weights do (Golub & Pereyra 1973, doi:10.1137/0710036; the step
is Kaufman's, doi:10.1007/BF01932995).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from krogh.pinn.basis import Columns
from krogh.pinn.deep import Deep, Tangent
from krogh.pinn.faces import face_residual, face_rows
from krogh.pinn.window import Window

__all__ = ["networks_of", "squares", "stepped", "with_networks"]


def networks_of(columns: Columns) -> list[Deep]:
    """Return the trainable networks of a layer: u, q, each cell compartment."""
    found = [columns.u, columns.q, *columns.pools]
    assert all(isinstance(f, Deep) for f in found)
    return found  # type: ignore[return-value]


def with_networks(columns: Columns, networks: list[Deep]) -> Columns:
    """Return the columns with other networks in place."""
    return replace(columns, u=networks[0], q=networks[1], pools=tuple(networks[2:]))


def squares(window: Window, s: int) -> float:
    """Return the sum of the squared residuals of species `s` over the level of each layer: what training lowers."""
    window.look()
    total, level = 0.0, window.level[s]
    sides = window.sides()
    for i, r in enumerate(window.rows[s]):
        left = r.residual(window.coefficients[s][i], window.values(i) if r.laws else (), window.begin[s][i]) / level[i]
        total += float(left @ left)
    since = window.t + window.clock.offset_s
    for row in face_rows(window.slab, s, window.blood, sides, since, level, window.permeability[s]):
        left = face_residual(row, s, sides)
        total += float(left @ left)
    return total


def stepped(window: Window, s: int, damping: float) -> Window:
    """Return the window after one step of the hidden weights of species `s`, the output weights of all solved for again."""
    probe, after = window.fork(), window.fork()
    probe.look()
    probe.triangle = window.triangle.of_steps
    for i, r in enumerate(window.rows[s]):
        probe.put(s, i, _with_tangents(r.columns, window.coefficients[s][i], damping))
    probe.linear_step(s)
    for i, r in enumerate(probe.rows[s]):
        found, networks, output = probe.coefficients[s][i], [], []
        parts = r.columns.parts
        for part, feature in zip(parts, (r.columns.u, r.columns.q, *r.columns.pools), strict=False):
            assert isinstance(feature, Tangent)
            cut = feature.network.count
            output.append(found[part][:cut])
            networks.append(feature.network.moved(found[part][cut:]))
        after.put(s, i, with_networks(window.rows[s][i].columns, networks))
        after.coefficients[s][i] = np.concatenate([*output, found[parts[-1]]])
    after.solve(warm=True)
    return after


def _with_tangents(columns: Columns, coefficients: np.ndarray, damping: float) -> Columns:
    """Return the columns with the tangents of all networks beside their outputs, held back by `damping`."""
    networks = networks_of(columns)
    tangents = [Tangent(n, coefficients[at]) for n, at in zip(networks, columns.parts, strict=False)]
    ridge = [part for n in networks for part in (np.full(n.count, columns.ridge), np.full(n.hidden, damping))]
    ridge.append(np.full(len(columns.kernels.orders), columns.ridge))
    return replace(columns, u=tangents[0], q=tangents[1], pools=tuple(tangents[2:]), ridge=np.concatenate(ridge))
