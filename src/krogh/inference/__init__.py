"""Infer parameters with intervals from observations, for any model that can predict; touches no files."""

from krogh.inference.fit import Fit, fit
from krogh.inference.observations import Observations
from krogh.inference.parameters import Parameter
from krogh.inference.target import Target

__all__ = ["Fit", "Observations", "Parameter", "Target", "fit"]
