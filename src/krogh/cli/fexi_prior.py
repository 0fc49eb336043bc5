"""Read from the command line what estimators take, those that learn above all, and refuse what does not go together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from krogh.errors import UsageError

if TYPE_CHECKING:
    from krogh.fexi.interface import SignalModel
    from krogh.fexi.learned.checkpoint import Checkpoint
    from krogh.fexi.protocol import Protocol

__all__ = [
    "check_estimator",
    "check_intervals",
    "check_network",
    "learned_settings",
    "read_network",
    "smooth_length",
]

_LONGEST_M = 0.1


def check_estimator(name: str) -> None:
    """Refuse an unknown estimator, and the one of regions.

    Raises
    ------
    UsageError
        Saying what to give.
    """
    from krogh.fexi.estimators import get_estimator

    if name == "pooled":
        raise UsageError(
            "--estimator", got="pooled", expected="nlls, rician, nlls27 or a learned one",
            hint="regions are always pooled; give --roi",
        )  # fmt: skip
    get_estimator(name)


def check_intervals(estimator: str, model: str, *, intervals: bool) -> None:
    """Refuse profile intervals of voxels where there are none.

    Raises
    ------
    UsageError
        Saying what has them.
    """
    if intervals and (estimator != "nlls" or model != "axr"):
        raise UsageError("--intervals", got=f"--estimator {estimator} --model {model}", expected="--estimator nlls --model axr")


def check_network(network: Checkpoint, estimator: str, model: SignalModel, protocol: Protocol) -> None:
    """Refuse a network for another model or protocol, before any scan is read.

    Raises
    ------
    UsageError
        Naming what differs.
    """
    import numpy as np

    from krogh.fexi.learned.sampling import Signals

    network.check(estimator, Signals.of(model, protocol, np.ones((1, protocol.n_volumes)), np.ones(1), None))


def smooth_length(smooth: str | None, estimator: str, prior: str) -> float | None:
    """Return the length [m] over which neighbours are smoothed, or None.

    Raises
    ------
    UsageError
        If it is no length, or goes with another estimator or a given prior.
    """
    from krogh.fexi.estimators import SMOOTHING
    from krogh.units import parse_quantity

    if smooth is None:
        return None
    length = parse_quantity(smooth, "length", where="--smooth")
    if not 0 < length <= _LONGEST_M:
        raise UsageError("--smooth", got=smooth, expected="a length > 0, up to 100 mm, with its unit, e.g. '6 mm'")
    if estimator not in SMOOTHING:
        raise UsageError("--smooth", got=f"--estimator {estimator}", expected=f"--estimator {' or '.join(SMOOTHING)}")
    if prior != "scan":
        raise UsageError("--smooth", got="also --prior", expected="the prior that is learned from the scan")
    return length


def learned_settings(estimator: str, model: SignalModel, prior: str, labels: Path | None, seed: int | None) -> dict[str, Any]:
    """Return the settings of a learned estimator; a setting that would do nothing is refused."""
    from krogh.fexi.estimators import NETWORKS

    for name, given, users in (
        ("--prior", prior != "scan", ("eb", "hbayes")), ("--labels", labels is not None, ("eb", "hbayes")),
        ("--seed", seed is not None, NETWORKS),
    ):  # fmt: skip
        if given and estimator not in users:
            raise UsageError(name, got=f"--estimator {estimator}", expected=f"--estimator {' or '.join(users)}")
    settings: dict[str, Any] = {} if seed is None else {"seed": seed}
    if prior in ("scan", "uniform"):
        return settings if prior == "scan" else {**settings, "prior": prior}
    path = Path(prior)
    if not path.is_file():
        raise UsageError("--prior", got=repr(prior), expected="scan, uniform, or the prior.json of a fit")
    from krogh.io.fexi_prior import read_priors

    priors = read_priors(path, model)
    if labels is None and set(priors) != {0}:
        raise UsageError("--prior", got=f"priors of the tissue labels {', '.join(map(str, priors))}", expected="also --labels")
    return {**settings, "prior": next(iter(priors.values())) if set(priors) == {0} else priors}


def read_network(weights: Path | None, estimator: str, seed: int | None) -> dict[str, Any]:
    """Return the setting that a trained network is; nothing without one.

    Raises
    ------
    UsageError, InputError
        If it is of another estimator, comes with a seed, or is no network.
    """
    if weights is None:
        return {}
    if seed is not None:
        raise UsageError("--seed", got="also --weights", expected="one of them", hint="a network that is trained draws nothing")
    from krogh.io.weights import read_weights

    found = read_weights(weights)
    if found.estimator != estimator:
        raise UsageError("--weights", got=f"a network of {found.estimator}", expected=f"--estimator {found.estimator}")
    return {"weights": found}
