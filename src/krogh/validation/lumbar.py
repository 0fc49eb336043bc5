"""Read lumbar CSF off a simulation, as something that can be observed: what a human study measures in place of the brain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from krogh.barrier.member import prepare
from krogh.errors import InputError
from krogh.inference.experiment import MATRICES, Reader
from krogh.inference.parameters import Subject
from krogh.runs.metrics import uptake_permeability
from krogh.transport.problem import Solution
from krogh.validation.csf import follow_csf, human_csf

__all__ = ["READERS", "lumbar_csf"]

_GRID = 60


def lumbar_csf(solution: Solution, t_s: np.ndarray, subjects: Sequence[Subject]) -> np.ndarray:
    """Return the concentration in lumbar CSF (T, B): plasma and interstitium through :func:`krogh.validation.csf.follow_csf`.

    The plexus is taken to be as permeable per area as the barrier.

    Raises
    ------
    InputError
        If a subject is not human: of no other species is the chain of CSF known here.
    """
    grid = np.unique(np.concatenate([[0.0], t_s, float(np.max(t_s)) * np.linspace(0.0, 1.0, _GRID) ** 1.5]))
    free, interstitium = (MATRICES[m](solution, grid, subjects) for m in ("plasma free", "interstitium"))
    out = np.zeros((t_s.size, len(subjects)))
    for b, s in enumerate(subjects):
        if s.species != "human":
            raise InputError("matrix 'lumbar csf'", got=f"species {s.species}", expected="human")
        p = uptake_permeability(prepare(s.compound, s.physiology, s.state, method=s.method))
        flow = s.physiology.blood_flow_m3_s_kg.value / s.physiology.barrier_area_m2_kg.value
        lumbar = follow_csf(human_csf(), grid, free[:, b], interstitium[:, b], p * flow / (p + flow))[1]
        out[:, b] = np.interp(t_s, grid, lumbar)
    return out


#: What can be observed beside :data:`krogh.inference.experiment.MATRICES`.
READERS: Mapping[str, Reader] = {"lumbar csf": lumbar_csf}
