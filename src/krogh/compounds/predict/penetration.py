"""Predict logBB and the chance that a compound is called BBB+ from structure, trained on the cleaned B3DB.

Both are statements about a literature compilation of total brain over blood at unstated times: binding and pumps are in them.
Neither is a permeability, and neither says how much free drug reaches a neuron.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from krogh.compounds.predict.kernel import BITS, Features, KernelModel, fingerprint_features

__all__ = ["NOISE_CLASS", "NOISE_LOGBB", "Penetration", "load_models", "pack_model", "predict_penetration", "probability"]

NOISE_LOGBB, NOISE_CLASS = 0.3, 0.5
_LEAST_SIMILAR = 0.3
_ARRAYS = ("shift", "width", "centre", "scale", "weight")


@dataclass(frozen=True, slots=True)
class Penetration:
    """Hold what B3DB's structures say about one structure.

    Attributes
    ----------
    probability : float
        Chance of the label BBB+ (0.01 to 0.99).
    log_bb, log_bb_low, log_bb_high : float
        log10 of total brain over blood and the ends of its 90 % interval.
    similarity : float
        Largest Tanimoto similarity to a structure of the classification set; below 0.3 the prediction rests on nothing like it.
    """

    probability: float
    log_bb: float
    log_bb_low: float
    log_bb_high: float
    similarity: float

    @property
    def inside(self) -> bool:
        """Return whether there is a similar training structure."""
        return self.similarity >= _LEAST_SIMILAR


def probability(score: np.ndarray) -> np.ndarray:
    """Return the score of the classifier (regression on 0 and 1) as a probability, kept off the ends."""
    return np.clip(score, 0.01, 0.99)


def pack_model(model: KernelModel, spread: float, prefix: str) -> dict[str, np.ndarray]:
    """Return the arrays of a model for a safetensors file."""
    arrays = {f"{prefix}.{k}": np.asarray(getattr(model, k), dtype=np.float64) for k in _ARRAYS}
    scalars = np.array([model.offset, model.noise, model.factor, spread])
    found = {**arrays, f"{prefix}.x": model.x, f"{prefix}.bits": np.packbits(model.bits, axis=1), f"{prefix}.scalars": scalars}
    # the format writes memory as it lies: columns first would come back scrambled
    return {name: np.ascontiguousarray(array) for name, array in found.items()}


def _unpack(arrays: dict[str, np.ndarray], prefix: str, names: tuple[str, ...]) -> tuple[KernelModel, float]:
    offset, noise, factor, spread = (float(v) for v in arrays[f"{prefix}.scalars"])
    bits = np.unpackbits(arrays[f"{prefix}.bits"], axis=1, count=2 * BITS)
    held = {k: arrays[f"{prefix}.{k}"] for k in _ARRAYS}
    return KernelModel(names=names, x=arrays[f"{prefix}.x"], bits=bits, offset=offset, noise=noise, factor=factor, **held), spread


@cache
def load_models() -> tuple[KernelModel, KernelModel, float]:
    """Return (classifier, logBB model, spread of logBB) from the package's trained file (``bench/train_predictors.py``)."""
    import json

    from safetensors.numpy import load

    folder = resources.files("krogh.compounds.predict") / "data"
    arrays = load((folder / "penetration.safetensors").read_bytes())
    names = tuple(json.loads((folder / "penetration.json").read_text(encoding="utf-8"))["descriptors"])
    classifier, _ = _unpack(arrays, "class", names)
    log_bb, spread = _unpack(arrays, "logbb", names)
    return classifier, log_bb, spread


def predict_penetration(molecules: Sequence[Any] | Features) -> list[Penetration]:
    """Return the predictions for RDKit molecules (neutral parents), in order."""
    features = molecules if isinstance(molecules, Features) else fingerprint_features(molecules)
    if not len(features.bits):
        return []
    classifier, log_bb, spread = load_models()
    chance, similarity = classifier.predict(features)
    chance = probability(chance)
    level, _ = log_bb.predict(features)
    half = log_bb.factor * np.concatenate(
        [log_bb.standard_deviation(features.take(slice(i, i + 512)), spread) for i in range(0, len(level), 512)]
    )
    return [
        Penetration(float(c), float(v), float(v - h), float(v + h), float(s))
        for c, v, h, s in zip(chance, level, half, similarity, strict=True)
    ]
