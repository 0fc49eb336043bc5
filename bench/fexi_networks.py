"""FEXI networks on the origin set: error beside the floor, bias, coverage, training time, voxels per second.

``run()`` takes about three minutes of processor time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from krogh.fexi.benchmark import TestSet, draw_test_set
from krogh.fexi.estimators import get_estimator, get_preparation
from krogh.fexi.learned.conditions import Conditions
from krogh.fexi.learned.flow import NpeSettings
from krogh.fexi.learned.points import PointSettings
from krogh.fexi.learned.prior import uniform_prior
from krogh.fexi.learned.sampling import Signals
from krogh.fexi.learned.train_npe import train_npe
from krogh.fexi.learned.train_physics import PhysicsSettings
from krogh.fexi.models.axr import AxrModel

UNIT = np.array([1e9, 1.0, 1.0])
_WIDE = {"width": 32, "batch": 512, "learning_rate": 3e-3, "activation": "silu", "rounds": 100}
CASES: dict[str, tuple[str, Any]] = {
    "selfsup, as the origin (3 x 8, PReLU, MSE)": ("selfsup", PointSettings()),
    "selfsup, 3 x 64": ("selfsup", PointSettings(width=64, activation="elu", rounds=150)),
    "selfsup, Rician loss": ("selfsup", PointSettings(loss="rician", rounds=150)),
    "selfsup, AXR weighted 10": ("selfsup", PointSettings(parameter_weights=(1.0, 1.0, 10.0), rounds=150)),
    "supervised, true labels": ("supervised", PointSettings(**_WIDE)),
    "supervised, ML labels": ("supervised", PointSettings(labels="ml", **_WIDE)),
    "physics, flat prior": ("physics", PhysicsSettings(prior="flat")),
    "physics, prior of the scan": ("physics", PhysicsSettings()),
}


def _line(label: str, data: TestSet, floor: np.ndarray, found: Any, note: str) -> None:
    error = found.theta() - data.truth
    ratio = np.square(error).mean(axis=0) / np.square(floor - data.truth).mean(axis=0)
    mse = np.square(error * UNIT).mean(axis=0)
    cover = [np.mean((a < data.truth[:, j]) & (data.truth[:, j] < b)) for j, (a, b) in enumerate(found.interval.values())]
    centred = data.truth[:, 2] - data.truth[:, 2].mean()
    slope = centred @ found.theta()[:, 2] / (centred @ centred)
    print(
        f"fexi  {label}: MSE / floor of ADC, sigma, AXR {' '.join(f'{r:.3f}' for r in ratio)} (AXR MSE {mse[2]:.1f}); mean error "
        f"of AXR {error[:, 2].mean():+.2f} 1/s, rise per true 1/s {slope:.2f}; 95 % intervals cover "
        f"{' '.join(f'{100 * c:.1f}' for c in cover)} %; {note}",
        flush=True,
    )


def _rate(work: Callable[[], Any], n: int) -> float:
    work()
    start = time.process_time()
    work()
    return n / (time.process_time() - start)


def _speeds(model: AxrModel, data: TestSet, checkpoint: Any) -> str:
    from krogh.fexi.learned import train_npe as npe
    from krogh.fexi.learned import train_physics as physics
    from krogh.fexi.learned import train_points as points

    n = 200_000
    y = np.tile(data.signals, (n // data.signals.shape[0], 1))
    part = Signals.of(model, data.protocol, y, np.full(n, 1 / data.snr), np.ones((n, data.protocol.n_series)))
    x = part.inputs()
    built = {"npe": npe, "physics": physics}.get(checkpoint.estimator, points).build(checkpoint)
    forward = getattr(built, {"npe": "summarise", "physics": "probabilities"}.get(checkpoint.estimator, "estimate"))
    fit = get_estimator(checkpoint.estimator)
    alone = _rate(lambda: forward(x), n)
    whole = _rate(
        lambda: fit(model, data.protocol, data.signals, noise_sd=1 / data.snr, s0="known", weights=checkpoint),
        data.signals.shape[0],
    )
    return f"network {alone:,.0f} voxels/s, whole fit {whole:,.0f}"


def run() -> None:
    """Print one line per network."""
    torch.set_num_threads(1)
    data = draw_test_set(10_000)
    model = AxrModel(bounds=dict(zip(AxrModel().parameter_names, data.prior.tolist(), strict=True)))
    known: dict[str, Any] = {"noise_sd": 1 / data.snr, "s0": "known"}
    floor = get_estimator("eb")(model, data.protocol, data.signals, prior="uniform", **known).theta()
    for label, (name, settings) in CASES.items():
        prepare = get_preparation(name)
        assert prepare is not None
        start = time.process_time()
        weights = prepare(model, data.protocol, data.signals, training=settings, **known)["weights"]
        note = f"{weights.training['done']} epochs in {time.process_time() - start:.0f} CPU s; "
        found = get_estimator(name)(model, data.protocol, data.signals, weights=weights, **known)
        _line(label, data, floor, found, note + _speeds(model, data, weights))
    start = time.process_time()
    conditions = Conditions(model, data.protocol, uniform_prior(model.bounds), (20.0, 200.0), "known")
    weights = train_npe(conditions, settings=NpeSettings())
    note = f"trained for SNR 20 to 200, {weights.training['done']} rounds in {time.process_time() - start:.0f} CPU s; "
    fit = get_estimator("npe")
    _line("npe, summary", data, floor, fit(model, data.protocol, data.signals, weights=weights, **known),
          note + _speeds(model, data, weights))  # fmt: skip
    for n_samples in (64, 256):
        start = time.process_time()
        found = fit(model, data.protocol, data.signals, weights=weights, n_samples=n_samples, **known)
        rate, effective = 10_000 / (time.process_time() - start), found.extra["effective"]
        _line(f"npe, {n_samples} weighted samples", data, floor, found, f"{rate:,.0f} voxels/s; effective samples: median "
              f"{np.median(effective):.0f}, 1 % have fewer than {np.quantile(effective, 0.01):.0f}")  # fmt: skip


if __name__ == "__main__":
    run()
