"""Solve least squares whose unknowns form a chain: every layer meets only its neighbours, at the faces.

Layer after layer is eliminated by QR; what its faces say of the next layer is carried on. For n layers the cost grows as n, where
one QR of everything grows as the cube.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Link", "solve_chain"]


@dataclass(frozen=True)
class Link:
    """Hold rows of a face: columns of the layer before (None: none) and of the layer behind it (None), and their sum."""

    before: np.ndarray | None
    behind: np.ndarray | None
    target: np.ndarray


def solve_chain(
    layers: list[tuple[np.ndarray, np.ndarray]], links: list[list[Link]], triangle: Callable[[np.ndarray], np.ndarray]
) -> list[np.ndarray]:
    """Return the least-squares solution of each layer.

    Parameters
    ----------
    layers : list of (array (row, column), array (row,))
        Rows of each layer alone.
    links : list of lists of Link
        Rows of the face before each layer, and of the face behind the last.
    triangle : callable
        Returns R of the QR of rows.
    """
    sizes = [a.shape[1] for a, _ in layers]
    kept: list[np.ndarray] = []
    carried = [Link(link.behind, None, link.target) for link in links[0]]
    for i, (a, f) in enumerate(layers):
        following = sizes[i + 1] if i + 1 < len(layers) else 0
        wide = _stacked([Link(a, None, f), *carried, *links[i + 1]], sizes[i], following)
        whole = triangle(wide)
        kept.append(whole[: sizes[i]])
        rest = whole[sizes[i] :, sizes[i] :]
        carried = [Link(rest[:, :-1], None, rest[:, -1])]
    return _back(kept, sizes)


def _stacked(links: list[Link], size: int, following: int) -> np.ndarray:
    """Return all rows of two neighbours, their sums as the last column."""
    out = np.zeros((sum(link.target.size for link in links), size + following + 1))
    at = 0
    for link in links:
        rows = out[at : at + link.target.size]
        if link.before is not None:
            rows[:, :size] = link.before
        if link.behind is not None:
            rows[:, size:-1] = link.behind
        rows[:, -1] = link.target
        at += link.target.size
    return out


def _back(kept: list[np.ndarray], sizes: list[int]) -> list[np.ndarray]:
    """Return the solution from the last layer to the first."""
    from scipy.linalg import solve_triangular

    out: list[np.ndarray] = []
    for size, rows in zip(reversed(sizes), reversed(kept), strict=True):
        right = rows[:, -1] - (rows[:, size:-1] @ out[-1] if out else 0.0)
        out.append(solve_triangular(rows[:, :size], right, check_finite=False))
    return out[::-1]
