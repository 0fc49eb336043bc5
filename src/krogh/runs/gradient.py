"""Ask of a planned run what its result depends on: elasticities of a metric by every number of the problem."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from krogh.errors import InputError
from krogh.runs.config import SimulateConfig
from krogh.runs.simulate import Case
from krogh.transport.adjoint.parameters import Sensitivity, sensitivities
from krogh.transport.adjoint.run import Run

__all__ = ["METRICS", "GradientResult", "gradient"]

#: name -> (unit, metric of a medium and a species).
METRICS: dict[str, tuple[str, Callable[[Run, str, int], torch.Tensor]]] = {
    "kp_uu": ("1", lambda run, medium, s: run.kp_uu(medium, s)),
    "auc": ("mol s/m3", lambda run, medium, s: run.auc(medium, s)),
    "cmax": ("mol/m3", lambda run, medium, s: run.cmax(medium, s)),
    "final": ("mol/m3", lambda run, medium, s: run.mean(medium, s)[-1]),
}


@dataclass(frozen=True)
class GradientResult:
    """Hold a metric of one compound and what it depends on, the largest elasticity first."""

    compound: str
    metric: str
    medium: str
    unit: str
    value: float
    parameters: tuple[Sensitivity, ...]


def gradient(
    case: Case,
    config: SimulateConfig,
    *,
    metric: str = "kp_uu",
    medium: str = "interstitium",
    compound: str | None = None,
    progress: Callable[[float], None] | None = None,
) -> GradientResult:
    """Return a metric of a case and its elasticities by every number, for about the price of two runs.

    Parameters
    ----------
    case : Case
        Of :func:`krogh.runs.simulate.plan`.
    config : SimulateConfig
        Its settings; ``method`` and ``rtol`` are used.
    metric : str
        A key of :data:`METRICS`.
    medium : str
        Where: ``interstitium``, ``neuron`` ...
    compound : str, optional
        One of ``case.labels`` where there are several; the last one (a product) has a metric too. The first by default.

    Raises
    ------
    InputError
        If a name is unknown or the method has no adjoint.
    """
    if metric not in METRICS:
        raise InputError("metric", got=f"'{metric}'", expected=", ".join(METRICS))
    labels = [label.lower() for label in case.labels]
    wanted = (compound or case.labels[0]).lower()
    if wanted not in labels:
        raise InputError("compound of the metric", got=f"'{compound}'", expected=" or ".join(case.labels))
    unit, function = METRICS[metric]
    place = labels.index(wanted)
    value, found = sensitivities(
        case.problem, lambda run: function(run, medium, place), method=config.method, rtol=config.rtol, progress=progress
    )
    return GradientResult(case.labels[place], metric, medium, unit, value, tuple(found))
