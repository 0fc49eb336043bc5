"""Say what networks are not made for, before any work."""

from __future__ import annotations

from typing import Any

from krogh.errors import InputError
from krogh.pinn.methods import METHODS
from krogh.transport.block.problem import BlockProblem
from krogh.transport.problem import Problem

__all__ = ["check_supported", "default_tol"]

_TOL, _SLAB_TOL, _BLOCK_TOL = 1e-3, 5e-4, 3e-4


def default_tol(problem: Any, method: str = "lsq") -> float:
    """Return what the certificate must reach where nothing is asked.

    By ``lsq`` a slab is within 1e-4 and a block within 5e-4 then (``bench/pinn_certificate.py``, ``bench/pinn_block.py``).
    """
    if isinstance(problem, BlockProblem):
        return _BLOCK_TOL
    return _SLAB_TOL if method == "lsq" and problem.capillary is None else _TOL


def check_supported(problem: Any, method: str) -> None:
    """Refuse a problem that no networks here can solve, or not by this method.

    Raises
    ------
    InputError
        With the feature, and what to do instead.
    """
    if method not in METHODS:
        raise InputError("method of the networks", got=method, expected=", ".join(METHODS))
    if not isinstance(problem, Problem | BlockProblem):
        raise InputError("solver pinn", got="geometry network", expected="slab, cylinder or block", hint="use --solver fv")
    block, cylinder = isinstance(problem, BlockProblem), problem.capillary is not None
    if isinstance(problem, BlockProblem) and problem.tissue is not None:
        raise InputError("solver pinn", got="uneven tissue", expected="layers that are the same all over", hint="use --solver fv")
    if method != "lsq" and (block or cylinder):
        got = f"{method}, a {'block' if block else 'cylinder'}"
        raise InputError("method of the networks", got=got, expected="lsq", hint="the others know the slab only")
