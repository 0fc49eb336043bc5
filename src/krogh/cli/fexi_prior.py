"""Read from the command line what the estimators that learn a prior from the scan take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from krogh.errors import UsageError

if TYPE_CHECKING:
    from krogh.fexi.interface import SignalModel

__all__ = ["learned_settings", "smooth_length"]

_LONGEST_M = 0.1


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
