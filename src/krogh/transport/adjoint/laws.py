"""Differentiate a flux law by its own constants, exactly: complex steps through the law itself.

A law uses only arithmetic, so it can be evaluated at ``constant + i h``; the imaginary part over h is the derivative, without
the round-off of a difference (Squire & Trapp 1998, doi:10.1137/S003614459631241X).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np

from krogh.transport.adjoint.system import Coefficients, reduce_to

__all__ = ["constants", "pull_law", "with_constant"]

_STEP = 1e-20
_ENDLESS = 1e200


def constants(law: Any, prefix: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Yield (name, values) of the numbers of a law; those of a law around a law as ``route.name``."""
    for field in fields(law):
        value = getattr(law, field.name)
        if field.name in ("name", "product"):
            continue
        if field.name == "route":
            yield from constants(value, prefix + "route.")
        else:
            yield prefix + field.name, np.asarray(value, dtype=float)


def with_constant(law: Any, name: str, value: Any) -> Any:
    """Return `law` with another value for one of its :func:`constants`."""
    head, _, rest = name.partition(".")
    return replace(law, **{head: with_constant(getattr(law, head), rest, value) if rest else value})


def pull_law(
    law: Any, prefix: str, u_blood: np.ndarray, u_brain: np.ndarray, weight: np.ndarray, wanted: frozenset[str]
) -> Coefficients:
    """Return ``weight . d(net flux)/d(constant)`` for the wanted constants of a route.

    Parameters
    ----------
    u_blood, u_brain, weight : arrays (n, S, face)
        Concentrations on both sides and weights of the net flux; n states at once.
    """
    found = {}
    for name, value in constants(law):
        if prefix + name not in wanted:
            continue
        out = np.zeros(value.shape)
        bound = np.isfinite(value)  # an infinite constant (no binding) stays infinite
        h = _STEP * max(float(np.abs(value[bound]).max(initial=0.0)), 1e-30)
        several = value.ndim >= 2 and value.shape[1] > 1
        for s in range(value.shape[1] if several else 1):  # a species may change the flux of another
            own = bound & (np.arange(value.shape[1]).reshape(1, -1, *[1] * (value.ndim - 2)) == s) if several else bound
            moved = np.where(bound, value, _ENDLESS) + 1j * h * own
            inward, outward, _, _ = with_constant(law, name, moved).flux(u_blood, u_brain)
            slope = np.imag(inward - outward) / h * weight
            if several:
                kept = (value.shape[0], 1, *value.shape[2:])
                out[:, [s]] = reduce_to(kept, slope.sum(1, keepdims=True))
            else:
                out += reduce_to(value.shape, slope)
        found[prefix + name] = out
    return found
