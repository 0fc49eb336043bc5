"""Let many points walk down at once: Levenberg-Marquardt with Fisher information, within bounds, some coordinates held.

Each point has its own damping; all that walk are evaluated in one batch, which costs hardly more than one of them. Where one has
arrived another may start in its place while the rest walk on, so that nobody waits for the slowest.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from krogh.inference.target import Point, Target

__all__ = ["REACH_PRECISION", "Walkers"]

_RIDGE = 1e-6
#: Added to the information where a decrease is predicted: nothing lies further than some seven log-units, the reach of a search.
REACH_PRECISION = 1 / 7**2
_LONGEST = 1.5
_HOPELESS = 1e10
#: Adaptive time steps change between evaluations and with them the objective, by about this much; a step that costs less is
#: taken.
_SLACK = 1e-5
_NOISE = 1e-2
_PATIENCE = 3
#: Share of the predicted decrease below which a step is taken for too long.
_POOR = 0.25
#: Share of its distance above the level that decides to which a deviance is found, from this distance on.
_COARSE, _NEAR = 0.1, 1.0


class Walkers:
    """Walk down from several points; each walks in a place of its own.

    Parameters
    ----------
    target : Target
        What is minimised.
    count : int
        Places C.
    tol : float
        A walker has arrived when the predicted decrease of twice the objective, the squared distance to the minimum in standard
        deviations, is below this.
    most : int
        Most evaluations of one walker.
    level : float, optional
        Objective that decides: far above it a walker also arrives where the predicted decrease is small beside that distance.
    rows : int array (C,), optional
        Row of the data of each place.

    Attributes
    ----------
    at : Point
        Where each walker is.
    walking, converged : bool arrays (C,)
        Which are on their way; which of the others arrived at a minimum.
    decrease : array (C,)
        By how much twice the objective can still fall there.
    used : int array (C,)
        Evaluations of each.
    """

    def __init__(
        self, target: Target, count: int, *, tol: float, most: int, level: float | None = None, rows: np.ndarray | None = None
    ) -> None:
        p, n = target.size, len(target.data.t_s)
        self.target, self.tol, self.most, self.level, self.rows = target, tol, most, level, rows
        shapes = ((p,), (), (p,), (p, p), (n,), (n, p))  # those of the fields of Point
        self.at = Point(*(np.zeros((count, *shape)) for shape in shapes))
        self.walking, self.converged = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
        self.decrease, self.used, self._idle = np.zeros(count), np.zeros(count, dtype=int), np.zeros(count, dtype=int)
        self._shortened = np.zeros(count, dtype=bool)
        self._fixed, self._damping, self._move = np.zeros((count, p), dtype=bool), np.zeros(count), np.zeros((count, p))
        self._starts: dict[int, np.ndarray] = {}

    def send(self, place: int, starts: np.ndarray, held: np.ndarray | None = None) -> None:
        """Let a walker start at the lowest of the points `starts` (S, P), most likely the first; coordinates `held` (P,) stay."""
        self._starts[place] = np.clip(starts, self.target.low, self.target.high)
        self._fixed[place] = False if held is None else held
        self.walking[place], self.converged[place] = True, False
        self._damping[place], self.used[place], self._idle[place], self._shortened[place] = 1e-3, 0, 0, False

    def step(self) -> np.ndarray:
        """Evaluate every walker once; return the places (K,) where one has arrived, or can walk no further."""
        starts, self._starts = self._starts, {}
        fresh = np.array(list(starts), dtype=int)
        going = np.array([i for i in np.flatnonzero(self.walking) if i not in starts], dtype=int)
        there = np.clip(self.at.x[going] + self._move[going], self.target.low, self.target.high)
        place, x = np.concatenate([fresh, going]), np.concatenate([*(s[:1] for s in starts.values()), there])
        trial, height = self.target.look_and_glance(
            x, np.concatenate([*(s[1:] for s in starts.values()), x[:0]]), None if self.rows is None else self.rows[place]
        )
        self.used[place] += 1
        self._take(fresh, trial.take(range(fresh.size)))
        self._judge(going, there, trial.take(range(fresh.size, place.size)))
        for i, points in starts.items():  # a rival that is lower is looked at next
            rivals, height = np.split(height, [len(points) - 1])
            if rivals.size and np.nanmin(np.append(rivals, np.inf)) < np.nan_to_num(self.at.value[i], nan=np.inf):
                self._starts[i] = points[1:][[np.nanargmin(rivals)]]
        self._plan(place)
        done = self.converged[place] | (self._damping[place] > _HOPELESS) | (self.used[place] >= self.most)
        done |= ~np.isfinite(self.at.value[place])  # nothing leads away from there
        done &= [i not in self._starts for i in place]
        self.walking[place[done]] = False
        return place[done]

    def _judge(self, going: np.ndarray, there: np.ndarray, trial: Point) -> None:
        """Take the steps that lead down; shorten the next one of the others."""
        better = np.isfinite(trial.value) & (trial.value < self.at.value[going] + _SLACK)
        gain = np.where(better, self.at.value[going] - trial.value, 0.0)
        self._idle[going] = np.where(gain < _NOISE / 10, self._idle[going] + 1, 0)
        good = better & ~self._overshot(going, there, gain)
        damping, again = self._damping[going], self._shortened[going]
        shorter, longer = np.maximum(damping * 8, 1e-6), np.maximum(damping / 8, 1e-9)
        self._damping[going] = np.where(good, np.where(again, damping, longer), shorter)
        self._shortened[going] = ~good  # what was too long a step ago is too long now
        self._take(going[better], trial.take(np.flatnonzero(better)))

    def _plan(self, now: np.ndarray) -> None:
        """Find the next step of the walkers `now`, and which have arrived."""
        at = self.at.take(now)
        stuck = ((at.x <= self.target.low) & (at.gradient > 0)) | ((at.x >= self.target.high) & (at.gradient < 0))
        free = ~(self._fixed[now] | stuck)
        g = np.where(free, at.gradient, 0.0)
        h = at.information * (free[:, :, None] & free[:, None, :])
        diagonal = np.einsum("cpp->cp", h)
        eye = np.eye(self.target.size)
        base = h + eye * (_RIDGE + ~free)[:, None, :]
        decrease = np.einsum("cp,cp->c", g, np.linalg.solve(base + REACH_PRECISION * eye, g[..., None])[..., 0])
        damped = base + eye * (self._damping[now][:, None] * diagonal)[:, None, :]
        move = -np.linalg.solve(damped, g[..., None])[..., 0]
        longest = np.abs(move).max(1, keepdims=True)
        self._move[now], self.decrease[now] = move * np.minimum(1.0, _LONGEST / np.maximum(longest, 1e-300)), decrease
        far = 0.0 if self.level is None else 2 * (at.value - self.level) - decrease - _NEAR
        enough = self.tol + _COARSE * np.maximum(far, 0.0)
        # along a direction that the data do not hold there is no end: stop where nothing is gained any more
        idle = (self._damping[now] > _HOPELESS) | (self._idle[now] >= _PATIENCE)
        self.converged[now] = (decrease <= enough) | (idle & (decrease <= _NOISE))

    def _overshot(self, going: np.ndarray, there: np.ndarray, gain: np.ndarray) -> np.ndarray:
        """Return which steps gained far less than predicted: where the information is too flat, full steps swing to and fro."""
        move = there - self.at.x[going]
        bend = 0.5 * np.einsum("cp,cpq,cq->c", move, self.at.information[going], move)
        promised = -np.einsum("cp,cp->c", self.at.gradient[going], move) - bend
        return np.asarray((promised > _NOISE) & (gain < _POOR * promised))

    def _take(self, places: np.ndarray, points: Point) -> None:
        for field in fields(Point):
            getattr(self.at, field.name)[places] = getattr(points, field.name)
