"""Fit networks and parameters together by the usual joint loss of data and equations, beside the fit that solves the equations.

With the weights w of all networks and the log-parameters x, the loss is::

    mean r_equations(w, x)^2 + weight s^2 mean (-2 log L(w))

All residuals r are in units of concentration over the peak; s, the root mean square of the errors of the data over their largest
value, puts the data into the same units: a weight of 1 is the textbook sum of two mean squares. It is minimised exactly, by
Gauss-Newton steps on the frozen networks of :mod:`krogh.pinn.repeat`. The equations are a penalty here and bend towards the data:
the estimates are biased, the more so the larger the weight; the fit that solves the equations is the limit of weight 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from krogh.errors import ConvergenceError, InputError
from krogh.inference.joint_loss import JointLoss
from krogh.inference.networks import Networks
from krogh.inference.target import Target
from krogh.pinn.threads import one_thread

__all__ = ["Joint", "check_joint", "joint_fit"]

_MOST, _SETTLED = 80, 1e-5
_LONGEST = 1.0


@dataclass(frozen=True)
class Joint:
    """Hold the minimum of a joint loss.

    Attributes
    ----------
    weight : float
        Of the data.
    x : array (P,)
        Log-parameters.
    residual : float
        Root mean square of the residuals of all equations at the minimum, in units of concentration over the peak.
    iterations : int
        Gauss-Newton steps.
    """

    weight: float
    x: np.ndarray
    residual: float
    iterations: int


def check_joint(networks: Networks, theta: np.ndarray) -> None:
    """Refuse parameters (P,) that change what a layer stores, and values that are no means of concentrations; trains nothing.

    Raises
    ------
    InputError
        Says what a joint fit can have.
    """
    if not all(part.repeats(theta) for part, _ in networks.parts):
        raise InputError(
            "joint loss", got="a parameter or a law that changes what a layer stores, or areas as data",
            expected="P, PS, Vmax, Km, leak, fu_plasma or plasma kinetics, and concentrations as data",
        )  # fmt: skip


def joint_fit(networks: Networks, target: Target, start: np.ndarray, *, weight: float = 1.0) -> Joint:
    """Minimise the joint loss from the equations' own solution at log-parameters `start` (P,).

    Parameters
    ----------
    networks : Networks
        Of the experiments of `target`; they are trained at `start` if they are not yet.
    target : Target
        Data, bounds and prior.
    start : array (P,)
        Log-parameters.
    weight : float
        Of the data against the equations; 1 is the textbook loss, 0 < weight <= 1e6.

    Raises
    ------
    InputError
        If a parameter changes the inside of a layer, or the weight is out of range.
    ConvergenceError
        If the minimum is not found.
    """
    if not 0 < weight <= 1e6:
        raise InputError("joint weight", got=weight, expected="above 0, at most 1e6", hint="1 is the textbook loss")
    theta = np.exp(start)
    check_joint(networks, theta)
    for part, _ in networks.parts:
        part.ready(theta)
    data = target.data
    largest = np.nanmax(np.append(np.nan_to_num(data.value), data.lloq))
    size = float(np.sqrt(np.mean(data.spread(target.predict(theta[None])[0]) ** 2))) / largest
    with one_thread():
        return _descend(JointLoss(networks, target, weight * size**2), np.array(start, dtype=float), weight)


def _descend(loss: JointLoss, x: np.ndarray, weight: float) -> Joint:
    """Take Levenberg-Marquardt steps of the parameters; the weights follow to their minimum at every step."""
    state = loss.settle(x, loss.begin(x))
    value, damping = loss.value(x, state), 1e-3
    for iteration in range(1, _MOST + 1):
        move = loss.step(x, state, damping)[0]
        longest = float(np.abs(move).max())
        there = np.clip(x + move * min(1.0, _LONGEST / max(longest, 1e-300)), loss.target.low, loss.target.high)
        trial = loss.settle(there, state)
        new = loss.value(there, trial)
        idle = abs(new - value) < _SETTLED * loss.share  # nothing that the data could see
        if np.isfinite(new) and new <= value:
            x, state, value, damping = there, trial, new, max(damping / 8, 1e-12)
        else:
            damping *= 8
        if idle and (damping < 1 or longest < _SETTLED):
            return Joint(weight, x, loss.misfit(x, state), iteration)
    raise ConvergenceError("joint loss", got=f"no minimum after {_MOST} steps", hint="raise the weight of the data")
