"""Solve a closed, linear block by DOLFINx; run by a Python that has it: ``python dolfinx_block.py PROBLEM.npz STEPS PC``.

Piecewise constants on hexahedra with jumps over the facets, the same scheme as finite volumes: a facet has the half cells
beside it in series, and the membrane where there is one. TR-BDF2 in equal steps; PETSc's CG to 1e-8 with the preconditioner PC.
Tested with DOLFINx 0.5.2 of Debian 12 (real numbers). It knows nothing of krogh: lengths in um, times in s.
"""

import json
import sys
import time

import dolfinx
import numpy as np
import ufl
from dolfinx import fem, mesh
from mpi4py import MPI
from petsc4py import PETSc


def assemble(d):
    """Return (operator, mass matrix, index (cell, 3) of every unknown)."""
    n = d["u0"].shape
    box = mesh.create_box(MPI.COMM_WORLD, [[0.0, 0.0, 0.0], [float(k) for k in n]], list(n), mesh.CellType.hexahedron)
    space = (getattr(fem, "functionspace", None) or fem.FunctionSpace)(box, ("DG", 0))
    index = np.floor(space.tabulate_dof_coordinates() + 1e-9).astype(int)

    def field(values):
        f = fem.Function(space)
        f.x.array[:] = values
        return f

    diffusivity, capacity = (field(d[name][index[:, 0]]) for name in ("diffusivity", "capacity"))
    walls, facets, tags = [], [], []
    box.topology.create_entities(2)
    box.topology.create_connectivity(2, 3)
    for m, face in enumerate(d["faces"]):
        own = mesh.locate_entities(box, 2, lambda x, at=face: np.isclose(x[0], at))
        facets.append(own)
        tags.append(np.full(len(own), m + 1, np.int32))
        beside = np.isin(index[:, 0], (face - 1, face))
        p = np.ones(len(index))
        p[beside] = d["permeability"][m][index[beside, 1], index[beside, 2]]
        walls.append(field(p))
    facets, tags = np.concatenate(facets).astype(np.int32), np.concatenate(tags)
    order = np.argsort(facets)
    over = ufl.Measure("dS", domain=box, subdomain_data=mesh.meshtags(box, 2, facets[order], tags[order]))
    u, v = ufl.TrialFunction(space), ufl.TestFunction(space)
    halves = 0.5 / diffusivity("+") + 0.5 / diffusivity("-")
    flow = 1 / halves * ufl.jump(u) * ufl.jump(v) * over
    for m, p in enumerate(walls):
        flow += (1 / (halves + 1 / p("+")) - 1 / halves) * ufl.jump(u) * ufl.jump(v) * over(m + 1)
    found = []
    for form in (flow, capacity * u * v * ufl.dx):
        matrix = fem.petsc.assemble_matrix(fem.form(form))
        matrix.assemble()
        found.append(matrix)
    return (*found, index)


def march(a, mass, u, t_end_s, steps, preconditioner):
    """Advance `u` in place by TR-BDF2; return the iterations per solve."""
    g, h = 1 - np.sqrt(2) / 2, t_end_s / steps
    system = mass.copy()
    system.axpy(g * h, a, structure=PETSc.Mat.Structure.DIFFERENT_NONZERO_PATTERN)
    solver = PETSc.KSP().create(MPI.COMM_WORLD)
    solver.setOperators(system)
    solver.setTolerances(rtol=1e-8)
    solver.setType("cg")
    solver.getPC().setType(preconditioner)
    solver.setInitialGuessNonzero(True)
    right, first, second, middle = (u.copy() for _ in range(4))
    iterations = 0
    for _ in range(steps):
        a.mult(u, first)
        mass.mult(u, right)
        right.axpy(-h * g, first)
        solver.solve(right, middle)
        iterations += solver.getIterationNumber()
        a.mult(middle, second)
        mass.mult(u, right)
        right.axpy(-h * np.sqrt(2) / 4, first)
        right.axpy(-h * np.sqrt(2) / 4, second)
        middle.copy(u)
        solver.solve(right, u)
        iterations += solver.getIterationNumber()
    return iterations / (2 * steps)


def main(problem, steps, preconditioner):
    """Print one line of JSON and write the state at the end into PROBLEM.npz.out.npy."""
    d = np.load(problem)
    start = time.process_time()
    a, mass, index = assemble(d)
    assembly = time.process_time() - start
    u = a.createVecRight()
    u.array[:] = d["u0"][tuple(index.T)]
    start = time.process_time()
    iterations = march(a, mass, u, float(d["t_end_s"]), steps, preconditioner)
    spent = time.process_time() - start
    out = np.empty(d["u0"].shape)
    out[tuple(index.T)] = u.array
    np.save(problem + ".out.npy", out)
    print(json.dumps({"version": dolfinx.__version__, "assembly_s": assembly, "solve_s": spent, "iterations": iterations}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
