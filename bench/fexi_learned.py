"""Learned FEXI estimators: error beside the oracle, coverage and speed, on two tissues and on the origin set.

``run()`` takes about five minutes of processor time.
"""

from __future__ import annotations

import time

import numpy as np
import torch

from krogh.fexi.benchmark import TestSet, draw_test_set
from krogh.fexi.benchmark_tissues import draw_two_tissues, true_posterior
from krogh.fexi.estimators import get_estimator
from krogh.fexi.models.axr import AxrModel
from krogh.fexi.presets import preset


def _one(data: TestSet, name: str, oracle: np.ndarray) -> None:
    model = AxrModel(bounds=dict(zip(AxrModel().parameter_names, data.prior.tolist(), strict=True)))
    known = {"noise_sd": 1 / data.snr, "s0": "known"}
    fit = get_estimator(name)
    start = time.process_time()
    found = fit(model, preset("human-bbb"), data.signals, **known)
    used = time.process_time() - start
    error, quantiles = found.theta() - data.truth, found.extra["quantiles"]
    rmse = np.sqrt(np.square(error).mean(axis=0))
    ratio = rmse / np.sqrt(np.square(oracle - data.truth).mean(axis=0))
    inside = [(quantiles[:, :, a] < data.truth) & (data.truth < quantiles[:, :, b]) for a, b in ((2, 4), (1, 5), (0, 6))]
    cover = "; ".join(" ".join(f"{100 * c:.1f}" for c in each) for each in np.mean(inside, axis=1).T)
    print(
        f"fexi  {name:6s} {data.words[:11]} SNR {data.snr:g} seed {data.seed}: RMSE / oracle of ADC, sigma, AXR "
        f"{' '.join(f'{r:.3f}' for r in ratio)}; AXR RMSE {rmse[2]:.3f}, mean error {error[:, 2].mean():+.3f}; "
        f"50/80/95 % intervals of ADC, sigma, AXR cover {cover} %; "
        f"{used:.0f} CPU s for {error.shape[0]:,} voxels, training included",
        flush=True,
    )


def _speed(data: TestSet) -> None:
    """Print how many importance-corrected posteriors two threads give per second, and their effective samples."""
    fit, model = get_estimator("hbayes"), AxrModel()
    weights = fit(model, data.protocol, data.signals[:2000], noise_sd=1 / data.snr, max_components=1).extra["weights"]
    start, cpu = time.perf_counter(), time.process_time()
    found = fit(model, data.protocol, data.signals, noise_sd=1 / data.snr, weights=weights, threads=2)
    wall, cpu, effective = time.perf_counter() - start, time.process_time() - cpu, found.extra["effective"]
    n = data.signals.shape[0]
    print(
        f"fexi  hbayes, importance-corrected posterior: {n / wall:,.0f} voxels/s on two threads (goal 20,000), {n / cpu:,.0f} "
        f"per CPU second; effective samples of 128: median {np.median(effective):.0f}, 1 % have fewer than "
        f"{np.quantile(effective, 0.01):.0f}",
        flush=True,
    )


def _seeds(n: int = 2000) -> None:
    """Print the spread of the maps of five networks beside the posterior SD."""
    data = draw_two_tissues(n, snr=50.0)
    prior = get_estimator("eb")(AxrModel(), data.protocol, data.signals, noise_sd=0.02, max_components=1).extra["predictive"]
    fits = [
        get_estimator("hbayes")(AxrModel(), data.protocol, data.signals, noise_sd=0.02, prior=prior, seed=s) for s in range(5)
    ]
    for name, sd in fits[0].sd.items():
        ratio = np.std([f.parameters[name] for f in fits], axis=0, ddof=1) / sd
        print(f"fexi  hbayes five seeds, {name}: spread of the maps / posterior SD {np.sqrt(np.mean(ratio**2)):.3f} (goal < 0.1)")


def run() -> None:
    """Print one line per estimator and test set."""
    torch.set_num_threads(1)
    for snr, seed in ((50.0, 0), (50.0, 1), (50.0, 2), (200.0, 0)):
        data = draw_two_tissues(10_000, snr=snr, seed=seed)
        oracle = true_posterior(data, data.signals).mean
        for name in ("eb", "hbayes"):
            _one(data, name, oracle)
    _speed(draw_two_tissues(20_000, snr=50.0))
    _seeds()
    data = draw_test_set(10_000)
    model = AxrModel(bounds=dict(zip(AxrModel().parameter_names, data.prior.tolist(), strict=True)))
    floor = get_estimator("eb")(model, data.protocol, data.signals, noise_sd=0.02, s0="known", prior="uniform").theta()
    for name in ("eb", "hbayes"):
        _one(data, name, floor)


if __name__ == "__main__":
    run()
