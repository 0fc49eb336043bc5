"""Ask the certificate 200 times: random layered problems, several doses, uptake in the volume; how often is an error not flagged?

Ranges of the notes: one layer of 5 to 100 um, D 1e-12 to 1e-9 m2/s, P 1e-8 to 3e-5 m/s, pump 0.01 to 10 um/s with Km 0.05 to 3 of
the blood, 20 s to 1 h, Biot numbers up to 200; or endothelium, basement membrane, end-feet and tissue. Half have several doses,
half an enzyme in one layer. The truth is finite volumes on two meshes, extrapolated::

    python -m bench.pinn_certificate 200 1e-4             # problems 0 to 199 at one or more tolerances
    python -m bench.pinn_certificate 53,176 1e-4 5e-4     # these two
    python -m bench.pinn_certificate 0-49 1e-4 --keep F   # what F holds is not solved again, what is new is added to it
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
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
    """Hold one problem: relative L2 error of the networks, what their certificate said, the truth's own error, time, windows."""

    number: int
    kind: str
    tol: float
    error: float
    certificate: float
    truth: float
    cpu_s: float
    windows: int

    @property
    def flagged(self) -> bool:
        """Tell whether the certificate is above the tolerance."""
        return self.certificate > self.tol

    @property
    def silent(self) -> bool:
        """Tell whether the error is too large and the certificate is within the tolerance."""
        return self.error > MISS and not self.flagged


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


class Judge:
    """Measure answers to one problem against its truth, which is found once."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.times = np.linspace(0, problem.t_end_s, 61)[1:]

    @cached_property
    def coarse(self) -> tuple[Problem, np.ndarray, float]:
        """Return the problem with its mesh, the truth and its doubt."""
        return self.problem, *truth(self.problem, self.times)

    @cached_property
    def fine(self) -> tuple[Problem, np.ndarray, float]:
        """Return the same on a finer mesh."""
        problem = replace(self.problem, cells=4 * self.problem.cells)
        return problem, *truth(problem, self.times)

    def error(self, found: pinn.PinnSolution) -> tuple[float, float]:
        """Return the relative L2 error of the networks over depth and even times, and that of the truth."""
        error, doubt = _error(*self.coarse, found, self.times)
        if error > MISS and doubt > 0.1 * error:  # is it the truth that is coarse?
            error, doubt = _error(*self.fine, found, self.times)
        return error, doubt


def _error(problem: Problem, exact: np.ndarray, doubt: float, found: pinn.PinnSolution, times: np.ndarray) -> tuple[float, float]:
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


def trial(number: int, tol: float, judge: Judge | None = None) -> Trial:
    """Solve the problem of one draw by networks at `tol`, and measure."""
    kind, problem = draw(np.random.default_rng([0, number]))
    start = time.process_time()
    found = pinn.solve(problem, tol=tol, strict=False)
    spent = time.process_time() - start
    error, doubt = (judge or Judge(problem)).error(found)
    return Trial(number, kind, tol, error, found.certificate, doubt, spent, len(found.windows))


def study(draws: Iterable[int], tols: Iterable[float], keep: Path | None = None) -> list[Trial]:
    """Return the trials of some draws at every tolerance, printing those that miss and those above theirs."""
    lines = keep.read_text(encoding="utf-8").splitlines() if keep is not None and keep.exists() else []
    held = {(t.number, t.tol): t for t in (Trial(**json.loads(line)) for line in lines)}
    out = []
    for number in draws:
        judge = Judge(draw(np.random.default_rng([0, number]))[1])
        for tol in tols:
            if (number, tol) not in held:
                held[number, tol] = trial(number, tol, judge)
                if keep is not None:
                    with keep.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(asdict(held[number, tol])) + "\n")
            out.append(held[number, tol])
            if out[-1].error > MISS or out[-1].flagged:
                _tell(out[-1])
    return out


def _tell(t: Trial) -> None:
    word = "SILENT" if t.silent else "flagged" if t.flagged else "within"
    print(
        f"pinn  draw {t.number} ({t.kind}) at tol {t.tol:.1e}: error {t.error:.1e}, certificate {t.certificate:.1e}, "
        f"{t.windows} windows, {t.cpu_s:.1f} s, truth within {t.truth:.0e}: {word}",
        flush=True,
    )


def _summary(found: list[Trial]) -> str:
    errors, seconds = np.array([t.error for t in found]), np.array([t.cpu_s for t in found])
    ratio = np.array([t.error / t.certificate for t in found])
    misses = [t for t in found if t.error > MISS]
    return (
        f"pinn  {len(found)} random problems, tol {found[0].tol:.1e}: {100 * (errors <= MISS).mean():.1f} % within {MISS:.0e} "
        f"(goal >= 95 %), {len(misses)} misses, {sum(t.silent for t in misses)} silent (goal 0); {sum(t.flagged for t in found)} "
        f"flagged, {(ratio > 1).sum()} errors above their certificate; error median {np.median(errors):.0e}, 95 % below "
        f"{np.quantile(errors, 0.95):.0e}, largest {errors.max():.0e}; error over certificate median {np.median(ratio):.0e}, "
        f"largest {ratio.max():.2f}; {np.median(seconds):.1f} CPU s a problem, 95 % below {np.quantile(seconds, 0.95):.1f}, "
        f"at most {seconds.max():.1f}"
    )


def _draws(text: str) -> list[int]:
    if "," in text:
        return [int(x) for x in text.split(",")]
    first, _, last = text.rpartition("-")
    return list(range(int(first), int(last) + 1)) if first else list(range(int(text)))


def run(draws: Iterable[int] = range(200), tols: Iterable[float] = (1e-3,), keep: Path | None = None) -> None:
    """Print the study, at the default tolerance if none is given."""
    found = study(draws, tols := tuple(tols), keep)
    for tol in tols:
        print(_summary([t for t in found if t.tol == tol]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Ask the certificate of random problems.")
    parser.add_argument("draws", nargs="?", type=_draws, default=range(200), help="how many, or which: 0-49, or 53,176")
    parser.add_argument("tols", nargs="*", type=float, default=(1e-3,), help="certificates to ask for")
    parser.add_argument("--keep", type=Path, help="file of JSON lines: one per trial")
    given = parser.parse_args()
    run(given.draws, given.tols, given.keep)
