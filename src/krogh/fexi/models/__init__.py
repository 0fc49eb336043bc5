"""Signal models by name, one file each."""

from __future__ import annotations

import importlib
from typing import Any

from krogh.errors import UsageError, nearest
from krogh.fexi.interface import SignalModel

__all__ = ["MODELS", "get_model"]

#: Name -> (module, class).
MODELS: dict[str, tuple[str, str]] = {
    "axr": ("krogh.fexi.models.axr", "AxrModel"),
    "2cm": ("krogh.fexi.models.two_compartment", "TwoCompartment"),
    "2cmr": ("krogh.fexi.models.two_compartment_relaxation", "TwoCompartmentRelaxation"),
}


def get_model(name: str, **inputs: Any) -> SignalModel:
    """Return model `name`; `inputs` are its fixed quantities (documented on the class).

    Raises
    ------
    UsageError
        If no model has that name, or an input is none of the model's.
    """
    if name not in MODELS:
        raise UsageError("model", got=repr(name), expected="a known name", hint=nearest(name, MODELS))
    module, attribute = MODELS[name]
    try:
        model: SignalModel = getattr(importlib.import_module(module), attribute)(**inputs)
    except TypeError as error:
        raise UsageError(f"model {name}", got=str(error), expected="the inputs of its class") from None
    return model
