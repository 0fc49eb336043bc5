"""Measure ensembles: 1,000 samples of a slab, stacked, beside single runs: ``python -m bench sensitivity``."""

from __future__ import annotations

import time

from krogh.runs.config import build_config
from krogh.runs.simulate import plan
from krogh.runs.uncertainty.ensemble import EnsembleChunk, ensemble_chunk
from krogh.runs.uncertainty.run import plan_ensemble, run_ensemble

_SAMPLES, _ALONE = 1000, 20


def run() -> None:
    """Print processor time for a compound alone and for one with a product that competes."""
    for name in ("morphine", "levodopa"):
        config = build_config({}, (), {"compounds": [name], "duration": "8 h", "cells": 40})
        ensemble = plan_ensemble(plan(config)[0], config, samples=_SAMPLES)
        first = ensemble.chunks[0]
        ensemble_chunk(first)  # compiled
        start = time.process_time()
        for i in range(_ALONE):
            ensemble_chunk(EnsembleChunk(first.base, first.factors, i, first.rows[i : i + 1], first.curves))
        alone = (time.process_time() - start) / _ALONE
        start = time.process_time()
        summary = run_ensemble(ensemble)
        seconds = time.process_time() - start
        rows = len(ensemble.rows)
        print(f"{name}: {len(ensemble.factors)} inputs, {rows} simulations in {seconds:.1f} s of processor time, "
              f"{1e3 * seconds / rows:.1f} ms each; one by one {1e3 * alone:.0f} ms; failed {summary.failed}")  # fmt: skip
