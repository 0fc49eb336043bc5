"""Train the predictors that the package carries and write their files; run it again when data or method change.

``python -m bench.train_predictors`` reads the shared data folder (``KROGH_DATA``, default ``../shared/data``) and needs RDKit.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from krogh.compounds.predict.b3db import clean_classification, clean_regression
from krogh.compounds.predict.kernel import fingerprint_features, fit_kernel
from krogh.compounds.predict.penetration import NOISE_CLASS, NOISE_LOGBB, pack_model
from krogh.compounds.predict.permeability import FEATURES, LINE
from krogh.compounds.predict.process import fit_process
from krogh.io.published import read_b3db, read_in_situ

DATA = Path(os.environ.get("KROGH_DATA", Path(__file__).parents[1] / ".." / "shared" / "data")) / "pharma"
TARGET = Path(__file__).parents[1] / "src" / "krogh" / "compounds" / "predict" / "data"


def train_permeability() -> None:
    """Write ``permeability.json``."""
    from krogh.validation.structure import permeability_rows

    rows = permeability_rows(read_in_situ(DATA))
    models = {}
    for basis, x in (("measured", rows.measured), ("calculated", rows.calculated)):
        process, loo = fit_process(x, rows.log10_ps, FEATURES, LINE)
        sd = process.predict(x)[1]
        models[basis] = {
            **process.as_record(), "n": len(rows.log10_ps), "rmse_loo": float(np.sqrt(np.mean((loo - rows.log10_ps) ** 2))),
            "largest_sd": float(np.sqrt(process.noise**2 + process.amplitude**2)), "sd_in_training": float(np.median(sd)),
        }  # fmt: skip
        print(basis, {k: v for k, v in models[basis].items() if isinstance(v, float)})
    record = {"source": "rat in situ perfusion, Smith 2024 table (petrov-aleks, BSD-3)", "unit": "log10 mL/s/g", "models": models}
    (TARGET / "permeability.json").write_text(json.dumps(record) + "\n", encoding="utf-8")


def train_penetration() -> None:
    """Write ``penetration.safetensors`` and ``penetration.json``."""
    labels, levels = clean_classification(read_b3db(DATA, "classification")), clean_regression(read_b3db(DATA, "regression"))
    arrays, names = {}, ()
    for prefix, clean, noise in (("class", labels, NOISE_CLASS), ("logbb", levels, NOISE_LOGBB)):
        features = fingerprint_features(clean.molecules)
        model, _, spread = fit_kernel(features, clean.y, noise=noise, calibrate=prefix == "logbb")
        arrays |= pack_model(model, spread, prefix)
        names = features.names
        print(prefix, len(clean.y), dict(clean.dropped), f"factor {model.factor:.3f}, spread {spread:.3f}")
    (TARGET / "penetration.safetensors").write_bytes(save(arrays))
    record = {"source": "B3DB (CC0), doi:10.1038/s41597-021-01069-5, cleaned", "descriptors": list(names)}
    (TARGET / "penetration.json").write_text(json.dumps(record) + "\n", encoding="utf-8")


if __name__ == "__main__":
    train_permeability()
    train_penetration()
