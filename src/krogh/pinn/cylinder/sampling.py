"""Sample the networks of a cylinder on the nodes of its mesh, and add up what came and went."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from krogh.pinn.cylinder.window import CylinderWindow
from krogh.pinn.faces import net_flux
from krogh.transport.march import March
from krogh.transport.operator import Operator
from krogh.transport.problem import Problem

__all__ = ["Sampler", "march_of"]

_GAUSS = 0.5 / np.sqrt(3.0)
#: Gauss-Lobatto points and weights on [0, 1]; neighbouring pieces share their ends.
_NODES = np.array([0.0, 0.5 - 0.5 / np.sqrt(5.0), 0.5 + 0.5 / np.sqrt(5.0), 1.0])
_WEIGHTS = np.array([1.0, 5.0, 5.0, 1.0]) / 12.0
_PIECES = 6


class Sampler:
    """Evaluate tissue and blood at any place and time: the blood of time t is at z what arrived at t - z / v."""

    def __init__(self, operator: Operator, problem: Problem, windows: Sequence[CylinderWindow], fu: np.ndarray) -> None:
        self.operator, self.problem, self.windows, self.fu = operator, problem, windows, fu
        self.slab, self.axial = windows[0].slab, windows[0].axial

    def _split(self, since: np.ndarray) -> list[tuple[CylinderWindow, np.ndarray]]:
        """Return each window with the indices of the times since arrival that lie in it; none before the first arrival."""
        out = []
        for n, w in enumerate(self.windows):
            low, high = w.clock.start_s + w.clock.a_s, w.clock.start_s + w.clock.b_s
            here = (since > low) & ((since <= high) if n + 1 < len(self.windows) else (since <= high * (1 + 1e-12)))
            if np.any(here):
                out.append((w, np.flatnonzero(here)))
        return out

    def tissue(self, s: int, i: int, x: np.ndarray, z: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Return u and every v (1 + cells, point) of species `s` in layer `i` at depths `x`, distances `z` and times `t`."""
        out = np.zeros((1 + len(self.slab.sheets[i].pools), x.size))
        since = t - z / self.axial.velocity_m_s
        share = z / self.axial.length_m
        for w, at in self._split(since):
            out[:, at] = self._tissue(w, s, i, x[at], share[at], since[at] - w.clock.start_s)
        return out

    def _tissue(self, w: CylinderWindow, s: int, i: int, x: np.ndarray, share: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Evaluate one window; modes share their networks, so all of them cost one evaluation where no kernel decays."""
        psi = self.axial.modes(share)
        columns = [rows[i].columns for rows in w.rows[s]]
        c = np.array([x[i] for x in w.coefficients[s]])
        first = columns[0]
        xi, _, tau, _ = first.mapped(x, t)
        at_u, _, *at_v, at_k = first.parts
        out = np.zeros((1 + len(at_v), x.size))
        for k, (feature, at) in enumerate(((first.u, at_u), *zip(first.pools, at_v, strict=True))):
            out[k] = np.einsum("nk,nk->n", feature.value(xi, tau) @ c[:, at].T, psi)
        if first.kernels.orders:
            plain = first.kernels(x, t)[0] * np.exp(first.kernels.decay * t)[:, None]
            fade = np.exp(-np.multiply.outer(t, [col.kernels.decay for col in columns]))
            out[0] += np.einsum("nk,nk,nk->n", plain @ c[:, at_k].T, psi, fade)
        return out

    def blood(self, z: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Return the free concentration in blood (S, point): what arrived, less what the wall took upstream."""
        out = np.zeros((self.slab.species, z.size))
        since = t - z / self.axial.velocity_m_s
        for w, at in self._split(since):
            local = since[at] - w.clock.start_s
            flux = self._wall(w, local)
            lost = np.einsum("nk,skn->sn", self.axial.integrals(z[at] / self.axial.length_m), flux)
            out[:, at] = w.inlet_at(local) - w.drain[:, None] * lost
        return out

    def _wall(self, w: CylinderWindow, t: np.ndarray) -> np.ndarray:
        """Return the flux from blood into the wall in modes, (S, mode, time)."""
        n_s, count = self.slab.species, self.axial.count
        flux = np.zeros((n_s, count, t.size))
        for s in range(n_s):
            for k in range(count):
                flux[s, k] = w.rows[s][k][0].columns.trace(0.0, t)[1] @ w.coefficients[s][k][0]
        entered = [i for i, f in enumerate(self.slab.faces) if i and f.entries]
        if not entered:
            return flux
        near = {i: np.zeros((n_s, count, t.size)) for i in entered}
        for i, modes in near.items():
            for s in range(n_s):
                for k in range(count):
                    modes[s, k] = w.rows[s][k][i].columns.trace(0.0, t)[0] @ w.coefficients[s][k][i]
        total, inlet = flux, w.inlet_at(t)
        for _ in range(12):
            lost = np.einsum("zk,skt->szt", self.axial.before, total)
            blood = (inlet[:, None, :] - w.drain[:, None, None] * lost).reshape(n_s, -1)
            total = flux.copy()
            for i, modes in near.items():
                side = np.einsum("zk,skt->szt", self.axial.at, modes).reshape(n_s, -1)
                for s in range(n_s):
                    past = net_flux(self.slab.faces[i].entries, s, blood, side)[0].reshape(-1, t.size)
                    total[s] += self.axial.project(past)
        return total

    def states(self, times: np.ndarray) -> np.ndarray:
        """Return u on all nodes, shape (time, 1, S, N): cell means, faces, and the blood at the end of each slice."""
        layout, mesh = self.operator.graph.layout, self.problem.mesh
        n_z, dz = layout["n_z"], layout["dz_m"]
        z = (np.arange(n_z) + 0.5) * dz
        out = np.zeros((times.size, *self.operator.graph.shape))
        ends, when = np.tile((np.arange(n_z) + 1.0) * dz, times.size), np.repeat(times, n_z)
        out[:, 0, :, :n_z] = np.moveaxis(self.blood(ends, when).reshape(-1, times.size, n_z), 0, 1)
        for i in range(len(self.slab.sheets)):
            cells = np.flatnonzero(mesh.layer == i)
            for s in range(self.slab.species):
                self._layer_states(out, s, i, cells, z, times)
        return out

    def _layer_states(self, out: np.ndarray, s: int, i: int, cells: np.ndarray, z: np.ndarray, times: np.ndarray) -> None:
        mesh, layout, barrier = self.problem.mesh, self.operator.graph.layout, self.problem.barrier
        n_z, sheet = z.size, self.slab.sheets[i]
        middle, width = mesh.center_m[cells] - mesh.edge_m[cells[0]], mesh.width_m[cells]
        x = np.concatenate([middle - _GAUSS * width, middle + _GAUSS * width, [0.0, sheet.thickness]])
        grid = [v.ravel() for v in np.meshgrid(times, x, z, indexing="ij")]
        values = self.tissue(s, i, grid[1], grid[2], grid[0]).reshape(-1, times.size, x.size, n_z)
        area = sheet.area(x)[:, None]
        n = cells.size
        means = (values[:, :, :n] * area[:n] + values[:, :, n : 2 * n] * area[n : 2 * n]) / (area[:n] + area[n : 2 * n])

        def index(nodes: np.ndarray) -> np.ndarray:
            return n_z * (1 + nodes[:, None]) + np.arange(n_z)

        out[:, 0, s, index(layout["cell_node"][cells])] = means[0]
        leaves = [nodes for cell, nodes in zip(barrier.cells, layout["leaf_node"], strict=True) if cell.layer == i]
        for k, nodes in enumerate(leaves):
            out[:, 0, s, index(nodes)] = means[1 + k]
        faces = {m.face for m in barrier.membranes}
        if i in faces or any(b.to_layer == i for b in barrier.bypasses):
            out[:, 0, s, index(layout["cell_node"][cells[:1]] - 1)[0]] = values[0, :, -2]
        if i + 1 in faces:
            out[:, 0, s, index(layout["cell_node"][cells[-1:]] + 1)[0]] = values[0, :, -1]

    def amount(self, times: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Return what is stored (time, S): nodes of the tissue, and the blood by Gauss points along the vessel."""
        capacity, n_z = self.operator.graph.capacity, self.operator.graph.layout["n_z"]
        tissue = (capacity * u)[..., n_z:].sum(-1)[:, 0]
        share, weight = self.axial.share, self.axial.weight
        z, when = np.tile(share * self.axial.length_m, times.size), np.repeat(times, share.size)
        mean = self.blood(z, when).reshape(-1, times.size, share.size) @ weight
        return tissue + mean.T * capacity[0, :, :n_z].sum(-1)


def march_of(sampler: Sampler) -> tuple[March, np.ndarray]:
    """Return states at times spread over every window, with ledger and AUC by Gauss-Lobatto, and the stored amount (B, S)."""
    march, operator = March(), sampler.operator
    ledger, auc = np.zeros((1, operator.graph.shape[1], len(operator.ledger_names))), np.zeros(operator.graph.shape)
    march.t_s, march.u, march.ledger = [0.0], [np.zeros(operator.graph.shape)], [ledger.copy()]
    stored = [np.zeros(operator.graph.shape[1])]
    for w in sampler.windows:
        clock = w.clock
        share = np.append((np.arange(_PIECES)[:, None] + _NODES[None, :-1]).ravel() / _PIECES, 1.0)
        if clock.a_s == 0:
            share[0] = 1e-7
        local = clock.b_s * share**2 if clock.a_s == 0 else clock.at(share)
        t = clock.start_s + local
        u, blood = sampler.states(t), w.inlet_at(local)
        rates = np.array([operator.ledger(u[k], blood[None, :, k]) for k in range(t.size)])
        amount = sampler.amount(t, u)
        per_share = (2 * clock.b_s * share if clock.a_s == 0 else local * np.log(clock.b_s / clock.a_s)) / _PIECES
        for piece in range(_PIECES):
            at = slice(3 * piece, 3 * piece + 4)
            weight = _WEIGHTS * per_share[at]
            ledger = ledger + np.einsum("t,t...->...", weight, rates[at])
            auc = auc + np.einsum("t,t...->...", weight, u[at])
            march.t_s.append(float(t[at][-1]))
            march.u.append(u[at][-1])
            march.ledger.append(ledger.copy())
            stored.append(amount[at][-1])
    march.auc, march.final = auc, march.u[-1]
    top = np.abs(np.array(march.u)).max((0, 1, 3)) + 1e-300
    march.most_negative = float(min((np.array(march.u) / top[None, None, :, None]).min(), 0.0))
    signs = np.array([x for _, x in operator.ledger_names], dtype=float)
    kept, booked = np.array(stored), np.array(march.ledger)[:, 0]
    through = np.maximum((booked[-1] * (signs > 0)).sum(-1), np.abs(kept).max(0)) + 1e-300
    march.worst_defect = float((np.abs(kept - booked @ signs) / through).max())
    march.stats.steps = len(sampler.windows)
    march.stats.iterations = sum(w.newton for w in sampler.windows)
    return march, kept[-1][None]
