"""Turn a trained window into plain values and tensors, and back, so that a run that was killed goes on from its last window.

Everything random comes from the seed and the number of the window: what is resumed ends with the answer of an unbroken run.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from krogh.errors import InputError
from krogh.pinn.basis import Columns
from krogh.pinn.deep import Deep

__all__ = ["Keep", "another_run", "fingerprint", "record_of", "restore", "tensors_of"]

Tensors = dict[str, np.ndarray]


class Keep(Protocol):
    """Store states by name, whole or not at all; where is not the business of the networks."""

    def save(self, name: str, record: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
        """Store one state."""
        ...

    def load(self, name: str) -> tuple[dict[str, Any], Tensors] | None:
        """Return one state, or None if it is not there."""
        ...


def _flattened(nested: Any) -> list[np.ndarray]:
    """Return the arrays of lists of lists in order."""
    return [nested] if isinstance(nested, np.ndarray) else [a for part in nested for a in _flattened(part)]


def _filled(nested: Any, arrays: list[np.ndarray]) -> Any:
    if isinstance(nested, np.ndarray):
        array = arrays.pop(0)
        if array.shape != nested.shape:
            raise ValueError(f"{array.shape} in place of {nested.shape}")
        return array
    return [_filled(part, arrays) for part in nested]


def fingerprint(*parts: Any) -> str:
    """Return a hash of everything that decides what a run ends with: a state is taken up by the same run only."""
    with np.printoptions(threshold=sys.maxsize, floatmode="unique"):  # every number of every array, to its last digit
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def another_run() -> InputError:
    """Return the refusal of a stored state that does not belong to this run."""
    return InputError("the stored training", got="one of another run or version", hint="begin anew with --overwrite")


def record_of(window: Any, certificate: float) -> dict[str, Any]:
    """Return when a window is, how large its networks are and how they were found, as plain values."""
    clock = window.clock
    return {
        "start_s": clock.start_s, "a_s": clock.a_s, "b_s": clock.b_s, "features": window.size.features,
        "certificate": certificate, "hidden": window.hidden, "newton": window.newton, "converged": window.converged,
    }  # fmt: skip


def tensors_of(window: Any) -> Tensors:
    """Return the levels and output weights of a window, and the hidden weights where they were trained."""
    out = {"level": window.level} | {f"output.{k:04d}": a for k, a in enumerate(_flattened(window.coefficients))}
    for name, network in _networks(window):
        out |= {f"{name}.{k}": part for k, part in enumerate(part for layer in network.weights for part in layer)}
    return out


def restore(window: Any, record: Mapping[str, Any], tensors: Tensors) -> None:
    """Put stored weights into a window that was drawn anew.

    Raises
    ------
    KeyError, ValueError
        If they are those of another window.
    """
    window.hidden, window.newton = int(record["hidden"]), int(record["newton"])
    window.converged = bool(record["converged"])
    if window.hidden:
        for s, rows in enumerate(window.rows):
            for i, r in enumerate(rows):
                window.put(s, i, _loaded(r.columns, f"hidden.{s}.{i}", tensors))
    outputs = [np.array(tensors[k]) for k in sorted(tensors) if k.startswith("output.")]
    if len(outputs) != len(_flattened(window.coefficients)):
        raise ValueError(f"{len(outputs)} networks")
    window.coefficients = _filled(window.coefficients, outputs)


def _networks(window: Any) -> list[tuple[str, Deep]]:
    if not window.hidden:
        return []
    return [
        (f"hidden.{s}.{i}.{f}", network)
        for s, rows in enumerate(window.rows)
        for i, r in enumerate(rows)
        for f, network in enumerate((r.columns.u, r.columns.q, *r.columns.pools))
    ]


def _loaded(columns: Columns, name: str, tensors: Tensors) -> Columns:
    found = []
    for f, network in enumerate((columns.u, columns.q, *columns.pools)):
        assert isinstance(network, Deep)
        parts = [np.array(tensors[f"{name}.{f}.{k}"]) for k in range(2 * len(network.weights))]
        found.append(replace(network, weights=tuple(zip(parts[::2], parts[1::2], strict=True))))
    return replace(columns, u=found[0], q=found[1], pools=tuple(found[2:]))
