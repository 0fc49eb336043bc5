"""Other people's software on the same cells and coefficients as a closed, linear block: FiPy at 32^3, DOLFINx at 64^3."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from krogh.barrier.model import Barrier, Layer, Membrane
from krogh.barrier.routes import Passive
from krogh.transport.block.axis import uniform_axis
from krogh.transport.block.model import BlockModel, assemble_block
from krogh.transport.block.system import BlockSystem
from krogh.transport.integrate import integrate

__all__ = ["closed_block", "compare", "dolfinx_block", "dolfinx_python"]

_T_END_S = 20.0


class _NoBlood:
    """Nothing in the blood."""

    def free(self, t_s: float, *, left: bool = False) -> np.ndarray:
        return np.zeros((1, 1))

    def events(self, t_end_s: float) -> np.ndarray:
        return np.zeros(0)


def closed_block(n: int) -> tuple[BlockModel, np.ndarray]:
    """Return equal cells of 1 um, five layers, two linear membranes with leak lines, no blood; and a start (nx, ny, nz)."""
    p1, p2 = np.full((n, n), 5e-8), np.full((n, n), 8e-8)
    for p in (p1, p2):
        p[n // 3] *= 1e3
        p[:, n // 2] *= 1e3
    counts = (3, 2, 1, 2, n - 8)
    values = ((3e-10, 1.0), (3e-11, 3.0), (6e-11, 0.8), (1e-12, 3.0), (1.2e-10, 0.6))
    layers = tuple(Layer(str(i), c * 1e-6, d, k) for i, (c, (d, k)) in enumerate(zip(counts, values, strict=True)))
    walls = tuple(Membrane(str(i), i, (Passive(p.reshape(1, 1, -1)),)) for i, p in ((1, p1), (2, p2)))
    side = uniform_axis(n * 1e-6, n)
    model = assemble_block(Barrier(("drug",), layers, walls), counts, side, side, turnover_per_s=0.0, ratio=1.0)
    u0 = np.zeros(model.grid)
    u0[:3] = 1.0
    return model, u0


def _ours(model: BlockModel, u0: np.ndarray, rtol: float) -> tuple[np.ndarray, float]:
    """Return the state at the end and the processor seconds, factors included."""
    system = BlockSystem(model, tolerance=1e-2 * rtol)
    start = time.process_time()
    march = integrate(system, _NoBlood(), _T_END_S, u0=u0.reshape(1, 1, -1), rtol=rtol, reduce=lambda u: u[..., :1])
    assert march.final is not None
    return march.final.reshape(model.grid), time.process_time() - start


def _beside(name: str, n: int, order: int, goal: float, work: Any) -> None:
    """Print our time and error beside those of ``work(model, u0) -> (state, seconds, words)``, and the ratio at equal error."""
    model, u0 = closed_block(n)
    want, _ = _ours(model, u0, 1e-8)
    got, mine = _ours(model, u0, 1e-2)
    theirs, spent, words = work(model, u0)
    error, peer = (float(np.abs(x - want).max() / want.max()) for x in (got, theirs))
    equal = spent * (peer / error) ** (1 / order)
    print(f"{n}^3, closed, linear, {_T_END_S:g} s: ours {mine:.2f} s with an error of {error:.1e}; "
          f"{name} {words} {spent:.1f} s with {peer:.1e}: {spent / mine:.0f} x; "
          f"at equal error (order {order}, extrapolated) {equal:.0f} s: {equal / mine:.0f} x (goal {goal:g})")  # fmt: skip


def _fipy(model: BlockModel, u0: np.ndarray, steps: int = 50) -> tuple[np.ndarray, float, str]:
    from bench.peers import fipy_block

    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = fipy_block(model, u0, _T_END_S, steps)
    return theirs, time.process_time() - start, f"{steps} steps of backward Euler by PCG"


def dolfinx_python() -> str | None:
    """Return a Python that can import DOLFINx: this one, that of ``KROGH_DOLFINX_PYTHON``, or the system's."""
    for python in (os.environ.get("KROGH_DOLFINX_PYTHON"), sys.executable, "/usr/bin/python3"):
        if python and Path(python).exists():
            probe = [python, "-c", "import dolfinx, petsc4py"]
            if subprocess.run(probe, capture_output=True, timeout=120, check=False).returncode == 0:
                return python
    return None


def dolfinx_block(
    python: str, model: BlockModel, u0: np.ndarray, steps: int, preconditioner: str = "jacobi"
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the state at the end by DOLFINx, and what its script says: version, seconds, iterations."""
    um, ny, nz = 1e-6, *model.grid[1:]
    permeability = [
        np.broadcast_to(law.routes[0].permeability_m_s, (1, 1, ny * nz)).reshape(ny, nz) / um  # type: ignore[attr-defined]
        for law in model.laws
    ]
    with tempfile.TemporaryDirectory() as folder:
        problem = Path(folder) / "problem.npz"
        np.savez(problem, u0=u0, t_end_s=_T_END_S, diffusivity=model.lateral[0] / um**3, capacity=model.mass[0] / um,
                 faces=[int(model.port_cell[law.head]) for law in model.laws], permeability=permeability)  # fmt: skip
        script = str(Path(__file__).with_name("dolfinx_block.py"))
        done = subprocess.run([python, script, str(problem), str(steps), preconditioner], capture_output=True, text=True,
                              env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""}, check=False)  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"DOLFINx failed: {done.stderr.strip().splitlines()[-1:]}")
        return np.load(f"{problem}.out.npy"), json.loads(done.stdout.strip().splitlines()[-1])


def _dolfinx(n: int = 64, steps: int = 20) -> None:
    python = dolfinx_python()
    if python is None:
        print("DOLFINx: not found (KROGH_DOLFINX_PYTHON names a Python that has it); not compared")
        return

    def work(model: BlockModel, u0: np.ndarray) -> tuple[np.ndarray, float, str]:
        theirs, said = dolfinx_block(python, model, u0, steps)
        words = f"{said['version']}, {steps} steps of TR-BDF2 by CG and Jacobi ({said['iterations']:.0f} iterations a solve; " \
                f"{said['assembly_s']:.1f} s of assembly not counted)"  # fmt: skip
        return theirs, float(said["solve_s"]), words

    _beside("DOLFINx", n, 2, 10, work)


def compare() -> None:
    """Print both comparisons."""
    _beside("FiPy", 32, 1, 100, _fipy)
    _dolfinx()
