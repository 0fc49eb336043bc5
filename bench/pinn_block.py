"""A block with a patchy permeability by networks: against finite volumes on three meshes, with error, time and mass defect."""

from __future__ import annotations

import numpy as np

from bench.pinn import timed
from krogh import pinn
from krogh.barrier.model import Barrier, Layer, Membrane
from krogh.barrier.routes import Efflux, Passive
from krogh.blood.exponentials import ExponentialBlood
from krogh.transport.block.axis import uniform_axis
from krogh.transport.block.maps import from_function, patch
from krogh.transport.block.problem import BlockProblem, solve_block

__all__ = ["patchy", "rising"]

_SIDE, _CELLS, _MAP = 20e-6, 40, 16
_TIMES = np.array([0.5, 1, 2, 4, 8, 16, 32, 60.0])


def rising() -> ExponentialBlood:
    """Return blood that rises smoothly and decays: (1 - exp(-t/3))^2 exp(-t/60)."""
    coefficient = np.array([[[1.0, -2.0, 1.0]]])
    rate = np.array([[[0.0, 1 / 3, 2 / 3]]]) + 1 / 60
    return ExponentialBlood(np.zeros_like(coefficient), rate, coefficient, np.ones((1, 1)))


def patchy(count: int, *, factor: float | None = None, refine: int = 1) -> BlockProblem:
    """Return a cube of tissue behind a pump and a passive wall, P by a map of `count` x `count` cells, each cut into `refine`.

    P varies by half along a cosine, or by `factor` inside a disc of a quarter of the width.
    """
    side = uniform_axis(_SIDE, count)
    if factor is None:
        wave = np.pi / _SIDE
        density = from_function(lambda a, b: 1 + 0.5 * np.cos(wave * a) * np.cos(wave * b), side, side)
    else:
        density = patch(side, side, (_SIDE / 2, _SIDE / 2), _SIDE / 4, factor)
    density = np.kron(density, np.ones((refine, refine)))
    wall = Membrane("luminal", 0, (Passive(1e-6 * density.reshape(1, 1, -1)), Efflux(0.5e-6, 0.5)))
    tissue = Layer("tissue", _SIDE, 5e-11, 1.0, loss_per_s=0.02)
    fine = uniform_axis(_SIDE, count * refine)
    return BlockProblem(
        Barrier(("drug",), (tissue,), (wall,)), rising(), 60.0, fine, fine, cells=_CELLS * refine, frames_s=_TIMES
    )


def _fields(factor: float | None, refine: int) -> np.ndarray:
    """Return finite volumes on a refined mesh, averaged over the cells of the map and of the coarse mesh."""
    problem = patchy(_MAP, factor=factor, refine=refine)
    width = problem.mesh.width_m.reshape(_CELLS, refine)
    found = solve_block(problem, rtol=1e-5).fields[:, 0].astype(float)
    found = found.reshape(_TIMES.size, _CELLS, refine, _MAP, refine, _MAP, refine).mean((4, 6))
    return np.asarray((found * width[:, :, None, None]).sum(2) / width.sum(1)[:, None, None])


def run() -> None:
    """Print error, time and mass defect beside the goals, at the default tolerance and a looser one."""
    for name, factor in (("cosine, +-50 %", None), ("disc, 5 times", 5.0), ("disc, a hole", 0.0)):
        coarse, fine = _fields(factor, 2), _fields(factor, 4)
        truth = (4 * fine - coarse) / 3 if factor is None else 1.5 * fine - 0.5 * coarse  # second order, or nearly 1.6 at an edge
        size = np.sqrt((truth**2).sum())
        for tol in (None, 1e-3):
            problem = patchy(_MAP, factor=factor)
            spent, found = timed(lambda p=problem, tol=tol: pinn.solve(p, tol=tol, strict=False))  # type: ignore[misc]
            error, doubt = (float(np.sqrt(((x - truth) ** 2).sum()) / size) for x in (found.fields[:, 0], fine))
            print(
                f"pinn  block, {name}, tol {found.tol:.0e}: error {error:.1e} (goal <= 5e-4) beside extrapolated finite volumes, "
                f"which are {doubt:.0e} from {_MAP * 4} x {_MAP * 4} x {_CELLS * 4} cells; {spent:.1f} CPU s (<= 60), "
                f"certificate {found.certificate:.0e}, mass defect {found.mass_defect:.0e} (<= 1e-5)"
            )


if __name__ == "__main__":
    run()
