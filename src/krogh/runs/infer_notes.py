"""Say what a reader of an inference should know: misfit, weak sensitivities, parameters that look alike, assumed kinetics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from krogh.inference.compartments import Chain
from krogh.inference.experiment import Experiment
from krogh.inference.fit import Fit, slope_error
from krogh.inference.identify import Identifiability
from krogh.inference.observations import Observations
from krogh.inference.parameters import Parameter
from krogh.inference.predictors import predictor
from krogh.inference.target import Target

__all__ = ["notes_of", "notes_of_fit"]

#: A law this far below its straight line is worth a word; beyond the second, another solver.
_BENT, _TOO_BENT = 0.01, 0.1


def notes_of(
    target: Target,
    found: Fit,
    judged: Identifiability,
    parameters: Sequence[Parameter],
    experiments: Mapping[str, Experiment],
    data: Observations,
) -> list[str]:
    """Return what a reader of the result should know before using it."""
    notes = [*_of_compartments(found, parameters, experiments, data), *notes_of_fit(target, found, judged, parameters)]
    method = next(iter(experiments.values())).subject.compound
    if any(t.status == "A" or (t.km_mol_m3 and t.km_mol_m3.status == "A") for t in method.transporters) and any(
        p.name.endswith("Vmax") for p in parameters
    ):
        notes.append("Vmax is estimated for an assumed Km: only their ratio means something far below Km")
    return notes


def notes_of_fit(target: Target, found: Fit, judged: Identifiability, parameters: Sequence[Parameter]) -> list[str]:
    """Return what fit and correlations say by themselves, whatever predicts."""
    notes = []
    if found.p_value < 0.01:
        notes.append(
            f"the data scatter more around the model than their errors say (chi2 {found.chi2:.0f} for {found.dof} degrees of "
            f"freedom, p {found.p_value:.1g}): errors too small or model wrong; the intervals are too narrow"
        )
    if found.p_value > 0.999:
        notes.append(f"the data scatter less than their errors say (chi2 {found.chi2:.2g} for {found.dof}): errors too large")
    if (off := slope_error(target, found)) > 1e-2:
        notes.append(f"sensitivities are known to {100 * off:.0f} % only: raise --cells or lower rtol")
    pairs = [(i, j) for i in range(len(parameters)) for j in range(i)]
    for i, j in pairs:
        r = judged.correlation[i, j]
        if abs(r) > 0.99 and judged.held[i] and judged.held[j]:
            notes.append(f"{parameters[j].name} and {parameters[i].name} are hardly told apart (correlation {r:.3f})")
    return notes


def _of_compartments(
    found: Fit, parameters: Sequence[Parameter], experiments: Mapping[str, Experiment], data: Observations
) -> list[str]:
    """Return how far compartments, whose laws are straight lines, may be trusted."""
    bent, law = 0.0, ""
    for part, _ in predictor(experiments, parameters, data).parts:
        if isinstance(part, Chain):
            bent, law = max((bent, law), part.saturation(np.exp(found.x)))
    if bent < _BENT:
        return []
    advice = ": use --solver fv" if bent > _TOO_BENT else ""
    return [f"compartments take every law as a straight line; {law} saturates by up to {100 * bent:.0f} % along the fit{advice}"]
