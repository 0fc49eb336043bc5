"""Simulate how drugs cross the blood-brain barrier and measure how fast water does.

Research software: not for diagnosis or dosing.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_LAZY = {
    "infer": ("krogh.result_infer", "infer"),
    "simulate": ("krogh.result", "simulate"),
    "Compound": ("krogh.compounds", "Compound"),
    "sensitivity": ("krogh.uncertainty", "sensitivity"),
    "compound": ("krogh.compounds", "get_compound"),
    "fexi": ("krogh.fexi", None),
}

__all__ = ["Compound", "__version__", "compound", "fexi", "infer", "sensitivity", "simulate"]


def __getattr__(name: str) -> Any:
    """Load the public names on first use, so that ``import krogh`` stays fast."""
    if name not in _LAZY:
        raise AttributeError(f"module 'krogh' has no attribute {name!r}")
    module, attribute = _LAZY[name]
    loaded = importlib.import_module(module)
    value = loaded if attribute is None else getattr(loaded, attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
