"""Estimators by name, one file each, loaded on first use.

A new estimator is a new file with a function ``fit`` of the shape :class:`krogh.fexi.interface.Estimator` and one line here. One
that learns from the scan also has ``prepare``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from krogh.errors import UsageError, nearest

if TYPE_CHECKING:
    from krogh.fexi.interface import Estimator

__all__ = ["ESTIMATORS", "NETWORKS", "SMOOTHING", "check_smoothing", "get_estimator", "get_preparation"]

#: Name -> (module, what it does).
ESTIMATORS: dict[str, tuple[str, str]] = {
    "nlls": ("krogh.fexi.estimators.nlls", "least squares in the signal domain, global optimum, compiled"),
    "nlls27": ("krogh.fexi.estimators.nlls27", "least squares by L-BFGS-B from 27 starts (the classic baseline, slow)"),
    "rician": ("krogh.fexi.estimators.rician", "maximum likelihood under Rician noise"),
    "eb": ("krogh.fexi.estimators.eb", "posterior mean under a prior learned from the scan, on a dictionary (empirical Bayes)"),
    "hbayes": ("krogh.fexi.estimators.hbayes", "posterior mean under a prior learned from the scan, by a network and importance"),
    "npe": ("krogh.fexi.estimators.npe", "posterior mean from a flow trained on simulations of the protocol (amortised)"),
    "supervised": ("krogh.fexi.estimators.supervised", "network trained on simulated voxels with their tissues as labels"),
    "selfsup": ("krogh.fexi.estimators.selfsup", "self-supervised network of the origin experiment, trained on the scan"),
    "physics": ("krogh.fexi.estimators.physics", "network that predicts AXR alone; ADC, sigma and S0 follow from the model"),
    "pooled": ("krogh.fexi.estimators.pooled", "one set of parameters for all voxels of a region, joint likelihood"),
}
#: Those that train a network.
NETWORKS = ("hbayes", "npe", "supervised", "selfsup", "physics")
#: Those that can take the neighbours of a voxel into account.
SMOOTHING = ("eb", "hbayes")


def get_estimator(name: str) -> Estimator:
    """Return the function ``fit`` of estimator `name`.

    Raises
    ------
    UsageError
        If no estimator has that name.
    """
    if name not in ESTIMATORS:
        raise UsageError("estimator", got=repr(name), expected="a known name", hint=nearest(name, ESTIMATORS))
    estimator: Estimator = importlib.import_module(ESTIMATORS[name][0]).fit
    return estimator


def check_smoothing(name: str) -> None:
    """Refuse to smooth over neighbours with an estimator that cannot.

    Raises
    ------
    UsageError
        Naming those that can.
    """
    if name not in SMOOTHING:
        raise UsageError("smooth", got=f"estimator {name}", expected=" or ".join(SMOOTHING))


def get_preparation(name: str) -> Callable[..., dict[str, Any]] | None:
    """Return what estimator `name` learns from a whole scan before it is fitted in pieces, or None.

    It is called as ``prepare(model, protocol, signals, noise_sd=..., threads=..., progress=..., **settings)`` and returns
    settings of ``fit``.
    """
    get_estimator(name)
    preparation: Callable[..., dict[str, Any]] | None = getattr(importlib.import_module(ESTIMATORS[name][0]), "prepare", None)
    return preparation
