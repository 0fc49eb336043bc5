"""Sample networks on the nodes of a mesh and add up what crossed: what pictures, tables and the mass balance read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from krogh.pinn.basis import Clock
from krogh.pinn.march import Trained
from krogh.pinn.window import Window
from krogh.transport.march import March
from krogh.transport.operator import Operator
from krogh.transport.problem import Problem

__all__ = ["PIECES", "march_of", "piece_times", "piece_weights", "states"]

#: Gauss-Lobatto points and weights on [0, 1]; neighbouring pieces share their ends.
_NODES = np.array([0.0, 0.5 - 0.5 / np.sqrt(5.0), 0.5 + 0.5 / np.sqrt(5.0), 1.0])
_WEIGHTS = np.array([1.0, 5.0, 5.0, 1.0]) / 12.0
#: Pieces of a window.
PIECES = 10


def piece_times(clock: Clock) -> tuple[np.ndarray, np.ndarray]:
    """Return shares of a window and times since its event, the nodes of all pieces."""
    share = np.append((np.arange(PIECES)[:, None] + _NODES[None, :-1]).ravel() / PIECES, 1.0)
    share[0] = 1e-7 if clock.a_s == 0 else 0.0  # beside a flux that is infinite at a jump
    # after a jump fluxes go with the root of time: even steps in the root, later in the logarithm
    return share, clock.b_s * share**2 if clock.a_s == 0 else clock.at(share)


def piece_weights(clock: Clock, share: np.ndarray, t: np.ndarray, piece: int) -> tuple[slice, np.ndarray]:
    """Return which nodes belong to a piece, and their weights for an integral over time [s]."""
    at = slice(3 * piece, 3 * piece + 4)
    per_share = 2 * clock.b_s * share[at] if clock.a_s == 0 else t[at] * np.log(clock.b_s / clock.a_s)
    return at, _WEIGHTS * per_share / PIECES


def states(operator: Operator, problem: Problem, window: Window, t: np.ndarray) -> np.ndarray:
    """Return u on all nodes at the times `t` since the event, shape (time, B, S, N): cell means, and the faces themselves.

    B is 1, or the number of columns where the window holds several sets of weights.
    """
    mesh, layout = problem.mesh, operator.graph.layout
    species, n = operator.graph.shape[1:]
    batch = window.coefficients[0][0].shape[1:] or (1,)
    out = np.zeros((t.size, *batch, species, n))
    edge = mesh.edge_m
    faces = {m.face: m for m in problem.barrier.membranes}
    entered = {b.to_layer for b in problem.barrier.bypasses}
    for i, sheet in enumerate(window.slab.sheets):
        cells = np.flatnonzero(mesh.layer == i)
        middle, half = mesh.center_m[cells] - edge[cells[0]], mesh.width_m[cells] / np.sqrt(12.0)
        x = np.concatenate([middle - half, middle + half, [0.0, sheet.thickness]])
        x = np.clip(x, 0.0, sheet.thickness)
        leaves = [nodes for cell, nodes in zip(problem.barrier.cells, layout["leaf_node"], strict=True) if cell.layer == i]
        first = int(layout["cell_node"][cells[0]])
        for s in range(species):
            grid_x, grid_t = np.tile(x, t.size), np.repeat(t, x.size)
            values = np.moveaxis(window.evaluate(s, i, grid_x, grid_t).reshape(1 + len(sheet.pools), t.size, x.size, -1), 3, 2)
            means = 0.5 * (values[..., : cells.size] + values[..., cells.size : 2 * cells.size])
            out[:, :, s, layout["cell_node"][cells]] = means[0]
            for k, nodes in enumerate(leaves):
                out[:, :, s, nodes] = means[1 + k]
            if i in faces or i in entered:
                out[:, :, s, first - 1] = values[0, ..., -2]
            following = i + 1
            if following in faces:
                out[:, :, s, int(layout["cell_node"][cells[-1]]) + 1] = values[0, ..., -1]
    return out


def march_of(operator: Operator, problem: Problem, windows: Sequence[Trained]) -> March:
    """Return the states at times spread over every window, with the ledger and AUC by Gauss-Lobatto quadrature."""
    march = March()
    graph = operator.graph
    ledger, auc = np.zeros((*graph.shape[:2], len(operator.ledger_names))), np.zeros(graph.shape)
    march.t_s.append(0.0)
    march.u.append(np.zeros(graph.shape))
    march.ledger.append(ledger.copy())
    for trained in windows:
        window = trained.window
        clock = window.clock
        share, t = piece_times(clock)
        u = states(operator, problem, window, t)
        blood = window.blood_at(t)
        rates = np.array([operator.ledger(u[k], blood[None, :, k]) for k in range(t.size)])
        _open_face(operator, window, t, rates)
        for piece in range(PIECES):
            at, weight = piece_weights(clock, share, t, piece)
            ledger = ledger + np.einsum("t,t...->...", weight, rates[at])
            auc = auc + np.einsum("t,t...->...", weight, u[at])
            march.t_s.append(clock.start_s + float(t[at][-1]))
            march.u.append(u[at][-1])
            march.ledger.append(ledger.copy())
    march.auc, march.final = auc, march.u[-1]
    all_u = np.array(march.u)
    top = np.abs(all_u).max((0, 1, 3)) + 1e-300
    march.most_negative = float(min((all_u / top[None, None, :, None]).min(), 0.0))
    march.worst_defect = _defect(operator, march)
    march.stats.steps = len(windows)
    march.stats.iterations = sum(w.window.newton for w in windows)
    return march


def _open_face(operator: Operator, window: Window, t: np.ndarray, rates: np.ndarray) -> None:
    """Put the networks' own flux into the ledger where no membrane lies before the first layer."""
    face = window.slab.faces[0]
    if face.membrane is not None or face.entries:
        return
    names = [n for n, _ in operator.ledger_names]
    for s in range(window.slab.species):
        q = window.rows[s][0].columns.trace(0.0, t)[1] @ window.coefficients[s][0]
        rates[:, 0, s, names.index("in:blood flow")] = np.maximum(q, 0.0)
        rates[:, 0, s, names.index("out:blood flow")] = np.maximum(-q, 0.0)


def _defect(operator: Operator, march: March) -> float:
    """Return the largest difference between what is stored and what the ledger says, over all that came in."""
    signs = np.array([s for _, s in operator.ledger_names], dtype=float)
    stored = (operator.graph.capacity * np.array(march.u)).sum(-1)
    ledger = np.array(march.ledger)
    through = np.maximum((ledger[-1] * (signs > 0)).sum(-1), np.abs(stored).max(0)) + 1e-300
    return float((np.abs(stored - ledger @ signs) / through).max())
