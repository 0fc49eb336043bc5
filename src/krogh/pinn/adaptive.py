"""Put more points where the equations of a layer are least satisfied: residual-adaptive sampling."""

from __future__ import annotations

import numpy as np

from krogh.pinn.rows import LayerRows
from krogh.pinn.window import Window

__all__ = ["Points"]

Place = tuple[np.ndarray, np.ndarray]
_CANDIDATES, _WORST, _KEPT = 600, 60, 4


class Points:
    """Hold the points of every layer: those of the grid, and the worst of the last few random samples."""

    def __init__(self, window: Window, rng: np.random.Generator) -> None:
        self.rng = rng
        self.grid: list[Place] = [(r.x, r.t) for r in window.rows[0]]
        self.worst: list[list[Place]] = [[] for _ in window.rows[0]]

    def adapt(self, window: Window) -> None:
        """Draw candidates, keep the worst of them beside the earlier ones, and solve again."""
        for i, (grid, worst) in enumerate(zip(self.grid, self.worst, strict=True)):
            worst.append(self._worst(window, i))
            del worst[:-_KEPT]
            x, t = (np.concatenate([grid[k], *(w[k] for w in worst)]) for k in (0, 1))
            for s in range(window.slab.species):
                window.put(s, i, window.rows[s][i].columns, (x, t))
        window.solve(warm=True)

    def _worst(self, window: Window, i: int) -> Place:
        first = window.rows[0][i].columns
        t = window.clock.at(self.rng.uniform(0, 1, _CANDIDATES))
        maps = (first.depth, *first.carried)
        x = np.concatenate(
            [d.at(self.rng.uniform(0, 1, n.size)) for d, n in zip(maps, np.array_split(t, len(maps)), strict=True)]
        )
        species = range(window.slab.species)
        values = [np.array([window.evaluate(s, i, x, t)[k] for s in species]) for k in range(1 + window.rows[0][i].pools)]
        total = np.zeros(x.size)
        for s in species:
            old = window.rows[s][i]
            fresh = LayerRows(old.sheet, s, old.columns, window.slowest[s], float(window.level[s, i]), x, t)
            left = fresh.residual(window.coefficients[s][i], values, np.zeros((1 + fresh.pools, fresh.x0.size)))
            total += (left[: (2 + fresh.pools) * x.size].reshape(-1, x.size) ** 2).sum(0) / window.level[s, i] ** 2
        at = np.argsort(-total)[:_WORST]
        return x[at], t[at]
