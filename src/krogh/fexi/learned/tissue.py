"""Priors by name, for networks that are trained before there is a scan.

"uniform" is flat within the bounds of the model and knows nothing: it draws AXR to the middle of its range. "tissue" is an
assumption about brain at low filter b, wide on purpose.
"""

from __future__ import annotations

import numpy as np

from krogh.errors import UsageError, nearest
from krogh.fexi.interface import SignalModel
from krogh.fexi.learned.prior import MixturePrior, to_u, uniform_prior

__all__ = ["PRIORS", "named_prior"]

PRIORS = ("uniform", "tissue")
#: Parameter -> (median, factor of one SD) of a log-normal: f_i 1-8 %, D_e 0.6-1 um2/ms, k 0.5-8 1/s and the sigma that they
#: give at b = 250 s/mm2 (0.144 +- 0.066) are ranges used for brain at this filter; the shapes are assumed.
_TISSUE = {
    "adc_m2_s": (0.9e-9, 1.25), "sigma": (0.14, 1.6), "axr_per_s": (2.5, 2.0),
    "f_i": (0.04, 1.6), "d_e_m2_s": (0.8e-9, 1.2), "d_i_m2_s": (10e-9, 1.4), "k_per_s": (2.5, 2.0),
}  # fmt: skip
_BACKGROUND = 0.1


def named_prior(name: str, model: SignalModel) -> MixturePrior:
    """Return prior `name` for `model`; "tissue" keeps one tissue in ten uniform, so that odd voxels keep their own values.

    Raises
    ------
    UsageError
        If the name is unknown.
    """
    if name not in PRIORS:
        raise UsageError("prior", got=repr(name), expected="uniform, tissue or a JSON file", hint=nearest(name, PRIORS))
    if name == "uniform":
        return uniform_prior(model.bounds)
    rng = np.random.default_rng(250)
    columns = [median * factor ** rng.standard_normal(20_000) for median, factor in (_TISSUE[p] for p in model.parameter_names)]
    theta = np.stack(columns, axis=1)
    u = to_u(theta[((theta > model.bounds[:, 0]) & (theta < model.bounds[:, 1])).all(axis=1)], model.bounds)
    return MixturePrior(model.bounds, np.array([_BACKGROUND, 1 - _BACKGROUND]), u.mean(axis=0)[None], np.cov(u.T)[None])
