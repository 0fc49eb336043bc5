"""Solve one time window of a block: one least-squares problem per group of modes, joined by walls that differ along the barrier.

Each group is factored once. What joins the modes, maps and saturation at the walls, is found by Newton's method (see
:mod:`krogh.pinn.block.newton`); what differs inside (laws that saturate more here than there, rates within a group) is iterated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from krogh.pinn.basis import Clock, chebyshev
from krogh.pinn.block.group import Group, Setting, alike
from krogh.pinn.block.inside import Inside
from krogh.pinn.block.lateral import Lateral
from krogh.pinn.block.newton import settle
from krogh.pinn.block.walls import Crossing, Evaluation, Means, Walls
from krogh.pinn.draw import Size
from krogh.pinn.physics import Slab

__all__ = ["BlockWindow", "StartModes"]

#: u and every v of (species, layer) at depths, all modes: (1 + cells, depth, mode).
StartModes = Callable[[int, int, np.ndarray], np.ndarray]

_ROUNDS = 40
_STALE = 0.03
_SETTLED = 1e-7
_WALLS = 1e-9
#: What round-off leaves of the flux that a law carries each way.
_ROUND_OFF = 1e-13


@dataclass
class BlockWindow:
    """Hold the trained networks of one window.

    Attributes
    ----------
    slab, walls, lateral, clock, size
        What is solved, in which modes, when, and with how many features.
    level : array (S, layer)
        Size of the concentrations, by which rows are divided.
    permeability : array (port + 1, S)
        What each port lets through, and the smallest of them at the end [m/s].
    supply : array (S,)
        How fast fresh blood replaces that of the first layer, times its capacity [1/s].
    blood_at : callable
        Times since the event -> free concentration in blood (S, time).
    probe : Generator or None
        Random points to be checked on, in place of those of the training.
    """

    slab: Slab
    walls: Walls
    lateral: Lateral
    clock: Clock
    size: Size
    level: np.ndarray
    permeability: np.ndarray
    supply: np.ndarray
    seed: tuple[int, ...]
    blood_at: Callable[[np.ndarray], np.ndarray]
    start: StartModes
    probe: np.random.Generator | None = None
    newton: int = 0
    hidden: int = 0
    converged: bool = True
    groups: list[list[Group]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Draw the features and state the rows of every group."""
        times = self.size.face_times
        share = chebyshev(times) if self.probe is None else np.sort(self.probe.uniform(0, 1, times))
        self.t = self.clock.at(share)
        setting = Setting(
            self.slab,
            self.walls,
            self.clock,
            self.size,
            self.permeability,
            self.supply,
            self.level,
            self.seed,
            self.t,
            self.probe,
        )
        rates = self.lateral.rate
        members = alike(rates, self.slab, self.clock.b_s)
        self.groups = [[Group(setting, s, m, rates) for m in members] for s in range(self.slab.species)]
        self.blood = self.blood_at(self.t)
        self.evaluation = Evaluation(self.lateral)
        self.inside = Inside(self)

    # -- the state -----------------------------------------------------------------------------------------------------------

    def gather(self, part: Callable[[Group], np.ndarray]) -> np.ndarray:
        """Return what `part` gives for every group and species, (S, ..., mode)."""
        out = []
        for of in self.groups:
            found = [part(g) for g in of]
            whole = np.zeros((*found[0].shape[:-1], self.lateral.count))
            for g, x in zip(of, found, strict=True):
                whole[..., g.members] = x
            out.append(whole)
        return np.array(out)

    def ports(self) -> np.ndarray:
        """Return u at the ports in modes, (port, S, time, mode)."""
        return np.moveaxis(self.gather(lambda g: g.ports()), 0, 1)

    def evaluate(self, s: int, i: int, x: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Return u and every v of all modes (1 + cells, point, mode) in layer `i` at depths and times since the event."""
        found = [g.evaluate(i, x, t) for g in self.groups[s]]
        out = np.zeros((*found[0].shape[:-1], self.lateral.count))
        for g, values in zip(self.groups[s], found, strict=True):
            out[..., g.members] = values
        return out

    @property
    def coefficients(self) -> list[list[list[np.ndarray]]]:
        """Return the output weights, (column, mode) by species, group and layer."""
        return [[g.coefficients for g in of] for of in self.groups]

    @coefficients.setter
    def coefficients(self, found: list[list[list[np.ndarray]]]) -> None:
        for of, theirs in zip(self.groups, found, strict=True):
            for g, own in zip(of, theirs, strict=True):
                g.coefficients = own

    def take(self, groups: list[list[Group]]) -> BlockWindow:
        """Use the coefficients of another window with the same features."""
        for mine, theirs in zip(self.groups, groups, strict=True):
            for a, b in zip(mine, theirs, strict=True):
                a.coefficients = b.coefficients
        return self

    def release(self) -> None:
        """Keep what evaluates the networks, and drop what trained them."""
        for of in self.groups:
            for g in of:
                g.release()
        for name in ("inside", "begin"):
            self.__dict__.pop(name, None)

    def ports_at(self, t: np.ndarray) -> np.ndarray:
        """Return u at the ports in modes at the times `t` since the event, (port, S, time, mode)."""
        thick = [x.thickness for x in self.slab.sheets]
        out = np.zeros((len(self.walls.ports), self.slab.species, t.size, self.lateral.count))
        for n, p in enumerate(self.walls.ports):
            for s in range(self.slab.species):
                out[n, s] = self.evaluate(s, p.layer, np.full_like(t, thick[p.layer] if p.far else 0.0), t)[0]
        return out

    def crossing(self, modes: np.ndarray) -> Crossing:
        """Return all laws at the points along the walls, for u at the ports in modes at the window's own times."""
        return self.walls.evaluate(self.evaluation, self.evaluation.points.spread(modes), self.blood)

    def rests(self, modes: np.ndarray, crossing: Crossing, means: Means) -> np.ndarray:
        """Return what the laws carry beside their mean slopes, in modes (law, S, time, mode)."""
        out = self.evaluation.points.project(crossing.flux)
        none = np.zeros_like(self.blood)  # blood is no unknown: all it drives is rest
        tails, heads = self.walls.ends(modes, none)
        return np.asarray(out - means.tail[..., None] * tails - means.head[..., None] * heads)

    # -- least squares -------------------------------------------------------------------------------------------------------

    def solve(self) -> BlockWindow:
        """Iterate until walls, laws and modes agree."""
        self._guess()
        means: Means | None = None
        rest = np.zeros((len(self.walls.laws), self.slab.species, self.t.size, self.lateral.count))
        top = np.array([[self.level[s, p.layer] for s in range(self.slab.species)] for p in self.walls.ports])
        before, previous = self._now(), np.inf
        for iteration in range(_ROUNDS):
            modes = before if iteration == 0 else self.ports()
            crossing = self.crossing(modes)
            fresh = self.walls.means(crossing, self.evaluation.points)
            self.inside.refresh()
            if means is None or fresh.apart(means) > _STALE or self.inside.stale(_STALE):
                means = fresh
                self._factor(means)
            rest, good = self._walls(rest, means)
            after = self.ports()
            change = float((np.abs(after - before).max((2, 3)) / top).max(initial=0.0))
            change = max(change, self.inside.change())
            self.newton, before = iteration + 1, after
            if not (np.all(np.isfinite(after)) and good):
                break
            if change < _SETTLED or (change < 1e-6 and change > 0.5 * previous):
                return self
            previous = change
        self.converged = False
        return self

    def _guess(self) -> None:
        self.begin = [
            [[self.start(s, i, r.x0)[..., g.members] for i, r in enumerate(g.rows)] for g in of]
            for s, of in enumerate(self.groups)
        ]

    def _now(self) -> np.ndarray:
        """Return the ports held at the start of the window (port, S, time, mode): the first linearisation."""
        n_s = self.slab.species
        out = np.zeros((len(self.walls.ports), n_s, self.t.size, self.lateral.count))
        for n, p in enumerate(self.walls.ports):
            x = np.array([self.slab.sheets[p.layer].thickness if p.far else 0.0])
            for s in range(n_s):
                out[n, s] = self.start(s, p.layer, x)[0]
        return out

    def _factor(self, means: Means) -> None:
        for s, of in enumerate(self.groups):
            for n, g in enumerate(of):
                g.factor(means, [self.inside.slopes((s, n, i)) for i in range(len(self.slab.sheets))])
        self.inside.hold()

    def _walls(self, rest: np.ndarray, means: Means) -> tuple[np.ndarray, bool]:
        """Solve all modes for the laws at the walls, all else held; return the rests and whether Newton's method ended."""
        held = np.zeros((len(self.walls.ports), *rest.shape[1:]))
        asked: list[list[np.ndarray]] = []
        for s, of in enumerate(self.groups):
            asked.append([])
            for n, g in enumerate(of):
                layers = [self.inside.right((s, n, i), begin) for i, begin in enumerate(self.begin[s][n])]
                asked[s].append(g.reduced(layers))
                g.coefficients = g.solve(asked[s][n], self._targets(s, n, rest))
                held[:, s][..., g.members] = g.ports()
        both = zip(self.walls.ends(held, np.zeros_like(self.blood)), (means.tail, means.head), strict=True)
        carried = max(float(np.abs(slope[..., None] * u).max(initial=0.0)) for u, slope in both)
        # by the change of the rests only: their own small share of round-off goes with it
        found, _, good = settle(
            rest, lambda r: self._misfit(r, held + self.respond(r - rest), means), tolerance=_WALLS, least=_ROUND_OFF * carried
        )
        for s, of in enumerate(self.groups):
            for n, g in enumerate(of):
                g.coefficients = g.solve(asked[s][n], self._targets(s, n, found))
        return found, good

    def _targets(self, s: int, n: int, rest: np.ndarray) -> np.ndarray:
        """Return the right-hand sides of the faces of one group for the rests."""
        g = self.groups[s][n]
        return g.grid.targets(rest[:, s][..., g.members], self.blood[s] if n == 0 else None)

    def respond(self, rest: np.ndarray) -> np.ndarray:
        """Return by how much rests (law, S, time, mode) move the ports (port, S, time, mode)."""
        out = np.zeros((len(self.walls.ports), *rest.shape[1:]))
        for s, of in enumerate(self.groups):
            for g in of:
                own = rest[:, s][..., g.members]
                moved = g.response @ own.reshape(-1, g.members.size)
                out[:, s][..., g.members] = moved.reshape(-1, self.t.size, g.members.size)
        return out

    def _misfit(self, rest: np.ndarray, modes: np.ndarray, means: Means) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
        """Return what the laws leave of the rests for u at the ports in modes, and its negative derivative as a product."""
        at = self.crossing(modes)
        points = self.evaluation.points
        own = np.arange(self.slab.species)
        by_tail, by_head = at.by_tail.copy(), at.by_head.copy()
        by_tail[:, own, own] -= means.tail[..., None, None]
        by_head[:, own, own] -= means.head[..., None, None]
        none = np.zeros_like(self.blood)

        def apply(change: np.ndarray) -> np.ndarray:
            tails, heads = self.walls.ends(points.spread(self.respond(change)), none)
            moved = np.einsum("kijtyz,kjtyz->kityz", by_tail, tails) + np.einsum("kijtyz,kjtyz->kityz", by_head, heads)
            return np.asarray(change - points.project(moved))

        return self.rests(modes, at, means) - rest, apply
