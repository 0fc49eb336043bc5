"""Fit again by networks: a second opinion on what finite volumes found, from equations that share nothing with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from krogh.errors import ConvergenceError
from krogh.inference.fit import Fit, fit
from krogh.inference.networks import Networks
from krogh.inference.target import Target

__all__ = ["fit_by_networks"]

_ROUNDS = 3
_APART = 0.05


def fit_by_networks(networks: Networks, target: Target, volumes: Fit, tol: float, *, shift: float = 0.02) -> tuple[Fit, str]:
    """Return the fit by networks, from 2 % beside the end of finite volumes, and how far apart the two are.

    Networks that were trained beside the estimate are checked at it, and trained again there if their certificate misses `tol`.

    Raises
    ------
    ConvergenceError
        If the certificate stays above `tol`.
    """
    own = replace(target, predict=networks.predict, slopes=networks.slopes, step=1e-2)
    networks.train(np.exp(volumes.x))
    start = volumes.x + shift
    for _ in range(_ROUNDS):
        found = fit(own, start, scan=0)
        reached = networks.certificate(np.exp(found.x))
        if reached <= tol:
            break
        networks.train(np.exp(found.x))
        start = found.x
    else:
        raise ConvergenceError("pinn", got=f"certificate {reached:.1e} at the estimate", expected=f"at most {tol:.0e}",
                               hint="raise --tol, or use --solver fv")  # fmt: skip
    apart = float(np.max(np.abs(found.x - volumes.x) / volumes.sd))
    verdict = "" if apart < _APART else ": more than it should be; raise --cells, or lower --tol"
    return found, (
        f"estimates by networks; those of finite volumes are {apart:.1g} SD away{verdict}. Intervals, posterior and bands by "
        "finite volumes"
    )
