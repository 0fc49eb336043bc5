"""Linearise the joint loss of data and equations, and solve for all weights and parameters at once, window after window.

The rows of a window hold its own weights, the state that it starts from, and the parameters. From the last window to the first,
QR takes the weights out and leaves rows in the state and the parameters; the state is what the window before hands over, so
these become rows of that window. The work grows with the number of windows, not with its cube.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from krogh.inference.networks import Networks, Rerun
from krogh.inference.target import Target
from krogh.pinn.frozen import FrozenWindow, reduced
from krogh.pinn.physics import Slab, slab_of

__all__ = ["JointLoss", "State"]

#: Scaled weights of every window of every experiment.
State = list[list[np.ndarray]]
_STEP, _SETTLE = 1e-4, 2


@dataclass(frozen=True)
class _Case:
    """Hold the equations of one experiment at some parameters: layers and faces, blood and frozen windows."""

    slab: Slab
    blood: list[np.ndarray]
    windows: list[FrozenWindow]

    def start(self, weights: list[np.ndarray], k: int) -> np.ndarray:
        """Return the state at the start of window `k`, as the window before hands it over."""
        at = self.windows[k].at_start
        return np.zeros(self.windows[k].lift.shape[1]) if at is None else at @ (self.windows[k - 1].scale * weights[k - 1])


def _case(part: Rerun, theta: np.ndarray) -> _Case:
    assert part.repeat is not None
    problem = part.problem_of(theta)
    slab = slab_of(problem.barrier)
    return _Case(slab, part.repeat.blood(problem), part.repeat.windows_of(slab))


class _Moved:
    """Hold the equations at other parameters, beside those of a case: its rows, faces and blood, but no factor."""

    def __init__(self, part: Rerun, case: _Case, theta: np.ndarray) -> None:
        assert part.repeat is not None
        problem = part.problem_of(theta)
        self.slab, self.blood = slab_of(problem.barrier), part.repeat.blood(problem)
        self.rows = [w.of(self.slab).rows[0] for w in case.windows]


class JointLoss:
    """Hold what the loss is made of; `share` is weight s^2, what a mean square error of the data counts."""

    def __init__(self, networks: Networks, target: Target, share: float) -> None:
        self.parts, self.target = networks.parts, target
        frozen = [w for part, _ in self.parts if part.repeat for w in part.repeat.windows]
        faces = [len(w.rows_of(w.window.slab, w.window.blood, w.sides)) * w.since.size for w in frozen]
        self.rows = sum(r.base.shape[0] for w in frozen for r in w.window.rows[0]) + sum(faces)
        self.share = share * self.rows / networks.count  # means of both, over those of the equations

    def begin(self, x: np.ndarray) -> State:
        """Return the weights that solve the equations at log-parameters `x` (P,)."""
        out = []
        for part, _ in self.parts:
            assert part.repeat is not None
            again = part.repeat.solve(part.problem_of(np.exp(x)))
            out.append([w / f.scale for w, f in zip(again.weights, again.windows, strict=True)])
        return out

    def value(self, x: np.ndarray, state: State) -> float:
        """Return the loss, times half the number of rows of the equations."""
        return 0.5 * self._squares(x, state) + self.share * float(self.target.weigh(x[None], self.predict(x, state)[None])[0])

    def misfit(self, x: np.ndarray, state: State) -> float:
        """Return the root mean square of the residuals of the equations."""
        return float(np.sqrt(self._squares(x, state) / self.rows))

    def predict(self, x: np.ndarray, state: State) -> np.ndarray:
        """Return the predictions (N,) of the networks as they are."""
        out = np.zeros(len(self.target.data.t_s))
        for (part, rows), mine in zip(self.parts, state, strict=True):
            case = _case(part, np.exp(x))
            found = sum(t @ (f.scale * w) for t, f, w in zip(part.table, case.windows, mine, strict=True))
            out[rows] = found + (part.silent(np.exp(x)) if part.of_blood else 0.0)
        return out

    def settle(self, x: np.ndarray, state: State) -> State:
        """Return the weights of least loss at log-parameters `x` (P,): only what saturates at a face asks for a second step."""
        for _ in range(_SETTLE):
            shift = self.step(x, state, np.inf)[1]
            state = [[w + d for w, d in zip(a, b, strict=True)] for a, b in zip(state, shift, strict=True)]
        return state

    def step(self, x: np.ndarray, state: State, damping: float) -> tuple[np.ndarray, State]:
        """Return the change of the parameters (P,) and of all weights; with infinite damping the parameters stay."""
        off = x - self.target.center
        root = np.sqrt(self.share * np.diag(self.target.precision))  # priors are independent
        below = [np.column_stack([np.diag(root), -root * off])]
        loss = self.target.data.loss(self.predict(x, state))
        done = []
        for (part, rows), mine in zip(self.parts, state, strict=True):
            sight = np.sqrt(self.share * loss.curvature[rows])
            pull = np.where(sight > 0, -self.share * loss.slope[rows] / np.maximum(sight, 1e-300), 0.0)
            linear = _Linear(part, x, mine, sight, pull)
            done.append(linear)
            below.append(linear.left)
        if np.isinf(damping):
            return 0 * x, [linear.back(0 * x) for linear in done]
        a = np.concatenate(below)
        damped = np.sqrt(damping) * np.diag(np.sqrt((a[:, :-1] ** 2).sum(0)))
        move = np.linalg.lstsq(np.concatenate([a[:, :-1], damped]), np.append(a[:, -1], 0 * x), rcond=None)[0]
        return move, [linear.back(move) for linear in done]

    def _squares(self, x: np.ndarray, state: State) -> float:
        total = 0.0
        for (part, _), mine in zip(self.parts, state, strict=True):
            case = _case(part, np.exp(x))
            for k, w in enumerate(case.windows):
                start, weights = case.start(mine, k), mine[k] * w.scale
                faces = w.residual(case.slab, case.blood[k], weights, w.sides_of(weights))
                inside = w.factor @ mine[k] - w.lift @ start
                total += float((inside**2).sum() + ((w.rest @ start) ** 2).sum() + (faces**2).sum())
        return total


class _Linear:
    """Hold the rows of one experiment at parameters and weights, the weights taken out.

    Attributes
    ----------
    left : array (row, P + 1)
        Rows that are left in the parameters, with their right-hand side.
    """

    def __init__(self, part: Rerun, x: np.ndarray, mine: list[np.ndarray], sight: np.ndarray, pull: np.ndarray) -> None:
        import torch

        theta, self.mine, p = np.exp(x), mine, x.size
        shifts = np.exp(_STEP * np.eye(p))
        self.case = _case(part, theta)
        self.moved = [tuple(_Moved(part, self.case, theta * s**sign) for sign in (1, -1)) for s in shifts]
        by_blood = np.zeros((sight.size, p))
        if part.of_blood:
            by_blood = np.array([part.silent(theta * s) - part.silent(theta / s) for s in shifts]).T / (2 * _STEP)
        data = np.column_stack([by_blood * sight[:, None], pull])
        self.kept: list[tuple[np.ndarray, int]] = []
        handed = np.zeros((0, p + 1))
        for k in reversed(range(len(mine))):
            w = self.case.windows[k]
            n, starts = w.scale.size, 0 if k == 0 else w.lift.shape[1]
            table = part.table[k] * w.scale
            seen = np.any(table != 0, axis=1)
            rows = [*self._inside(k, starts), _row(self._faces(k), starts), _row((sight[:, None] * table, data), starts, seen)]
            if k + 1 < len(mine):
                hand = self.case.windows[k + 1].at_start
                assert hand is not None
                own = handed[:, : hand.shape[0]] @ (hand * w.scale)
                rows.append(_row((own, handed[:, hand.shape[0] :]), starts))
            whole = torch.linalg.qr(torch.from_numpy(np.concatenate(rows)), mode="r")[1].numpy()
            self.kept.insert(0, (whole[:n], starts))
            handed = whole[n:, n:]
        unseen = ~np.any([np.any(t != 0, axis=1) for t in part.table], axis=0)
        self.left = np.concatenate([handed, data[unseen]])

    def back(self, move: np.ndarray) -> list[np.ndarray]:
        """Return the change of the weights of every window for a change of the parameters."""
        from scipy.linalg import solve_triangular

        out: list[np.ndarray] = []
        for k, (rows, starts) in enumerate(self.kept):
            n = rows.shape[0]
            right = rows[:, -1] - rows[:, n + starts : -1] @ move
            if starts:
                hand = self.case.windows[k].at_start
                assert hand is not None
                right = right - rows[:, n : n + starts] @ (hand @ (self.case.windows[k - 1].scale * out[-1]))
            out.append(solve_triangular(rows[:, :n], right, check_finite=False))
        return out

    def _faces(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of all faces: by the weights, and by the parameters with the right-hand side."""
        w, weights = self.case.windows[k], self.mine[k] * self.case.windows[k].scale
        sides = w.sides_of(weights)
        a, f = w.matrix(w.rows_of(self.case.slab, self.case.blood[k], sides))
        by = [
            (w.residual(up.slab, up.blood[k], weights, sides) - w.residual(down.slab, down.blood[k], weights, sides))
            / (2 * _STEP)
            for up, down in self.moved
        ]
        return a, np.column_stack([*by, f - a @ self.mine[k]])

    def _inside(self, k: int, starts: int) -> list[np.ndarray]:
        """Return the rows inside the layers: by the weights, by the start, and by the parameters with the right-hand side."""
        w, p = self.case.windows[k], len(self.moved)
        by, rest_by, more = np.zeros((w.scale.size, p)), np.zeros((w.lift.shape[1], p)), []
        at, of = 0, 0
        for i, rows in enumerate(w.window.rows[0]):
            n, s = rows.columns.size, rows.x0.size * (1 + rows.pools)
            weights = self.mine[k][at : at + n] * w.scale[at : at + n]
            pairs = [tuple(c.rows[k][i] for c in pair) for pair in self.moved]
            if any(up is not down for up, down in pairs):
                change = np.array([(up.base - down.base) @ weights for up, down in pairs]).T / (2 * _STEP)
                found = reduced(rows, float(w.window.level[0, i]), w.scale[at : at + n], change)[4]
                by[at : at + n], rest_by[of : of + s] = found[:n], found[n : n + s]
                more.append(found[n + s :])
            at, of = at + n, of + s
        start = self.case.start(self.mine, k)
        right, rest = -(w.factor @ self.mine[k] - w.lift @ start), w.rest @ start
        lift, over = (-w.lift, -w.rest) if starts else (w.lift[:, :0], w.rest[:, :0])
        none = np.zeros((w.rest.shape[0], w.scale.size))
        out = [np.column_stack([w.factor, lift, by, right]), np.column_stack([none, over, rest_by, rest])]
        return [*out, *(_row((np.zeros((m.shape[0], w.scale.size)), np.column_stack([m, 0 * m[:, 0]])), starts) for m in more)]


def _row(parts: Sequence[np.ndarray], starts: int, chosen: np.ndarray | None = None) -> np.ndarray:
    """Return rows that do not see the start, of the weights and of the rest; some of them `chosen`."""
    own, rest = parts if chosen is None else (part[chosen] for part in parts)
    return np.concatenate([own, np.zeros((own.shape[0], starts)), rest], axis=1)
