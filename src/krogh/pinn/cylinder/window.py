"""Solve one time window of a Krogh cylinder: the slab's rows for every mode along the vessel, joined by blood and laws.

All modes share their networks. Each has its own least-squares problem, factored once; what joins them (the blood that has lost
drug upstream, laws that saturate more here than there, the cross terms of axial diffusion) goes to the right-hand side and is
iterated: the loss upstream is a Volterra operator, whose iteration always converges.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from krogh.pinn.basis import Clock, chebyshev
from krogh.pinn.cylinder.axial import Axial
from krogh.pinn.cylinder.factor import Factor
from krogh.pinn.cylinder.mixing import Anderson
from krogh.pinn.cylinder.moving import grown, rates_of
from krogh.pinn.draw import Size, layer_columns
from krogh.pinn.faces import FaceRow, Sides, face_rows, net_flux
from krogh.pinn.physics import Slab
from krogh.pinn.rows import LayerRows, grid
from krogh.pinn.window import Trace, entered

__all__ = ["CylinderWindow", "StartMode"]

#: u and every v of (species, mode, layer) at depths: (1 + cells, depth).
StartMode = Callable[[int, int, int, np.ndarray], np.ndarray]

_ROUNDS = 80
_STALE = 0.03
_ALIKE = 0.2
_PARTS = ("far_u", "far_q", "near_u", "near_q")


@dataclass
class CylinderWindow:
    """Hold the trained networks of one window.

    Attributes
    ----------
    slab, axial, clock, size
        What is solved, in which modes, when, and with how many features.
    level : array (S, layer)
        Size of the concentrations, by which rows are divided.
    inlet_at : callable
        Times since the event -> free concentration in arriving blood (S, time).
    drain : array (S,)
        2 fu L / (a v): how much of the concentration a flux takes over the whole length [s/m].
    probe : Generator or None
        Random points to be checked on, in place of those of the training.
    held : list of array (face,) or None
        What each face lets through, by species; None: at low concentration [m/s].
    """

    slab: Slab
    axial: Axial
    clock: Clock
    size: Size
    level: np.ndarray
    seed: tuple[int, ...]
    inlet_at: Callable[[np.ndarray], np.ndarray]
    drain: np.ndarray
    start: StartMode
    probe: np.random.Generator | None = None
    held: list[np.ndarray] | None = None
    newton: int = 0
    hidden: int = 0
    converged: bool = True
    coefficients: list[list[list[np.ndarray]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Draw the features and state the rows of every mode."""
        slab, n_s = self.slab, self.slab.species
        times = self.size.face_times
        share = chebyshev(times) if self.probe is None else np.sort(self.probe.uniform(0, 1, times))
        self.t = self.clock.at(share)
        held = self.held or [np.array([slab.permeability(f, s) for f in range(len(slab.faces))]) for s in range(n_s)]
        self.slowest = [float(min((x for x in p if x > 0), default=1e-15)) for p in held]
        self.permeability = [np.append(p, low) for p, low in zip(held, self.slowest, strict=True)]
        self.alike = self._groups()
        made = [{g: self._mode(s, g) for g in sorted(set(self.alike))} for s in range(n_s)]
        self.rows = [[made[s][g] for g in self.alike] for s in range(n_s)]
        self.begin = [
            [[self.start(s, k, i, r.x0) for i, r in enumerate(rows)] for k, rows in enumerate(of)]
            for s, of in enumerate(self.rows)
        ]
        traces = [{g: [_trace(r, self.t) for r in rows] for g, rows in of.items()} for of in made]
        self.traces = [[of[g] for g in self.alike] for of in traces]
        if not self.coefficients:
            self.coefficients = [[[np.zeros(r.columns.size) for r in rows] for rows in of] for of in self.rows]
        self.inlet = self.inlet_at(self.t)
        rates = [{g: [rates_of(r) for r in rows] for g, rows in of.items()} for of in made]
        self.rates = [[of[g] for g in self.alike] for of in rates]

    def _groups(self) -> list[int]:
        """Return for each mode the first that may stand for it: what they lose differently in the window is iterated."""
        fastest = max(float((x.diffusivity / x.capacity).max()) for x in self.slab.sheets)
        out: list[int] = []
        for k, rate in enumerate(self.axial.rate):
            near = out and (rate - self.axial.rate[out[-1]]) * fastest * self.clock.b_s < _ALIKE
            out.append(out[-1] if near else k)
        return out

    def _mode(self, s: int, k: int) -> list[LayerRows]:
        """Return the rows of one mode: the slab's, with what it loses along the vessel; the features are the same for all."""
        rng = np.random.default_rng((*self.seed, s))
        sheets = tuple(replace(x, loss=x.loss + x.diffusivity * self.axial.rate[k]) for x in self.slab.sheets)
        slab = replace(self.slab, sheets=sheets)
        out = []
        for i, sheet in enumerate(sheets):
            columns = layer_columns(slab, i, s, self.clock, self.size, entered(slab, i), rng)
            x, t = grid(self.clock, columns, self.size.depths, self.size.times)
            if self.probe is not None:
                fresh = np.random.default_rng((*self.seed, s, i, 7))
                x, t = columns.depths(fresh.uniform(0, 1, x.size)), self.clock.at(fresh.uniform(0, 1, x.size))
                t = fresh.permutation(np.resize(t, x.size))
            out.append(LayerRows(sheet, s, columns, self.slowest[s], float(self.level[s, i]), x, t))
        return out

    # -- the state at the points ---------------------------------------------------------------------------------------------

    def modes_at_faces(self) -> np.ndarray:
        """Return u and q at the near and far side of every layer: (4, layer, S, mode, time)."""
        out = np.zeros((4, len(self.slab.sheets), self.slab.species, self.axial.count, self.t.size))
        for s, of in enumerate(self.traces):
            for k, traces in enumerate(of):
                for i, (near, far) in enumerate(traces):
                    for part, trace in enumerate((*near, *far)):
                        out[part, i, s, k] = trace @ self.coefficients[s][k][i]
        return out

    def along(self, modes: np.ndarray) -> np.ndarray:
        """Return (..., Gauss point, time) from (..., mode, time)."""
        return np.einsum("zk,...kt->...zt", self.axial.at, modes)

    def loss_to_wall(self, faces: np.ndarray, blood: np.ndarray) -> np.ndarray:
        """Return the flux from blood into the wall, (S, Gauss point, time): through the first face, and past it."""
        out = self.along(faces[1, 0])
        for i, face in enumerate(self.slab.faces[1:], start=1):
            if face.entries:
                near = self.along(faces[0, i]).reshape(self.slab.species, -1)
                for s in range(self.slab.species):
                    out[s] += net_flux(face.entries, s, blood.reshape(near.shape), near)[0].reshape(out[s].shape)
        return out

    def blood(self, faces: np.ndarray, before: np.ndarray) -> np.ndarray:
        """Return the free concentration in blood at the Gauss points, (S, Gauss point, time)."""
        lost = np.einsum(
            "zk,kst->szt", self.axial.before, self.axial.project(np.moveaxis(self.loss_to_wall(faces, before), 1, 0))
        )
        return self.inlet[:, None, :] - self.drain[:, None, None] * lost

    def _values(self, i: int) -> list[np.ndarray]:
        """Return u and every v at the points of layer `i`, each (S, Gauss point, point)."""
        first = self.rows[0][0][i]
        out = []
        for part in range(1 + first.pools):
            modes = [
                [(r[i].u_at if part == 0 else r[i].v_at[part - 1]) @ c[i] for r, c in zip(of, cs, strict=True)]
                for of, cs in zip(self.rows, self.coefficients, strict=True)
            ]
            out.append(np.einsum("zk,skn->szn", self.axial.at, np.array(modes)))
        return out

    # -- right-hand sides ----------------------------------------------------------------------------------------------------

    def layer_sides(self, s: int, i: int, slopes: list[np.ndarray] | None) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return the mean slopes of the laws (found here where None) and the right-hand side of layer `i`, one per mode."""
        modes = [rows[i] for rows in self.rows[s]]
        rest = [[] for _ in modes] if not modes[0].laws else self._law_sides(s, i, slopes)
        if modes[0].laws and slopes is None:
            slopes = self._slopes
        sheet = self.slab.sheets[i]
        out = [r.right(x, self.begin[s][k][i]) for k, (r, x) in enumerate(zip(modes, rest, strict=True))]
        d, lag = float(sheet.diffusivity[s]), 1.0 / self.axial.velocity_m_s**2
        fade = grown(modes[0], d * lag / float(sheet.capacity[s]))
        found = [
            (a @ c[i], b @ c[i], r.u_at @ c[i])
            for (a, b), c, r in zip((x[i] for x in self.rates[s]), self.coefficients[s], modes, strict=True)
        ]
        speed, bend, value = (np.array(x) for x in zip(*found, strict=True))
        more = (self.axial.rate - self.axial.rate[self.alike])[:, None]
        cross = d * (fade * (self.axial.mix @ speed - lag * bend) + more * value)
        for f, r, x in zip(out, modes, cross, strict=True):
            f[: r.n] -= r.mass_weight * x
        return slopes or [], out

    def _law_sides(self, s: int, i: int, slopes: list[np.ndarray] | None) -> list[list[np.ndarray]]:
        r, values, w = self.rows[s][0][i], self._values(i), self.axial.weight
        shape = values[0].shape[1:]
        taken = r.taken([v.reshape(v.shape[0], -1) for v in values])
        if slopes is None:
            slopes = [w @ slope.reshape(shape) for _, slope in taken]
        self._slopes = slopes
        rest = [self.axial.project(net.reshape(shape) - m * v[s]) for (net, _), m, v in zip(taken, slopes, values, strict=True)]
        return [[x[k] for x in rest] for k in range(self.axial.count)]

    def face_sides(
        self, s: int, faces: np.ndarray, blood: np.ndarray, means: list[FaceRow] | None
    ) -> tuple[list[FaceRow], np.ndarray]:
        """Return the mean rows of the faces (found here where None) and their targets (row, mode, time)."""
        z, n_t = self.axial.share.size, self.t.size
        along = self.along(faces).reshape(*faces.shape[:3], -1)
        sides = Sides(*along)
        since = np.tile(self.t + self.clock.offset_s, z)
        found = face_rows(self.slab, s, blood.reshape(blood.shape[0], -1), sides, since, self.level[s], self.permeability[s])
        means = means or [self._mean_row(x) for x in found]
        targets = []
        for row, mean in zip(found, means, strict=True):
            left = row.target.copy()
            for part, layer, side in zip(_PARTS, (row.layer - 1,) * 2 + (row.layer,) * 2, (2, 3, 0, 1), strict=True):
                if getattr(row, part) is not None:
                    left -= (getattr(row, part) - np.tile(getattr(mean, part), z)) * along[side, layer, s]
            targets.append(self.axial.project(left.reshape(z, n_t)))
        return means, np.array(targets)

    def _mean_row(self, row: FaceRow) -> FaceRow:
        far_u, far_q, near_u, near_q = (self._mean(getattr(row, p)) for p in _PARTS)
        return FaceRow(row.layer, far_u, far_q, near_u, near_q, row.target)

    def _mean(self, values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else self.axial.weight @ values.reshape(self.axial.share.size, -1)

    # -- least squares -------------------------------------------------------------------------------------------------------

    def solve(self) -> CylinderWindow:
        """Iterate until blood, laws and modes agree."""
        factors: list[Factor | None] = [None] * self.slab.species
        faces = self.modes_at_faces()
        if not np.any(faces):
            for s, of in enumerate(self.begin):
                for k, starts in enumerate(of):
                    for i, begin in enumerate(starts):
                        faces[0, i, s, k], faces[2, i, s, k] = begin[0, 0], begin[0, -1]
        blood = np.repeat(self.inlet[:, None, :], self.axial.share.size, 1)
        top, previous, mixer = self.level.T[:, :, None, None], math.inf, Anderson()
        for iteration in range(_ROUNDS):
            for s in range(self.slab.species):
                factors[s] = self._species(s, faces, blood, factors[s])
            now = self.modes_at_faces()
            change = float((np.abs(self.along(now[[0, 2]] - faces[[0, 2]])) / top).max())
            faces, self.newton = now, iteration + 1
            if not np.isfinite(change):
                break
            if change < 1e-7 or (change < 1e-5 and change > 0.5 * previous):
                return self
            blood = mixer.mix(blood, self.blood(faces, blood))
            previous = change
        self.converged = False
        return self

    def _species(self, s: int, faces: np.ndarray, blood: np.ndarray, factor: Factor | None) -> Factor:
        """Solve all modes of one species with everything else held; factor again where the mean slopes have moved."""
        layers = range(len(self.slab.sheets))
        fresh = [self.layer_sides(s, i, None) for i in layers]
        rows, targets = self.face_sides(s, faces, blood, None)
        if factor is None or factor.stale(rows, [x for x, _ in fresh], _STALE):
            factor = Factor(self.alike, self.rows[s], self.traces[s], rows, [x for x, _ in fresh], self.level[s])
        else:
            fresh = [self.layer_sides(s, i, factor.slopes[i]) for i in layers]
            rows, targets = self.face_sides(s, faces, blood, factor.faces)
        for k in range(self.axial.count):
            self.coefficients[s][k] = factor.solve(k, [f[k] for _, f in fresh], targets[:, k])
        return factor

    # -- use -----------------------------------------------------------------------------------------------------------------

    def evaluate(self, s: int, k: int, i: int, x: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Return mode `k` of u and every v (1 + cells, point) of species `s` in layer `i` at depths and times since the event."""
        return self.rows[s][k][i].columns.values(self.coefficients[s][k][i], x, t)


def _trace(r: LayerRows, t: np.ndarray) -> tuple[Trace, Trace]:
    return r.columns.trace(0.0, t), r.columns.trace(r.sheet.thickness, t)
