"""Keep what happens inside the layers beside the factored rows: laws that saturate, rates within a group, fresh blood."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from krogh.pinn.block.lateral import even_points
from krogh.pinn.rows import START, LayerRows

if TYPE_CHECKING:
    from krogh.pinn.block.window import BlockWindow

__all__ = ["Inside", "Key"]

#: Species, group, layer.
Key = tuple[int, int, int]


class Inside:
    """Hold the right-hand sides of all layers; laws are evaluated at even points along the barrier, in all modes."""

    def __init__(self, window: BlockWindow) -> None:
        self.window = window
        self.points = even_points(window.lateral)
        self.keys: list[Key] = [
            (s, n, i) for s, of in enumerate(window.groups) for n, g in enumerate(of) for i, r in enumerate(g.rows) if r.laws
        ]
        self._net: dict[Key, list[np.ndarray]] = {}
        self._own: dict[Key, list[np.ndarray]] = {}
        self._slopes: dict[Key, list[np.ndarray]] = {}
        self._held: dict[Key, list[np.ndarray]] = {}
        self._last: np.ndarray | None = None

    def refresh(self) -> None:
        """Evaluate all laws at the present state, or at the start of the window where nothing was solved yet."""
        for key in self.keys:
            s, n, i = key
            r = self.window.groups[s][n].rows[i]
            values = self.values(r, i)
            shape = values[0].shape[1:]
            taken = r.taken([v.reshape(v.shape[0], -1) for v in values])
            self._net[key] = [net.reshape(shape) for net, _ in taken]
            self._own[key] = [v[s] for v in values]
            self._slopes[key] = [self.points.mean(slope.reshape(shape)) for _, slope in taken]

    def values(self, r: LayerRows, i: int) -> list[np.ndarray]:
        """Return u and every v at the points of `r`, each (S, point, y, z)."""
        w, species = self.window, range(self.window.slab.species)
        modes = [w.evaluate(s, i, r.x, r.t) if w.newton else w.start(s, i, r.x) for s in species]
        return [self.points.spread(np.array([m[k] for m in modes])) for k in range(1 + r.pools)]

    def slopes(self, key: Key) -> list[np.ndarray]:
        """Return the mean slopes of the laws in a layer and its cells, each (point,); none where no law is."""
        return self._slopes.get(key, [])

    def hold(self) -> None:
        """Remember the slopes that were factored."""
        self._held = dict(self._slopes)

    def stale(self, limit: float) -> bool:
        """Tell whether the slopes have moved by more than `limit` of their size."""
        return any(
            float(np.abs(a - b).max()) > limit * float(np.abs(b).max()) + 1e-300
            for key, held in self._held.items()
            for a, b in zip(self._slopes[key], held, strict=True)
        )

    def right(self, key: Key, start: np.ndarray) -> np.ndarray:
        """Return the right-hand side (row, mode) of one group and layer for its `start` (1 + cells, point, mode)."""
        s, n, i = key
        g, supply = self.window.groups[s][n], float(self.window.supply[s])
        r = g.rows[i]
        th = r.mass_weight[:, None]
        f = np.zeros((r.base.shape[0], g.members.size))
        f[(2 + r.pools) * r.n :] = START * start.reshape(-1, g.members.size)
        f[: r.n] = -th * float(r.sheet.diffusivity[s]) * g.apart * (r.u_at @ g.coefficients[i])
        if i == 0 and n == 0 and supply > 0:
            f[: r.n, 0] += r.mass_weight * supply * self.window.blood_at(r.t)[s]
        for k, net in enumerate(self._nets(key)):
            f[: r.n] -= th * net
            if k:
                f[(1 + k) * r.n : (2 + k) * r.n] -= r.cell_weight[k - 1][:, None] * net
        return f

    def _nets(self, key: Key) -> list[np.ndarray]:
        """Return what the laws take beside the slopes that were factored, if any, in the group's modes, each (point, mode)."""
        if key not in self._net:
            return []
        members = self.window.groups[key[0]][key[1]].members
        held = self._held.get(key) or [np.zeros(x.shape[0]) for x in self._net[key]]
        both = zip(self._net[key], self._own[key], held, strict=True)
        return [self.points.project(net - slope[:, None, None] * own)[:, members] for net, own, slope in both]

    def residual(self, key: Key, start: np.ndarray) -> np.ndarray:
        """Return the residual of every row (row, mode); for a window whose rows were not factored."""
        s, n, i = key
        g = self.window.groups[s][n]
        return np.asarray(g.rows[i].base @ g.coefficients[i] - self.right(key, start))

    def change(self) -> float:
        """Return the largest change at the sides of all layers since the last call, over the level."""
        now = self.window.gather(lambda g: g.faces(0))
        before, self._last = self._last, now
        if before is None:
            return float("inf")
        return float((np.abs(now - before).max((2, 3, 4)) / self.window.level).max())
