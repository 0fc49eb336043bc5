"""Factor the least squares of every mode once, and solve them for many right-hand sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from krogh.pinn.faces import FaceRow
from krogh.pinn.rows import LayerRows
from krogh.pinn.window import Trace, place_face

__all__ = ["Factor"]

_RIDGE = 1e-13


#: Q of each layer, the scales of its columns, and Q and R of the whole.
Part = tuple[list[np.ndarray], list[np.ndarray], np.ndarray, np.ndarray]


class Factor:
    """Hold QR of all layers and of the whole, per mode, for one linearisation of the faces and of the laws.

    Parameters
    ----------
    alike : the mode whose rows stand for each
    modes : rows of each mode and layer
    traces : columns at both sides of each mode and layer
    faces : rows of the faces
    slopes : of the laws in each layer
    level : array (layer,)
        By which rows are divided [mol/m3].
    """

    def __init__(
        self,
        alike: Sequence[int],
        modes: Sequence[Sequence[LayerRows]],
        traces: Sequence[list[tuple[Trace, Trace]]],
        faces: list[FaceRow],
        slopes: list[list[np.ndarray]],
        level: np.ndarray,
    ) -> None:
        self.faces, self.slopes, self.level = faces, slopes, level
        made = {g: self._mode(modes[g], traces[g]) for g in sorted(set(alike))}
        self.parts = [made[g] for g in alike]

    def _mode(self, rows: Sequence[LayerRows], traces: list[tuple[Trace, Trace]]) -> Part:
        """Return Q of each layer, the scales of its columns, and Q and R of the whole."""
        import torch

        qs, tops, scales = [], [], []
        for i, r in enumerate(rows):
            b = r.linear(self.slopes[i]) if self.slopes[i] else r.base
            scale = 1.0 / np.sqrt((b * b).mean(0) + 1e-300)
            tall = np.concatenate([b * scale, _RIDGE * np.eye(scale.size)])
            q, top = (x.numpy() for x in torch.linalg.qr(torch.from_numpy(tall)))
            qs.append(q[: b.shape[0]])
            tops.append(top)
            scales.append(scale)
        ends = np.cumsum([0, *[x.size for x in scales]])
        times = traces[0][0][0].shape[0]
        a = np.zeros((int(ends[-1]) + len(self.faces) * times, int(ends[-1])))
        for i, top in enumerate(tops):
            a[ends[i] : ends[i + 1], ends[i] : ends[i + 1]] = top / self.level[i]
        for n, face in enumerate(self.faces):
            at = slice(int(ends[-1]) + n * times, int(ends[-1]) + (n + 1) * times)
            place_face(a[at], face, ends, traces)
            a[at] *= np.concatenate(scales)
        q, r_all = (x.numpy() for x in torch.linalg.qr(torch.from_numpy(a)))
        return qs, scales, q, r_all

    def stale(self, faces: list[FaceRow], slopes: list[list[np.ndarray]], limit: float) -> bool:
        """Tell whether a new linearisation differs by more than `limit` of its size."""
        pairs = [(a, b) for x, y in zip(slopes, self.slopes, strict=True) for a, b in zip(x, y, strict=True)]
        for new, old in zip(faces, self.faces, strict=True):
            pairs += [
                (getattr(new, p), getattr(old, p)) for p in ("far_u", "near_u") if getattr(new, p) is not None
            ]  # fmt: skip
        return any(float(np.abs(a - b).max()) > limit * float(np.abs(b).max()) + 1e-300 for a, b in pairs)

    def solve(self, mode: int, layers: Sequence[np.ndarray], targets: np.ndarray) -> list[np.ndarray]:
        """Return the coefficients of each layer for right-hand sides of the layers and of the faces (row, time)."""
        from scipy.linalg import solve_triangular

        qs, scales, q, r_all = self.parts[mode]
        right = [x.T @ f / top for x, f, top in zip(qs, layers, self.level, strict=True)]
        found = solve_triangular(r_all, q.T @ np.concatenate([*right, targets.ravel()]), check_finite=False)
        ends = np.cumsum([0, *[x.size for x in scales]])
        return [found[ends[i] : ends[i + 1]] * scale for i, scale in enumerate(scales)]
