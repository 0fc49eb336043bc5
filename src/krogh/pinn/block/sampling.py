"""Sample the networks of a block on the cells of its mesh, and add up what came and went."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from krogh.pinn.block.lateral import cell_means
from krogh.pinn.block.window import BlockWindow
from krogh.pinn.sampling import PIECES, piece_times, piece_weights
from krogh.transport.block.base import BlockBase
from krogh.transport.block.problem import BlockProblem
from krogh.transport.march import March

__all__ = ["fields", "march_of", "plane_modes"]


def plane_modes(problem: BlockProblem, window: BlockWindow, t: np.ndarray) -> np.ndarray:
    """Return u in modes on all planes at the times `t` since the event, (time, S, plane, mode): means over depth."""
    mesh, whole, species = problem.mesh, problem.whole, window.slab.species
    parts: list[np.ndarray] = []
    leaves: dict[int, np.ndarray] = {}
    for i, sheet in enumerate(window.slab.sheets):
        cells = np.flatnonzero(mesh.layer == i)
        middle, half = mesh.center_m[cells] - mesh.edge_m[cells[0]], mesh.width_m[cells] / np.sqrt(12.0)
        x = np.clip(np.concatenate([middle - half, middle + half]), 0.0, sheet.thickness)
        grid_x, grid_t = np.tile(x, t.size), np.repeat(t, x.size)
        values = np.array([window.evaluate(s, i, grid_x, grid_t) for s in range(species)])
        means = values.reshape(species, -1, t.size, 2, cells.size, window.lateral.count).mean(3)
        parts.append(means[:, 0])
        own = [n for n, c in enumerate(whole.cells) if c.layer == i]
        leaves |= {n: means[:, 1 + k] for k, n in enumerate(own)}
    return np.moveaxis(np.concatenate([*parts, *(leaves[n] for n in range(len(whole.cells)))], axis=2), 1, 0)


def fields(problem: BlockProblem, window: BlockWindow, t: np.ndarray) -> np.ndarray:
    """Return u in all cells at the times `t` since the event, (time, S, plane, ny, nz)."""
    return cell_means(window.lateral).spread(plane_modes(problem, window, t))


def march_of(system: BlockBase, problem: BlockProblem, windows: Sequence[BlockWindow]) -> March:
    """Return plane means at times spread over every window, with the ledger and AUC by Gauss-Lobatto quadrature."""
    march, capacity = March(), system.plane_capacity
    empty = np.zeros((1, *capacity.shape))
    ledger, auc = np.zeros((1, capacity.shape[0], len(system.ledger_names))), empty.copy()
    march.t_s, march.u, march.ledger = [0.0], [empty], [ledger.copy()]
    lowest, top = 0.0, 1e-300
    for w in windows:
        share, t = piece_times(w.clock)
        modes = plane_modes(problem, w, t)
        whole = cell_means(w.lateral).spread(modes)
        lowest, top = min(lowest, float(whole.min())), max(top, float(np.abs(whole).max()))
        u, rates = modes[:, None, ..., 0], _rates(system, w, t, whole)
        for piece in range(PIECES):
            at, weight = piece_weights(w.clock, share, t, piece)
            ledger = ledger + np.einsum("t,t...->...", weight, rates[at])
            auc = auc + np.einsum("t,t...->...", weight, u[at])
            march.t_s.append(w.clock.start_s + float(t[at][-1]))
            march.u.append(u[at][-1])
            march.ledger.append(ledger.copy())
    march.auc, march.final = auc, march.u[-1]
    march.most_negative = lowest / top
    march.worst_defect = _defect(system, march)
    march.stats.steps = len(windows)
    march.stats.iterations = sum(w.newton for w in windows)
    return march


def _rates(system: BlockBase, w: BlockWindow, t: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return the rate of every row of the ledger at the times `t`, (time, 1, S, row) [mol/s]."""
    flows = system.flows
    blood, evaluation = w.blood_at(t), w.evaluation
    at_ports = evaluation.points.spread(w.ports_at(t))
    flux = evaluation.cell_means(w.walls.evaluate(evaluation, at_ports, blood).flux)
    ports = evaluation.cell_means(at_ports)
    planes = whole.reshape(*whole.shape[:3], -1)
    out = np.array([flows.ledger(planes[k], blood[:, k], flux[:, :, k], ports[:, :, k]) for k in range(t.size)])[:, None]
    if w.walls.open:
        names, area = [n for n, _ in system.ledger_names], float(system.model.area_m2.sum())
        for s in range(w.slab.species):
            q = w.groups[s][0].columns[0].trace(0.0, t)[1] @ w.groups[s][0].coefficients[0][:, 0] * area
            out[:, 0, s, names.index("in:blood flow")] = np.maximum(q, 0.0)
            out[:, 0, s, names.index("out:blood flow")] = np.maximum(-q, 0.0)
    return out


def _defect(system: BlockBase, march: March) -> float:
    """Return the largest difference between what is stored and what the ledger says, over all that came in."""
    signs = np.array([s for _, s in system.ledger_names], dtype=float)
    area = float(system.model.area_m2.sum())
    stored = area * (system.plane_capacity[None] * np.array(march.u)).sum(-1)
    ledger = np.array(march.ledger)
    through = np.maximum((ledger[-1] * (signs > 0)).sum(-1), np.abs(stored).max(0)) + 1e-300
    return float((np.abs(stored - ledger @ signs) / through).max())
