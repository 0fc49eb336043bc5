"""Reduce one species' modes that decay alike to one factorised least-squares problem, and know how it answers its walls.

The rows are the slab's, with ``D rate`` as a further loss. Modes of one group share rows and factors; by how much their own rate
differs goes to the right-hand side. At each side of a layer, with ``h = 3 / (P + s D m tanh(m L) + s L kappa/(t + t0))``, m the
root of the rate: what one unit of flux is worth in concentration (P without a membrane: the smallest, in series with s D/L)::

    membrane   h (q -+ sum_laws (a u_tail + b u_head)) = +- h sum_laws rest
    contact    3 (u- - u+) = 0,   h (q+ - q-) = 0
    open       3 (u - blood) = 0
    closed     h q = 0
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import solve_triangular

from krogh.pinn.basis import Clock
from krogh.pinn.block.walls import BLOOD, Means, Walls
from krogh.pinn.draw import Size, layer_columns
from krogh.pinn.physics import Sheet, Slab
from krogh.pinn.rows import START, LayerRows, grid
from krogh.pinn.window import Trace, entered

__all__ = ["FaceGrid", "Group", "Setting", "alike", "lateral_conductance"]

_RIDGE = 1e-13
#: Modes whose rates differ by this share of what they lose are iterated together.
_ALIKE = 0.2


@dataclass(frozen=True)
class Setting:
    """Say what all groups of a window share.

    Attributes
    ----------
    permeability : array (port + 1, S)
        What each port lets through, and the smallest of them at the end [m/s].
    supply : array (S,)
        How fast fresh blood replaces that of the first layer, times its capacity [1/s]; 0 without a lumen.
    level : array (S, layer)
        Size of the concentrations, by which rows are divided.
    t : array (time,)
        Times at the faces since the event.
    """

    slab: Slab
    walls: Walls
    clock: Clock
    size: Size
    permeability: np.ndarray
    supply: np.ndarray
    level: np.ndarray
    seed: tuple[int, ...]
    t: np.ndarray
    probe: np.random.Generator | None = None


@dataclass(frozen=True)
class FaceGrid:
    """Hold the rows of all faces of one species and group: matrix (row, time, column), what a rest adds, what blood adds.

    Attributes
    ----------
    weight : array (row, time)
        h of the rows that laws enter, 0 elsewhere.
    laws : array (row, law)
        The sign with which a law's rest enters.
    blood : array (row, time)
        Weight of the blood (of the mean mode).
    """

    weight: np.ndarray
    laws: np.ndarray
    blood: np.ndarray

    def targets(self, rest: np.ndarray, blood: np.ndarray | None) -> np.ndarray:
        """Return right-hand sides (row, time, mode) of rests (law, time, mode) and of the blood (time,) in the first mode."""
        out = np.einsum("rt,rk,ktm->rtm", self.weight, self.laws, rest)
        if blood is not None:
            out[..., 0] += self.blood * blood
        return out


def alike(rate: np.ndarray, slab: Slab, b_s: float) -> list[np.ndarray]:
    """Return the modes in groups whose rates differ little beside what they lose in a window that ends at `b_s`; mean first."""
    fastest = max(float((x.diffusivity / x.capacity).max()) for x in slab.sheets)
    order = np.argsort(rate, kind="stable")
    groups = [[int(order[0])]]
    low = np.inf
    for m in order[1:]:
        middle = 0.5 * (low + rate[m])
        if np.isfinite(low) and rate[m] - low <= 2 * _ALIKE * (middle + 1.0 / (fastest * b_s)):
            groups[-1].append(int(m))
        else:
            groups.append([int(m)])
            low = float(rate[m])
    return [np.array(g) for g in groups]


def lateral_conductance(sheet: Sheet, s: int, rate: float) -> float:
    """Return s D m tanh(m L): the flux into a layer per concentration at its face that evens out along the barrier [m/s]."""
    m = np.sqrt(rate)
    return float(sheet.spread * sheet.diffusivity[s] * m * np.tanh(m * sheet.thickness))


class Group:
    """Hold rows, factors and coefficients of the modes `members` of species `s`.

    Attributes
    ----------
    rate : float
        Of all of them, in the rows [1/m2].
    apart : array (mode,)
        By how much each differs from it [1/m2].
    coefficients : list of array (column, mode)
        One per layer.
    """

    def __init__(self, setting: Setting, s: int, members: np.ndarray, rates: np.ndarray) -> None:
        self.setting, self.s, self.members = setting, s, members
        of = rates[members]
        self.rate = 0.5 * float(of.min() + of.max())
        self.apart = of - self.rate
        self.rows = [self._rows(i) for i in range(len(setting.slab.sheets))]
        self.columns = [r.columns for r in self.rows]
        self.traces = [self._traces(r, setting.t) for r in self.rows]
        self.coefficients = [np.zeros((r.columns.size, members.size)) for r in self.rows]
        self.ends = np.cumsum([0, *[r.columns.size for r in self.rows]])

    def _rows(self, i: int) -> LayerRows:
        c, s = self.setting, self.s
        sheet = c.slab.sheets[i]
        supply = c.supply if i == 0 else 0.0
        sheets = list(c.slab.sheets)
        sheets[i] = replace(sheet, loss=sheet.loss + sheet.diffusivity * self.rate + supply)
        slab = replace(c.slab, sheets=tuple(sheets))
        first = entered(c.slab, i) if not np.any(c.supply > 0) else None
        # all modes of a species and layer draw the same features, on maps of their own
        rng = np.random.default_rng((*c.seed, s, i))
        columns = layer_columns(slab, i, s, c.clock, c.size, first, rng, self.rate)
        x, t = grid(c.clock, columns, c.size.depths, c.size.times)
        if c.probe is not None:
            fresh = np.random.default_rng((*c.seed, s, i, 7))
            x = columns.depths(fresh.uniform(0, 1, -(-x.size // (1 + len(columns.carried)))))[: x.size]
            t = fresh.permutation(c.clock.at(fresh.uniform(0, 1, x.size)))
        slowest = float(c.permeability[-1, s]) + lateral_conductance(sheet, s, self.rate)
        return LayerRows(sheets[i], s, columns, slowest, float(c.level[s, i]), x, t)

    @staticmethod
    def _traces(r: LayerRows, t: np.ndarray) -> tuple[Trace, Trace]:
        return r.columns.trace(0.0, t), r.columns.trace(r.sheet.thickness, t)

    # -- values --------------------------------------------------------------------------------------------------------------

    def faces(self, part: int) -> np.ndarray:
        """Return u (part 0) or q (part 1) at both sides of every layer: (layer, side, time, mode)."""
        both = zip(self.traces, self.coefficients, strict=True)
        return np.array([[trace[part] @ c for trace in sides] for sides, c in both])

    def ports(self, part: int = 0, found: list[np.ndarray] | None = None) -> np.ndarray:
        """Return u or q at the ports, (port, time, mode)."""
        held = self.coefficients if found is None else found
        return np.array([self.traces[p.layer][int(p.far)][part] @ held[p.layer] for p in self.setting.walls.ports])

    def evaluate(self, i: int, x: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Return u and every v, (1 + cells, point, mode)."""
        return self.columns[i].values(self.coefficients[i], x, t)

    def release(self) -> None:
        """Drop rows and factors, which are large, once the weights are found and checked."""
        self.rows, self.traces = [], []
        for name in ("_inner", "_outer", "_faces", "_right", "response"):
            self.__dict__.pop(name, None)

    # -- factors -------------------------------------------------------------------------------------------------------------

    def factor(self, means: Means, slopes: list[list[np.ndarray]]) -> None:
        """Factor all layers and the whole for these mean slopes of the walls and, per layer, of the laws inside."""
        import torch

        level = self.setting.level[self.s]
        self.slopes = slopes
        self._inner, self._scale, tops = [], [], []
        for r, own in zip(self.rows, slopes, strict=True):
            b = r.linear(own) if own else r.base
            scale = 1.0 / np.sqrt((b * b).mean(0) + 1e-300)
            tall = np.concatenate([b * scale, _RIDGE * np.eye(scale.size)])
            q, top = (x.numpy() for x in torch.linalg.qr(torch.from_numpy(tall)))
            self._inner.append(q[: b.shape[0]])
            self._scale.append(scale)
            tops.append(top)
        matrix, self.grid = self._face_rows(means)
        scale, wide = np.concatenate(self._scale), int(self.ends[-1])
        a = np.zeros((wide + matrix.shape[0] * matrix.shape[1], wide))
        for i, top in enumerate(tops):
            at = slice(self.ends[i], self.ends[i + 1])
            a[at, at] = top / level[i]
        a[wide:] = matrix.reshape(-1, wide) * scale
        q, self._right = (x.numpy() for x in torch.linalg.qr(torch.from_numpy(a)))
        self._outer, self._faces = q[:wide], q[wide:]
        self.response = self._responses()

    def _responses(self) -> np.ndarray:
        """Return how u at the ports answers rests of the laws, (port, time, law, time)."""
        times, g = self.setting.t.size, self.grid
        answer = np.concatenate(self._scale)[:, None] * solve_triangular(self._right, self._faces.T, check_finite=False)
        per_row = answer.reshape(-1, g.weight.shape[0], times) * g.weight
        by_law = np.einsum("crt,rk->ckt", per_row, g.laws).reshape(per_row.shape[0], -1)
        found = [
            self.traces[p.layer][int(p.far)][0] @ by_law[self.ends[p.layer] : self.ends[p.layer + 1]]
            for p in self.setting.walls.ports
        ]
        return np.array(found).reshape(len(found) * times, -1)

    def reduced(self, layers: list[np.ndarray]) -> np.ndarray:
        """Return what right-hand sides of the layers (row, mode) leave for the weights, (column, mode)."""
        level = self.setting.level[self.s]
        right = np.concatenate([q.T @ f / top for q, f, top in zip(self._inner, layers, level, strict=True)])
        return np.asarray(self._outer.T @ right)

    def solve(self, reduced: np.ndarray, targets: np.ndarray) -> list[np.ndarray]:
        """Return the coefficients of each layer (column, mode) for `reduced` right-hand sides and those of the faces.

        Both at once: what starts and fluxes ask for apart are large weights that cancel, and lose their digits.
        """
        right = reduced + self._faces.T @ targets.reshape(-1, targets.shape[-1])
        found = np.concatenate(self._scale)[:, None] * solve_triangular(self._right, right, check_finite=False)
        return self._split(np.ascontiguousarray(found))  # as they are when they come from a store: the same bytes

    def _split(self, found: np.ndarray) -> list[np.ndarray]:
        return [found[a:b] for a, b in zip(self.ends[:-1], self.ends[1:], strict=True)]

    def _face_rows(self, means: Means) -> tuple[np.ndarray, FaceGrid]:
        """Return the rows (row, time, column) and what belongs to them."""
        c, s = self.setting, self.s
        walls, count, times = c.walls, len(c.slab.sheets), c.t.size
        matrix = np.zeros((2 * count, times, int(self.ends[-1])))
        out = FaceGrid(np.zeros((2 * count, times)), np.zeros((2 * count, len(walls.laws))), np.zeros((2 * count, times)))
        for i in range(count):
            for far in (False, True):
                row, port = 2 * i + int(far), walls.port(i, far=far)
                h = self.worth(i, far=far)
                if port is not None:
                    self._add(matrix[row], i, far, 1, h)
                    out.weight[row], out.laws[row] = h, walls.ports[port].sign * walls.sides[port]
                    for k in np.flatnonzero(walls.sides[port]):
                        for end, slope in ((walls.tails[k], means.tail[k, s]), (walls.heads[k], means.head[k, s])):
                            if end != BLOOD:
                                p = walls.ports[end]
                                self._add(matrix[row], p.layer, p.far, 0, -h * out.laws[row, k] * slope)
                elif (i, far) == (0, False) and walls.open:
                    self._add(matrix[row], i, far, 0, START / c.level[s, 0] + 0 * h)
                    out.blood[row] = START / c.level[s, 0]
                elif (i, far) in ((0, False), (count - 1, True)):
                    self._add(matrix[row], i, far, 1, h)
                elif far:  # contact with the next layer: the concentration here, the flux in the next layer's row
                    top = START / min(c.level[s, i], c.level[s, i + 1])
                    self._add(matrix[row], i, True, 0, top + 0 * h)
                    self._add(matrix[row], i + 1, False, 0, -top + 0 * h)
                else:
                    self._add(matrix[row], i, False, 1, h)
                    self._add(matrix[row], i - 1, True, 1, -h)
        return matrix, out

    def _add(self, rows: np.ndarray, layer: int, far: bool, part: int, value: np.ndarray) -> None:
        rows[:, self.ends[layer] : self.ends[layer + 1]] += value[:, None] * self.traces[layer][int(far)][part]

    def worth(self, i: int, *, far: bool) -> np.ndarray:
        """Return h at one side of a layer, over the level (time,)."""
        c, s = self.setting, self.s
        sides = [i] + ([i + 1] if far and i + 1 < len(c.slab.sheets) else [i - 1] if not far and i else [])
        since = c.t + c.clock.offset_s
        kept = [c.slab.sheets[n] for n in sides]
        storage = min(x.spread * x.thickness * float(x.capacity[s]) for x in kept)
        along = min(lateral_conductance(x, s, self.rate) for x in kept)
        port = c.walls.port(i, far=far)
        through = float(c.permeability[-1 if port is None else port, s])
        if port is None:  # what is lost here leaves elsewhere, but no faster than it diffuses there
            through = 1.0 / (1.0 / through + max(x.thickness / (x.spread * float(x.diffusivity[s])) for x in kept))
        return START / (through + along + storage / since) / min(float(c.level[s, n]) for n in sides)
