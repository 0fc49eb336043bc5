"""Solve one problem by finite volumes and by networks, and say how far apart they are: in space, in time, at the membranes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from krogh import pinn
from krogh.pinn.stage import Stage
from krogh.pinn.support import check_supported
from krogh.runs.simulate import Case
from krogh.transport.block.problem import BlockProblem, solve_block
from krogh.transport.problem import Problem, Solution, solve

__all__ = ["Comparison", "compare_solvers"]

_TIMES = 120
#: Whole fields of a block that are compared.
_FRAMES = 40


@dataclass(frozen=True)
class Comparison:
    """Hold both answers to one problem, and their difference; relative to the root mean square of the finite volumes.

    Attributes
    ----------
    labels : tuple of str
        Compounds of the problem.
    method : str
        How the networks were trained.
    t_s : array (time,)
        Half of the times evenly over the run, half evenly in its logarithm [s]; both start after zero.
    media : tuple of str
        ``endothelium`` ... ``neuron``, and ``membranes``: the faces of all membranes, compared at the steps of the finite
        volumes, which know their faces there only.
    volumes, networks : mapping of str to array (time, S)
        Mean free concentration of each medium [mol/m3].
    error : array (medium, S)
        Relative L2 difference over space and even times.
    log_error : array (medium, S)
        The same over times even in the logarithm: it sees the first moments.
    certificate, tol : float
        Residual of the networks on fresh points, and what was asked for: needs no finite volumes.
    mass_defect : float
        What the networks lose or gain over what came in; finite volumes keep mass to round-off.
    cpu_s : tuple of float
        Processor time of finite volumes and of networks [s].
    """

    labels: tuple[str, ...]
    method: str
    t_s: np.ndarray
    media: tuple[str, ...]
    volumes: dict[str, np.ndarray]
    networks: dict[str, np.ndarray]
    error: np.ndarray
    log_error: np.ndarray
    certificate: float
    tol: float
    mass_defect: float
    cpu_s: tuple[float, float]
    unknowns: int

    @property
    def converged(self) -> bool:
        """Tell whether the certificate is within the tolerance; otherwise the networks' answer is none."""
        return self.certificate <= self.tol


def compare_solvers(
    case: Case,
    *,
    method: str = "lsq",
    tol: float | None = None,
    rtol: float = 1e-6,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
    tell: Callable[[Stage], None] | None = None,
) -> Comparison:
    """Return both answers to one problem.

    Parameters
    ----------
    case : Case
        See :func:`krogh.runs.simulate.plan`; a slab, a cylinder or a block.
    method : str
        A key of :data:`krogh.pinn.methods.METHODS`.
    tol : float or None
        Tolerance of the networks' certificate, 1e-9..1e-1; None: see :func:`krogh.pinn.solve`.
    rtol : float
        Tolerance of the finite volumes' steps.

    Raises
    ------
    InputError
        If the geometry is none of these, or a tolerance is out of range.
    """
    problem = case.problem
    check_supported(problem, method)
    if isinstance(problem, BlockProblem):
        return _compare_blocks(case.labels, problem, method, tol, rtol, seed, progress, tell)
    assert isinstance(problem, Problem)
    clock = time.process_time()
    networks = pinn.solve(problem, method=method, tol=tol, seed=seed, strict=False, progress=progress, tell=tell)
    middle = time.process_time()
    volumes = solve(problem, rtol=rtol)
    spent = (time.process_time() - middle, middle - clock)
    even = np.linspace(0.0, problem.t_end_s, _TIMES // 2 + 1)[1:]
    early = np.geomspace(1e-6 * problem.t_end_s, problem.t_end_s, _TIMES // 2)
    nodes = volumes.operator.graph.media
    a, b = ([x.sample(t) for t in (even, early)] for x in (networks, volumes))
    means = [_means(x, nodes, volumes) for x in (np.concatenate(a), np.concatenate(b))]
    at_faces = _membranes(networks, volumes)
    t = np.concatenate([even, early])
    order = np.argsort(t, kind="stable")
    linear, log = (np.vstack([_apart(x, y, nodes), at_faces]) for x, y in zip(a, b, strict=True))
    ours, theirs = ({k: v[order] for k, v in m.items()} for m in means)
    return Comparison(
        labels=case.labels, method=method, t_s=t[order], media=(*nodes, *(["membranes"] if at_faces.size else [])),
        volumes=theirs, networks=ours, error=linear, log_error=log, certificate=networks.certificate, tol=networks.tol,
        mass_defect=networks.mass_defect, cpu_s=spent, unknowns=networks.unknowns,
    )  # fmt: skip


def _compare_blocks(
    labels: tuple[str, ...], problem: BlockProblem, method: str, tol: float | None, rtol: float, seed: int,
    progress: Callable[[float], None] | None, tell: Callable[[Stage], None] | None,
) -> Comparison:  # fmt: skip
    """Compare whole fields of a block, cell by cell, and plane means over time."""
    even = np.linspace(0.0, problem.t_end_s, _FRAMES // 2 + 1)[1:]
    early = np.geomspace(1e-4 * problem.t_end_s, problem.t_end_s, _FRAMES // 2)
    t = np.concatenate([even, early])
    order = np.argsort(t, kind="stable")
    problem = replace(problem, frames_s=t[order])
    clock = time.process_time()
    networks = pinn.solve(problem, method=method, tol=tol, seed=seed, strict=False, progress=progress, tell=tell)
    middle = time.process_time()
    volumes = solve_block(problem, rtol=rtol)
    spent = (time.process_time() - middle, middle - clock)
    media = volumes.system.model.media
    means = [{k: x.medium(k, x.sample(t[order]))[:, 0] for k in media} for x in (networks, volumes)]
    later = np.argsort(order, kind="stable")
    both = [x.fields.astype(float)[later] for x in (networks, volumes)]
    linear, log = (_fields_apart(both[0][at], both[1][at], media) for at in (slice(0, even.size), slice(even.size, None)))
    return Comparison(
        labels=labels, method=method, t_s=t[order], media=tuple(media), volumes=means[1], networks=means[0], error=linear,
        log_error=log, certificate=networks.certificate, tol=networks.tol, mass_defect=networks.mass_defect, cpu_s=spent,
        unknowns=networks.unknowns,
    )  # fmt: skip


def _fields_apart(a: np.ndarray, b: np.ndarray, media: dict[str, np.ndarray]) -> np.ndarray:
    """Return the relative L2 difference (medium, S) of fields (time, S, plane, y, z)."""
    rows = []
    for planes in media.values():
        miss, size = ((x[:, :, planes] ** 2).sum((0, 2, 3, 4)) for x in (a - b, b))
        rows.append(np.sqrt(np.divide(miss, size, out=np.full_like(miss, np.nan), where=size > 0)))
    return np.array(rows)


def _membranes(networks: Solution, volumes: Solution) -> np.ndarray:
    """Return the relative L2 difference at the faces, (1, S), or (0, S) without membranes."""
    faces = np.flatnonzero(~np.any(volumes.operator.graph.capacity > 0, axis=(0, 1)))
    if not faces.size:
        return np.zeros((0, volumes.operator.graph.shape[1]))
    steps = np.asarray(volumes.t_s)[1:]
    return _apart(networks.sample(steps), np.array(volumes.march.u)[1:], {"membranes": faces})


def _means(u: np.ndarray, nodes: dict[str, np.ndarray], solution: Solution) -> dict[str, np.ndarray]:
    """Return the mean of each medium, shape (time, S)."""
    capacity = solution.operator.graph.capacity[0]
    return {k: (u[:, 0][..., at] * capacity[:, at]).sum(-1) / capacity[:, at].sum(-1) for k, at in nodes.items()}


def _apart(a: np.ndarray, b: np.ndarray, nodes: dict[str, np.ndarray]) -> np.ndarray:
    """Return the relative L2 difference (medium, S) of states (time, 1, S, N)."""
    rows = []
    for where in nodes.values():
        miss, size = ((x[:, 0][..., where] ** 2).sum((0, 2)) for x in (a - b, b))
        rows.append(np.sqrt(np.divide(miss, size, out=np.full_like(miss, np.nan), where=size > 0)))
    return np.array(rows)
