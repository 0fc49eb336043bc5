"""Ask the certificate 200 times: random layered problems, several doses, uptake in the volume; how often is an error not flagged?

Ranges of the notes: one layer of 5 to 100 um, D 1e-12 to 1e-9 m2/s, P 1e-8 to 3e-5 m/s, pump 0.01 to 10 um/s with Km 0.05 to 3 of
the blood, 20 s to 1 h, Biot numbers up to 200; or endothelium, basement membrane, end-feet and tissue. Half have several doses,
half an enzyme in one layer. The truth is finite volumes on two meshes, extrapolated.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.pinn_cases import decaying, slab
from krogh import pinn
from krogh.barrier.model import Barrier
from krogh.barrier.reactions import MichaelisMenten
from krogh.transport.integrate import integrate
from krogh.transport.mesh import Mesh, layered_mesh
from krogh.transport.operator import Operator
from krogh.transport.path import path_graph
from krogh.transport.problem import Problem

_CELLS = 80
#: A larger error than this is a miss.
MISS = 1e-4


@dataclass(frozen=True)
class Trial:
    """Hold one problem: relative L2 error of the networks, what their certificate said, the truth's own error, time."""

    kind: str
    error: float
    certificate: float
    truth: float
    cpu_s: float

    def silent(self, tol: float) -> bool:
        """Tell whether the error is too large and the certificate is within `tol`."""
        return self.error > MISS and self.certificate <= tol


def draw(rng: np.random.Generator) -> tuple[str, Problem]:
    """Return a random problem and its kind."""

    def log(low: float, high: float) -> float:
        return math.exp(rng.uniform(math.log(low), math.log(high)))

    if rng.random() < 0.5:
        kind, km, end = "1 layer", log(0.05, 3), log(20, 3600)
        barrier = slab([log(5, 100)], [log(1, 1000)], [log(1e-3, 0.1)], [log(0.01, 30)], vmax=log(0.01, 10) * 1e-6, km=km)
        rate = log(1 / 300, 1 / 10)
    else:
        kind, km, end = "4 layers", log(0.05, 3), log(20, 1800)
        barrier = slab(
            [log(0.15, 0.6), log(0.05, 0.2), log(0.3, 2.0), log(10, 50)],
            [log(1, 100), log(10, 200), log(5, 200), log(50, 1000)],
            [log(1e-3, 0.1), 0.0, log(1e-3, 0.1), log(1e-3, 0.1)],
            [log(0.05, 10), log(0.1, 10), log(1, 50), log(1, 50)],
            vmax=log(0.01, 3) * 1e-6, km=km,
        )  # fmt: skip
        rate = log(1 / 300, 1 / 20)
    starts = [0.0]
    if rng.random() < 0.5:
        starts += sorted(float(x) * end for x in rng.uniform(0.2, 0.9, int(rng.integers(1, 3))))
        kind += ", doses"
    if rng.random() < 0.5:
        barrier = _with_enzyme(barrier, int(rng.integers(len(barrier.layers))), log(1e-3, 1.0), log(0.05, 3))
        kind += ", enzyme"
    return kind, Problem(barrier, decaying(rate, starts), end, cells=_CELLS)


def _with_enzyme(barrier: Barrier, layer: int, rate_per_s: float, km: float) -> Barrier:
    layers = list(barrier.layers)
    layers[layer] = replace(layers[layer], reactions=(MichaelisMenten(rate_per_s, km, (None,)),))
    return replace(barrier, layers=tuple(layers))


def truth(problem: Problem, times: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the cell means at `times` by extrapolation from two meshes, and how far the finer one is from it."""
    coarse = [int(n) for n in np.bincount(problem.mesh.layer)]
    both = []
    for factor in (1, 2):
        mesh = layered_mesh(problem.barrier.layers, [factor * n for n in coarse], ratio=40.0)
        found = _finite_volumes(problem, mesh, times)
        width = mesh.width_m.reshape(-1, factor)
        both.append((found.reshape(times.size, -1, factor) * width).sum(-1) / width.sum(-1))
    best = (4 * both[1] - both[0]) / 3
    return best, float(np.sqrt(((best - both[1]) ** 2).sum() / (best**2).sum()))


@dataclass(frozen=True)
class _Stops:
    """Blood whose events are also the times of comparison: the stepper lands on them, and nothing is interpolated."""

    blood: Any
    times: np.ndarray

    def free(self, t_s: float, *, left: bool = False) -> np.ndarray:
        return self.blood.free(t_s, left=left)

    def events(self, t_end_s: float) -> np.ndarray:
        inside = self.times[self.times < t_end_s]
        return np.unique(np.concatenate([self.blood.events(t_end_s), inside]))


def _finite_volumes(problem: Problem, mesh: Mesh, times: np.ndarray) -> np.ndarray:
    operator = Operator(path_graph(problem.barrier, mesh))
    march = integrate(operator, _Stops(problem.blood, times), problem.t_end_s, rtol=1e-6)
    at = np.searchsorted(march.t_s, times * (1 - 1e-12))
    assert np.allclose(np.array(march.t_s)[at], times, rtol=1e-9)
    return np.array(march.u)[at, 0, 0][:, operator.graph.layout["cell_node"]]


def trial(problem: Problem, kind: str, tol: float, seed: int = 0) -> Trial:
    """Solve one problem by networks at `tol`, and measure."""
    start = time.process_time()
    found = pinn.solve(problem, tol=tol, strict=False, seed=seed)
    spent = time.process_time() - start
    times = np.linspace(0, problem.t_end_s, 61)[1:]
    error, doubt = _error(problem, found, times)
    if error > MISS and doubt > 0.1 * error:  # is it the truth that is coarse?
        error, doubt = _error(replace(problem, cells=4 * problem.cells), found, times)
    return Trial(kind, error, found.certificate, doubt, spent)


def _error(problem: Problem, found: pinn.PinnSolution, times: np.ndarray) -> tuple[float, float]:
    """Return the relative L2 error of the networks over depth and even times, and that of the truth."""
    exact, doubt = truth(problem, times)
    mesh = layered_mesh(problem.barrier.layers, [int(n) for n in np.bincount(problem.mesh.layer)], ratio=40.0)
    miss = size = 0.0
    for i in range(len(problem.barrier.layers)):
        cells = np.flatnonzero(mesh.layer == i)
        middle, half = mesh.center_m[cells] - mesh.edge_m[cells[0]], mesh.width_m[cells] / np.sqrt(12.0)
        ours = 0.5 * sum(
            found.at(i, *(a.ravel() for a in np.meshgrid(x, times))).reshape(times.size, -1)
            for x in (middle - half, middle + half)
        )
        weight = mesh.width_m[cells] / mesh.width_m[cells].sum()
        miss += float(((ours - exact[:, cells]) ** 2 * weight).sum())
        size += float((exact[:, cells] ** 2 * weight).sum())
    return math.sqrt(miss / size), doubt


def study(count: int, tol: float, seed: int = 0) -> list[Trial]:
    """Return the trials of `count` random problems, printing those that miss and those above `tol`."""
    out = []
    for k in range(count):
        kind, problem = draw(np.random.default_rng([seed, k]))
        found = trial(problem, kind, tol)
        out.append(found)
        if found.error > MISS or found.certificate > tol:
            word = "SILENT" if found.silent(tol) else "flagged" if found.certificate > tol else "within"
            print(
                f"pinn  draw {k} ({kind}): error {found.error:.1e}, certificate {found.certificate:.1e}, "
                f"truth within {found.truth:.0e}: {word}",
                flush=True,
            )
    return out


def run(count: int = 200, tol: float = 1e-3) -> None:
    """Print the study at the default tolerance."""
    found = study(count, tol)
    errors, seconds = np.array([t.error for t in found]), np.array([t.cpu_s for t in found])
    ratio = np.array([t.error / t.certificate for t in found])
    print(
        f"pinn  {count} random problems, tol {tol:.0e}: {100 * (errors <= MISS).mean():.1f} % within {MISS:.0e} (goal >= 95 %), "
        f"{sum(t.silent(tol) for t in found)} silent misses (goal 0), {sum(t.certificate > tol for t in found)} flagged, "
        f"{(ratio > 1).sum()} errors above their certificate; error median {np.median(errors):.0e}, 95 % below "
        f"{np.quantile(errors, 0.95):.0e}, largest {errors.max():.0e}; error over certificate median {np.median(ratio):.0e}, "
        f"largest {ratio.max():.2f}; {np.median(seconds):.1f} CPU s a problem, at most {seconds.max():.1f}"
    )


if __name__ == "__main__":
    run(*(int(x) for x in sys.argv[1:2]), *(float(x) for x in sys.argv[2:3]))
