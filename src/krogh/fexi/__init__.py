"""Measure how fast water crosses the barrier from FEXI diffusion MRI."""

from __future__ import annotations

import importlib
from typing import Any

_LAZY = {
    "Estimate": "krogh.fexi.interface",
    "Flag": "krogh.fexi.interface",
    "SignalModel": "krogh.fexi.interface",
    "Protocol": "krogh.fexi.protocol",
    "preset": "krogh.fexi.presets",
    "get_model": "krogh.fexi.models",
    "get_estimator": "krogh.fexi.estimators",
    "fit": "krogh.fexi.fitting",
    "exchange_maps": "krogh.fexi.derived",
    "crlb": "krogh.fexi.precision",
    "search_design": "krogh.fexi.design",
    "benchmark": "krogh.fexi.benchmark",
}

__all__ = sorted(_LAZY)


def __getattr__(name: str) -> Any:
    """Load the public names on first use."""
    if name not in _LAZY:
        raise AttributeError(f"module 'krogh.fexi' has no attribute {name!r}")
    module = importlib.import_module(_LAZY[name])
    return module if name == "benchmark" else getattr(module, name)


def __dir__() -> list[str]:
    return list(__all__)
