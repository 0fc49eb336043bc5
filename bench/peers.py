"""Solve our problems by other people's software, for the cross-checks in the tests and the ratios of ``make bench``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from krogh.barrier.model import Barrier
from krogh.transport.block.model import BlockModel
from krogh.transport.march import BloodSource
from krogh.transport.mesh import Mesh

__all__ = ["deepxde_slab", "fipy_block", "fipy_layers"]


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


def fipy_block(model: BlockModel, u0: np.ndarray, t_end_s: float, steps: int) -> np.ndarray:
    """Return the state (nx, ny, nz) at the end of a closed, linear block of equal cells by FiPy, backward Euler, PCG to 1e-8."""
    import fipy

    nx, ny, nz = model.grid
    dx, dy, dz = model.mesh.width_m[0], model.y.width_m[0], model.z.width_m[0]
    grid = fipy.Grid3D(nx=nx, ny=ny, nz=nz, dx=1.0, dy=1.0, dz=1.0)
    tx = np.repeat(np.repeat((model.link[0] * dy * dz)[:, None, None], ny, 1), nz, 2)
    for law in model.laws:
        cell = model.port_cell[law.head]
        p = np.broadcast_to(law.routes[0].permeability_m_s, (1, 1, ny * nz)).reshape(ny, nz)  # type: ignore[attr-defined]
        half = model.port_half[law.tail, 0] + model.port_half[law.head, 0]
        tx[cell - 1] = dy * dz / (1 / p + half)
    x, y, z = (np.asarray(c) for c in grid.faceCenters.value)
    whole = [np.abs(c - np.round(c)) < 1e-6 for c in (x, y, z)]
    i, j, k = (np.floor(c + 1e-6).astype(int) for c in (x, y, z))
    coefficient = np.zeros(grid.numberOfFaces)
    inside = whole[0] & ~whole[1] & ~whole[2] & (i > 0) & (i < nx)
    coefficient[inside] = tx[i[inside] - 1, j[inside], k[inside]]
    for axis, index, last, area in ((1, j, ny, dz / dy), (2, k, nz, dy / dz)):
        others = [a for a in (0, 1, 2) if a != axis]
        inside = whole[axis] & ~whole[others[0]] & ~whole[others[1]] & (index > 0) & (index < last)
        coefficient[inside] = model.lateral[0, i[inside]] * area
    cx, cy, cz = (np.floor(c).astype(int) for c in grid.cellCenters.value)
    del dx
    u = fipy.CellVariable(mesh=grid, value=u0[cx, cy, cz], hasOld=True)
    capacity = fipy.CellVariable(mesh=grid, value=model.mass[0, cx] * dy * dz)
    equation = fipy.TransientTerm(coeff=capacity) == fipy.DiffusionTerm(coeff=fipy.FaceVariable(mesh=grid, value=coefficient))
    solver = fipy.LinearPCGSolver(tolerance=1e-8, iterations=2000)
    for _ in range(steps):
        u.updateOld()
        equation.solve(var=u, dt=t_end_s / steps, solver=solver)
    out = np.empty_like(u0)
    out[cx, cy, cz] = u.value
    return out


def deepxde_slab(name: str, adam: int, lbfgs: int) -> Callable[[int, np.ndarray, np.ndarray], np.ndarray]:
    """Return ``answer(layer, x_m, t_s)`` of a one-layer model problem by DeepXDE (torch, float64), as its demos recommend."""
    import os

    os.environ["DDE_BACKEND"] = "pytorch"
    import deepxde as dde

    from bench.pinn_cases import KM, RATE_PER_S, SLABS, T_END_S, VMAX

    dde.config.set_default_float("float64")
    dde.config.set_random_seed(0)
    (length,), (d,), (loss,), (p,) = SLABS[name]
    biot, pump, fade = p * length / d, VMAX * 1e6 / p, RATE_PER_S * T_END_S

    def equation(x: Any, u: Any) -> Any:
        bend = dde.grad.hessian(u, x, i=0, j=0)
        return dde.grad.jacobian(u, x, i=0, j=1) - d * T_END_S / length**2 * bend + loss * T_END_S * u

    def wall(x: Any, u: Any, _: Any) -> Any:
        import torch

        slope = dde.grad.jacobian(u, x, i=0, j=0)
        return slope / biot + torch.exp(-fade * x[:, 1:2]) - u - pump * u / (KM + u)

    domain = dde.geometry.GeometryXTime(dde.geometry.Interval(0, 1), dde.geometry.TimeDomain(0, 1))
    rows = [
        dde.icbc.OperatorBC(domain, wall, lambda x, on: on and dde.utils.isclose(x[0], 0)),
        dde.icbc.NeumannBC(domain, lambda x: 0, lambda x, on: on and dde.utils.isclose(x[0], 1)),
        dde.icbc.IC(domain, lambda x: 0, lambda _, on: on),
    ]
    data = dde.data.TimePDE(domain, equation, rows, num_domain=2540, num_boundary=160, num_initial=160)
    model = dde.Model(data, dde.nn.FNN([2] + [64] * 4 + [1], "tanh", "Glorot normal"))
    model.compile("adam", lr=1e-3)
    model.train(iterations=adam, display_every=10**6, verbose=0)
    dde.optimizers.set_LBFGS_options(maxiter=lbfgs, maxcor=100, ftol=0, gtol=1e-12)
    model.compile("L-BFGS")
    model.train(display_every=10**6, verbose=0)
    return lambda layer, x, t: model.predict(np.stack([x * 1e6 / length, t / T_END_S], 1))[:, 0]
