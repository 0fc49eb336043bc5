"""Fit again by networks: a second opinion on what finite volumes found; and the usual joint loss, to see its bias."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from krogh.errors import ConvergenceError, KroghError
from krogh.inference.experiment import Experiment
from krogh.inference.fit import Fit, fit
from krogh.inference.joint import Joint, check_joint, joint_fit
from krogh.inference.networks import Networks, networks_of
from krogh.inference.parameters import Parameter
from krogh.inference.target import Target

__all__ = ["check_joint_of", "fit_by_networks", "joint_of"]

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


def check_joint_of(experiments: Mapping[str, Experiment], parameters: Sequence[Parameter], target: Target) -> None:
    """Refuse what no joint fit can have, before anything is fitted; raises InputError."""
    check_joint(networks_of(experiments, parameters, target.data), np.array([p.nominal for p in parameters]))


def joint_of(
    experiments: Mapping[str, Experiment], parameters: Sequence[Parameter], target: Target, found: Fit, weight: float
) -> tuple[Joint | None, str]:
    """Return the joint fit from `found`, and a sentence that says how far it went from the fit that solves the equations."""
    try:
        joint = joint_fit(networks_of(experiments, parameters, target.data), target, found.x, weight=weight)
    except KroghError as error:
        return None, f"no joint fit: {error}"
    moved: Any = ", ".join(
        f"{p.name} {shift:+.2g} SD" for p, shift in zip(parameters, (joint.x - found.x) / found.sd, strict=True)
    )
    return joint, (
        f"joint loss of data and equations (weight {weight:g}): {moved} from the fit that solves the equations. It is biased "
        "(theory/inference.md) and shown for comparison; the table holds the fit that solves them"
    )
