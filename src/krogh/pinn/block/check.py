"""Say how far a trained window of a block is from its equations, on points that it never saw, and what more cosines would add."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from krogh.pinn.block.group import Group, lateral_conductance
from krogh.pinn.block.walls import Evaluation
from krogh.pinn.block.window import BlockWindow
from krogh.pinn.certificate import ADD_UP, FRONT, THINNEST
from krogh.pinn.rows import START

__all__ = ["BlockCertificate", "block_certificate"]


@dataclass(frozen=True)
class BlockCertificate:
    """Hold the certificate, and the parts of it that cosines along y and z are answerable for."""

    total: float
    tails: tuple[float, float]


def block_certificate(window: BlockWindow, *, seed: int = 99) -> BlockCertificate:
    """Return the root mean square of all residuals over the level, as in a slab, all modes added up; the worst species.

    What the modes leave out is taken from twice as many cosines in each direction: by the flux that the laws send into them,
    over what evens it out along the barrier, lets it through and stores it.
    """
    # at the concentrations that were found, not at low ones
    held = window.walls.permeability(window.walls.means(window.crossing(window.ports()), window.evaluation.points))
    probe = replace(window, permeability=held, probe=np.random.default_rng(seed), groups=[]).take(window.groups)
    probe.inside.refresh()
    flux = probe.evaluation.points.project(probe.crossing(probe.ports()).flux)
    rest = [_species(probe, s, flux[:, s]) for s in range(window.slab.species)]
    tails = _tails(probe)
    total = max(math.sqrt(ADD_UP**2 * (r + float(t.sum()))) for r, t in zip(rest, tails, strict=True))
    worst = ADD_UP * np.sqrt(tails.max(0, initial=0.0))
    return BlockCertificate(total, (float(worst[0]), float(worst[1])))


def _species(probe: BlockWindow, s: int, flux: np.ndarray) -> float:
    inside = [_layer(probe, s, i) for i in range(len(probe.slab.sheets))]
    return max(inside) + sum(_faces(probe, s, n, g, flux[..., g.members]) for n, g in enumerate(probe.groups[s]))


def _layer(probe: BlockWindow, s: int, i: int) -> float:
    """Return the mean square residual inside one layer and at its start, all modes together, relative to the level."""
    total = 0.0
    for n, g in enumerate(probe.groups[s]):
        r = g.rows[i]
        left = probe.inside.residual((s, n, i), probe.start(s, i, r.x0)[..., g.members])
        cut = (2 + r.pools) * r.n
        total += float((left[:cut].reshape(-1, r.n, g.members.size) ** 2).mean(1).sum())
        total += float((left[cut:].reshape(-1, r.x0.size, g.members.size) ** 2).mean(1).sum()) / START**2
    r = probe.groups[s][0].rows[i]
    wide = 1.0 / r.columns.depth.xi(r.x)[1]
    mean_square = float(((probe.evaluate(s, i, r.x, r.t)[0] ** 2).sum(-1) * wide).sum() / wide.sum())
    level = float(probe.level[s, i])
    level = min(level, max(math.sqrt(mean_square), THINNEST * level))
    if r.columns.depth.front_m is not None:
        level /= FRONT
    return total / level**2


def _faces(probe: BlockWindow, s: int, n: int, g: Group, flux: np.ndarray) -> float:
    """Return the sum over the faces of the mean square residual of one group, over the level; `flux` is that of the laws."""
    walls, count, level = probe.walls, len(probe.slab.sheets), probe.level[s]
    u, q = g.faces(0), g.faces(1)
    blood = np.zeros((probe.t.size, g.members.size))
    if n == 0:
        blood[:, 0] = probe.blood[s]
    total = 0.0
    for i in range(count):
        for far in (False, True):
            port, h = walls.port(i, far=far), g.worth(i, far=far)[:, None]
            mine = q[i, int(far)]
            if port is not None:
                left = h * (mine - walls.ports[port].sign * np.tensordot(walls.sides[port], flux, 1))
            elif (i, far) == (0, False) and walls.open:
                left = START / level[0] * (u[0, 0] - blood)
            elif (i, far) in ((0, False), (count - 1, True)):
                left = h * mine
            elif far:
                left = START / min(level[i], level[i + 1]) * (u[i, 1] - u[i + 1, 0])
            else:
                left = h * (mine - q[i - 1, 1])
            total += float((left**2).sum(1).mean()) / START**2
    return total


def _tails(probe: BlockWindow) -> np.ndarray:
    """Return the mean square, over the level, of what cosines beyond those along y and along z would add: (S, 2)."""
    small, walls = probe.lateral, probe.walls
    wide = small.widened()
    out = np.zeros((probe.slab.species, 2))
    if wide == small:
        return out
    evaluation = Evaluation(wide)
    own = probe.ports()
    modes = np.zeros((*own.shape[:-1], wide.count))
    modes[..., wide.places(small)] = own
    flux = evaluation.points.project(walls.evaluate(evaluation, evaluation.points.spread(modes), probe.blood).flux)
    of_y, of_z = np.divmod(np.arange(wide.count), wide.along_z)
    since = probe.t + probe.clock.offset_s
    for s in range(probe.slab.species):
        for p, port in enumerate(walls.ports):
            sheet = probe.slab.sheets[port.layer]
            storage = sheet.spread * sheet.thickness * float(sheet.capacity[s])
            along = np.array([lateral_conductance(sheet, s, x) for x in wide.rate])
            through = float(probe.permeability[p, s])
            size = np.tensordot(walls.sides[p], flux[:, s], 1) / (through + along + storage / since[:, None])
            deep = np.minimum(1.0, 1.0 / (2 * np.sqrt(wide.rate) * sheet.thickness + 1e-300))
            square = (size**2).mean(0) * deep / probe.level[s, port.layer] ** 2
            beyond_y = of_y >= small.along_y
            tails = square[beyond_y].sum(), square[~beyond_y & (of_z >= small.along_z)].sum()
            out[s] = np.maximum(out[s], tails)
    return out
