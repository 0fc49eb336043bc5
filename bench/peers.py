"""Solve our problems by other people's software, for the cross-checks in the tests and the ratios of ``make bench``."""

from __future__ import annotations

import numpy as np

from krogh.barrier.model import Barrier
from krogh.transport.march import BloodSource
from krogh.transport.mesh import Mesh

__all__ = ["fipy_layers"]


def fipy_layers(barrier: Barrier, mesh: Mesh, blood: BloodSource, t_end_s: float, steps: int) -> np.ndarray:
    """Return the state at the end by FiPy's own mesh and terms, backward Euler; membranes as face coefficients."""
    import fipy

    width, layer = mesh.width_m, mesh.layer
    grid = fipy.Grid1D(dx=width)
    u = fipy.CellVariable(mesh=grid, value=0.0, hasOld=True)

    def per_cell(name: str) -> np.ndarray:
        return np.array([getattr(barrier.layers[i], name) for i in layer], dtype=float)

    half = width / 2 / per_cell("diffusivity_m2_s")
    wall = {m.face: m.routes[0].permeability_m_s for m in barrier.membranes}
    resistance = half[:-1] + half[1:]
    for face, p in wall.items():
        if face:
            resistance[int(np.flatnonzero(layer == face)[0]) - 1] += 1 / p
    centers = np.cumsum(width) - width / 2
    coefficient = np.zeros(grid.numberOfFaces)
    coefficient[1 : width.size] = np.diff(centers) / resistance
    entry = np.zeros(width.size)
    entry[0] = 1 / (half[0] + (1 / wall[0] if 0 in wall else 0.0)) / width[0]
    arrival = fipy.Variable(0.0)
    loss = fipy.CellVariable(mesh=grid, value=per_cell("loss_per_s") + entry)
    gain = fipy.CellVariable(mesh=grid, value=entry)
    enzymes = [(i, r) for i, x in enumerate(barrier.layers) for r in x.reactions]
    for i, law in enzymes:
        loss = loss + fipy.CellVariable(mesh=grid, value=(layer == i) * law.rate_per_s) / (1 + u / law.km_mol_m3)
    capacity = fipy.CellVariable(mesh=grid, value=per_cell("capacity"))
    equation = fipy.TransientTerm(coeff=capacity) == (
        fipy.DiffusionTerm(coeff=fipy.FaceVariable(mesh=grid, value=coefficient))
        - fipy.ImplicitSourceTerm(coeff=loss)
        + gain * arrival
    )
    solver = fipy.LinearLUSolver(tolerance=1e-14)
    for n in range(steps):
        u.updateOld()
        arrival.setValue(float(blood.free((n + 1) * t_end_s / steps)[0, 0]))
        for _ in range(25 if enzymes else 1):
            before = u.value.copy()
            equation.sweep(var=u, dt=t_end_s / steps, solver=solver)
            if np.abs(u.value - before).max() <= 1e-13 * np.abs(u.value).max():
                break
    return np.array(u.value)
