"""Keep what a window does not owe to its faces: the triangular factor of all rows inside the layers.

The rows of the faces are appended to it for every further problem (:mod:`krogh.pinn.repeat`)::

    [R; F] w = [lift u_start; f_F]

with R the factor, F and f_F the rows of the faces, and `lift` what the state at the start of a window adds. Rows of faces that
ask for 0 and never change are in the factor too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from krogh.pinn.faces import FaceRow, Sides, face_rows
from krogh.pinn.physics import Slab
from krogh.pinn.rows import START
from krogh.pinn.window import Window, place_face

__all__ = ["FrozenWindow", "append"]

_NEWTON, _SETTLED = 40, 3e-5
_RIDGE = 1e-13


class FrozenWindow:
    """Keep what does not depend on the faces: the factor of all rows inside the layers.

    Attributes
    ----------
    factor : array (n, n)
        Upper triangular; for scaled weights.
    lift : array (n, K)
        What a state at the start (K,) adds to the right-hand side; `rest` (K, K) is what no weights can take up of it.
    scale : array (n,)
        Weights over scaled weights.
    """

    def __init__(self, window: Window) -> None:
        self.window = window
        rows = window.rows[0]
        parts = [
            _reduced(r.base, r.x0.size * (1 + r.pools), float(level)) for r, level in zip(rows, window.level[0], strict=True)
        ]
        self.ends = np.cumsum([0, *[r.columns.size for r in rows]])
        starts = np.cumsum([0, *[r.x0.size * (1 + r.pools) for r in rows]])
        n, k = int(self.ends[-1]), int(starts[-1])
        self.factor, self.lift, self.rest = np.zeros((n, n)), np.zeros((n, k)), np.zeros((k, k))
        for i, (top, lift, rest, _) in enumerate(parts):
            at, of = slice(self.ends[i], self.ends[i + 1]), slice(starts[i], starts[i + 1])
            self.factor[at, at], self.lift[at, of], self.rest[of, of] = top, lift, rest
        self.scale = np.concatenate([p[3] for p in parts])
        self.since = window.t + window.clock.offset_s
        self.sides = window.sides()
        self.at_start: np.ndarray | None = None  # (K, n of the window before)
        self.folded: dict[int, FaceRow] = {}
        self.core, self.core_lift = self.factor, self.lift
        self._fold(self.rows_of(window.slab, window.blood, self.sides))

    def rows_of(self, slab: Slab, blood: np.ndarray, sides: Sides) -> list[FaceRow]:
        """Return the rows of all faces; they are weighted as those of the first problem were."""
        w = self.window
        return face_rows(slab, 0, blood, sides, self.since, w.level[0], w.permeability[0])

    def _fold(self, rows: Sequence[FaceRow], keep: Callable[[int], bool] = lambda k: True) -> None:
        """Put the rows that ask for 0 into the factor, as far as they `keep` still."""
        self.folded = {k: r for k, r in enumerate(rows) if keep(k) and not np.any(r.target)}
        if not self.folded:
            self.core, self.core_lift = self.factor, self.lift
            return
        below = self.matrix(list(self.folded.values()))[0]
        whole = append(self.factor, self.lift, below, np.zeros((below.shape[0], self.lift.shape[1])))
        self.core, self.core_lift = whole

    def matrix(self, rows: Sequence[FaceRow]) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of some faces as a matrix for scaled weights, and their right-hand side."""
        count = self.since.size
        a = np.zeros((len(rows) * count, self.scale.size))
        for k, row in enumerate(rows):
            place_face(a[k * count : (k + 1) * count], row, self.ends, self.window.traces[0])
        return a * self.scale, np.concatenate([r.target for r in rows])

    def open_rows(self, rows: Sequence[FaceRow]) -> list[FaceRow]:
        """Return the rows that are not in the factor; one that is there and has changed is taken out for good."""
        changed = {k for k, old in self.folded.items() if not _same(old, rows[k])}
        if changed:
            left = set(self.folded) - changed
            self._fold([self.folded.get(k, row) for k, row in enumerate(rows)], lambda k: k in left)
        return [r for k, r in enumerate(rows) if k not in self.folded]

    def sides_of(self, weights: np.ndarray) -> Sides:
        """Return u and q at the faces for the weights (n,)."""
        out = np.zeros((4, len(self.ends) - 1, 1, self.since.size))
        for i, (near, far) in enumerate(self.window.traces[0]):
            part = weights[self.ends[i] : self.ends[i + 1]]
            for k, trace in enumerate((*near, *far)):
                out[k, i, 0] = trace @ part
        return Sides(*out)

    def solve(self, slab: Slab, blood: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Return the weights (n,) by Newton's method from the faces of the last solution."""
        weights, level, previous = np.zeros(self.scale.size), float(np.max(self.window.level)), np.inf
        linear = all(f.linear for f in slab.faces)
        for _ in range(_NEWTON):
            a, f = self.matrix(self.open_rows(self.rows_of(slab, blood, self.sides)))
            weights = self._weights(a, f[:, None], start[:, None])[:, 0]
            after = self.sides_of(weights)
            change = max(float(np.abs(getattr(after, k) - getattr(self.sides, k)).max()) for k in ("u_near", "u_far")) / level
            self.sides = after
            if linear or change < _SETTLED or (change < 1e-6 and change > 0.3 * previous):
                break
            previous = change
        return weights

    def _weights(self, a: np.ndarray, f: np.ndarray, start: np.ndarray) -> np.ndarray:
        from scipy.linalg import solve_triangular

        r, right = append(self.core, self.core_lift @ start, a, f)
        return np.asarray(solve_triangular(r, right, check_finite=False)) * self.scale[:, None]

    def slopes(self, slab: Slab, blood: np.ndarray, rates: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Return the derivatives of the weights (n, P) from those of the faces' residuals (row, P) and of the start (K, P)."""
        rows = self.rows_of(slab, blood, self.sides)
        keep = [r for k, r in enumerate(rows) if k not in self.folded]
        count = self.since.size
        chosen = np.concatenate([np.arange(k * count, (k + 1) * count) for k in range(len(rows)) if k not in self.folded])
        return self._weights(self.matrix(keep)[0], -rates[chosen], start)

    def residual(self, slab: Slab, blood: np.ndarray, weights: np.ndarray, sides: Sides) -> np.ndarray:
        """Return the residual of every row of every face at the weights (n,)."""
        a, f = self.matrix(self.rows_of(slab, blood, sides))
        return np.asarray(a @ (weights / self.scale) - f)


def _reduced(base: np.ndarray, starts: int, level: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return factor, lift and rest of one layer over its `level`, and the scale of its columns."""
    import torch

    n = base.shape[1]
    scale = 1.0 / np.sqrt((base * base).mean(0) + 1e-300)
    tall = np.zeros((base.shape[0] + n, n + starts))
    tall[: base.shape[0], :n] = base * scale
    np.fill_diagonal(tall[base.shape[0] :, :n], _RIDGE)
    np.fill_diagonal(tall[base.shape[0] - starts : base.shape[0], n:], START)  # the last rows of a layer are those of its start
    whole = torch.linalg.qr(torch.from_numpy(tall), mode="r")[1].numpy()
    return whole[:n, :n] / level, whole[:n, n:] / level, whole[n : n + starts, n:] / level, scale


def append(r: np.ndarray, right: np.ndarray, a: np.ndarray, f: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the triangular factor of [r; a] and the reduced right-hand sides of [right; f]; `r` is triangular already."""
    from scipy.linalg.lapack import dtpqrt

    n, p = right.shape
    top = np.zeros((n + p, n + p), order="F")
    top[:n, :n], top[:n, n:] = r, right
    whole = dtpqrt(0, min(32, n + p), top, np.asfortranarray(np.hstack([a, f])), overwrite_a=1, overwrite_b=1)[0]
    return np.triu(whole[:n, :n]), whole[:n, n:]


def _same(a: FaceRow, b: FaceRow) -> bool:
    pairs = [(getattr(a, k), getattr(b, k)) for k in ("far_u", "far_q", "near_u", "near_q", "target")]
    return all((x is None and y is None) or (x is not None and y is not None and np.array_equal(x, y)) for x, y in pairs)
