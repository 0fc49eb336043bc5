"""Write the priors of a fit as JSON and read them back, for another fit or a calibration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from krogh.errors import InputError
from krogh.fexi.interface import SignalModel
from krogh.fexi.learned.prior import MixturePrior
from krogh.io.fexi_protocol import read_text
from krogh.io.provenance import write_json

__all__ = ["read_priors", "write_priors"]


def write_priors(path: Path, priors: Mapping[int, MixturePrior], model: SignalModel) -> None:
    """Write `priors`, by tissue label (0: all), in SI units and logit coordinates."""
    content = {
        "Description": "Uniform background, then Gaussians of u = ln(x / (1 - x)), x: place within bounds",
        "Model": model.name,
        "Parameters": list(model.parameter_names),
        "Priors": {str(label): prior.as_dict() for label, prior in priors.items()},
    }
    write_json(path, content)


def read_priors(path: Path, model: SignalModel) -> dict[int, MixturePrior]:
    """Return the priors of a file of :func:`write_priors`.

    Raises
    ------
    InputError
        If the file is none, or is for other parameters or bounds.
    """
    try:
        content = json.loads(read_text(path))
        names = list(content["Parameters"])
        priors = {int(label): MixturePrior.from_dict(entry) for label, entry in content["Priors"].items()}
        sound = bool(priors) and all(_sound(p) for p in priors.values())
    except (ValueError, KeyError, TypeError, AttributeError, np.linalg.LinAlgError):
        names, sound, priors = [], False, {}
    if not sound:
        raise InputError(path.name, got="no prior", expected="the prior.json of a fit with --estimator eb or hbayes")
    same = names == list(model.parameter_names)
    if not same or not all(np.allclose(p.bounds, model.bounds, rtol=1e-9) for p in priors.values()):
        raise InputError(
            path.name, got=f"a prior of {', '.join(names)}" + (" within other bounds" if same else ""),
            expected=f"{', '.join(model.parameter_names)} within the bounds of this fit",
            hint="give the same --model and --bound",
        )  # fmt: skip
    return priors


def _sound(prior: MixturePrior) -> bool:
    """Say whether the numbers are a distribution."""
    n, n_par = prior.weight.size - 1, prior.bounds.shape[0]
    if prior.bounds.shape != (n_par, 2) or prior.mean.shape != (n, n_par) or prior.cov.shape != (n, n_par, n_par):
        return False
    finite = all(np.isfinite(a).all() for a in (prior.bounds, prior.weight, prior.mean, prior.cov))
    if not finite or (prior.weight < 0).any() or abs(prior.weight.sum() - 1) > 1e-6:
        return False
    return all(np.allclose(c, c.T) and np.linalg.eigvalsh(c)[0] > 0 for c in prior.cov)
