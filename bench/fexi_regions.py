"""Do the intervals of regions hold the mean of their voxels? Many small regions, each with a tissue of its own, at SNR 50.

Two kinds. *Drawn from the hyperprior*: the intervals should hold what they say, whatever the number of voxels, and the ranks of
the truth be uniform (simulation-based calibration, Talts 2018, arXiv:1804.06788); the bounds are narrow enough that no signal
drowns. *Tissues*, which the method does not know: the mean ADC is drawn from 0.7 to 1.1 um2/ms, sigma from 0.12 to 0.35, AXR
from 1 to 6 1/s; voxels spread around them by 8, 18 and 10 to 40 %, evenly in half of the regions and normally in the other.
``run()`` takes about half an hour of processor time; ``drawn(64, 120, (0,))`` is a part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import kstest

from krogh.fexi.learned.hyperprior import WEIGHT_VOXELS, WIDTH_SD, WIDTH_SPREAD
from krogh.fexi.learned.prior import MixturePrior, to_u
from krogh.fexi.learned.regions import region_posterior
from krogh.fexi.learned.scan import prepare_scan
from krogh.fexi.models.axr import AxrModel
from krogh.fexi.noise import add_noise
from krogh.fexi.presets import preset

__all__ = ["LEVELS", "NARROW", "inside", "of_the_hyperprior", "ranks", "tissues"]

SNR, LEVELS, MARGIN = 50.0, (0.5, 0.8, 0.95), 0.125
WIDE, NARROW = AxrModel(), AxrModel(bounds={"adc_m2_s": (0.3e-9, 1.5e-9), "sigma": (0.0, 0.6)})
_PROTOCOL = preset("human-bbb")


def tissues(n: int, i: int, rng: np.random.Generator) -> np.ndarray:
    """Return the voxels of the `i`-th region of tissue [voxel, param]."""
    mean = np.array([rng.uniform(0.7e-9, 1.1e-9), rng.uniform(0.12, 0.35), rng.uniform(1.0, 6.0)])
    spread = mean * np.array([0.08, 0.18, rng.uniform(0.1, 0.4)])
    z = rng.uniform(-np.sqrt(3), np.sqrt(3), (n, 3)) if i % 2 == 0 else np.clip(rng.standard_normal((n, 3)), -2.4, 2.4)
    return np.asarray(mean + spread * z)


def prior_of_the_hyperprior(rng: np.random.Generator, *, even: bool = False) -> MixturePrior:
    """Return a prior drawn from the hyperprior: medians by the arcsine law as for regions, or evenly as for scans."""
    bounds = NARROW.bounds
    x = rng.random(3) if even else rng.beta(0.5, 0.5, 3)
    mean = to_u(bounds[:, 0] + np.ptp(bounds, axis=1) * x, bounds)
    sd = WIDTH_SD * np.exp(WIDTH_SPREAD * rng.standard_normal(3))
    while True:
        a, b, c = r = rng.uniform(-1, 1, 3)  # density det R, at most 1
        if rng.random() < 1 + 2 * a * b * c - r @ r:
            break
    cov = np.array([[1, a, b], [a, 1, c], [b, c, 1]]) * np.outer(sd, sd)
    weight = rng.dirichlet([WEIGHT_VOXELS] * 2)
    return MixturePrior(bounds, weight, mean[None], cov[None])


def of_the_hyperprior(n: int, i: int, rng: np.random.Generator) -> np.ndarray:
    """Return the voxels of a region whose prior is drawn from the hyperprior [voxel, param]."""
    return prior_of_the_hyperprior(rng).draw(n, rng)


def ranks(
    n_voxels: int, n_regions: int, seed: int, draw: Callable[[int, int, np.random.Generator], np.ndarray], model: AxrModel
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of regions of `n_voxels` and the posterior probability below it, both [region, param]."""
    rng = np.random.default_rng([seed, n_voxels])
    truth = np.stack([draw(n_voxels, i, rng) for i in range(n_regions)])
    signals = add_noise(model.shape(truth.reshape(-1, 3), _PROTOCOL), 1 / SNR, rng)
    scan = prepare_scan(model, _PROTOCOL, signals, 1 / SNR, "per-series")
    grid, out = scan.dictionary(), np.empty((n_regions, 3))
    for i in range(n_regions):
        rows = np.arange(i * n_voxels, (i + 1) * n_voxels)
        found = region_posterior(model, _PROTOCOL, scan.problem(grid, rows), signals[rows])
        out[i] = found.cdf(truth[i].mean(axis=0))
    return truth.mean(axis=1), out


def known_ranks(n_voxels: int, n_regions: int, seed: int) -> np.ndarray:
    """Return the same ranks where the prior of every region, drawn from the hyperprior, is known: what the sums alone do."""
    rng = np.random.default_rng([seed, n_voxels, 1])
    priors = [prior_of_the_hyperprior(rng) for _ in range(n_regions)]
    truth = np.stack([g.draw(n_voxels, rng) for g in priors])
    signals = add_noise(NARROW.shape(truth.reshape(-1, 3), _PROTOCOL), 1 / SNR, rng)
    scan = prepare_scan(NARROW, _PROTOCOL, signals, 1 / SNR, "per-series")
    grid, out = scan.dictionary(), np.empty((n_regions, 3))
    for i, prior in enumerate(priors):
        rows = np.arange(i * n_voxels, (i + 1) * n_voxels)
        out[i] = region_posterior(NARROW, _PROTOCOL, scan.problem(grid, rows), signals[rows], prior=prior).cdf(
            truth[i].mean(axis=0)
        )
    return out


def inside(rank: np.ndarray) -> np.ndarray:
    """Return the share of regions whose interval holds the mean [param, level]."""
    return np.stack([(np.abs(rank - 0.5) < level / 2).mean(axis=0) for level in LEVELS], axis=1)


def _print(name: str, rank: np.ndarray) -> None:
    error = " ".join(f"{100 * np.sqrt(c * (1 - c) / len(rank)):.1f}" for c in LEVELS)
    words = "; ".join(
        f"{p} {' '.join(f'{100 * c:.1f}' for c in share)} (ranks uniform: p {kstest(rank[:, j], 'uniform').pvalue:.2g})"
        for j, (p, share) in enumerate(zip(("ADC", "sigma", "AXR"), inside(rank), strict=True))
    )
    print(
        f"FEXI regions, {len(rank)} {name}: 50/80/95 % intervals hold the mean in {words} %; one standard error {error}",
        flush=True,
    )


def of_tissue(n_voxels: int = 64, n_regions: int = 160) -> None:
    """Print the share of regions of tissue whose interval holds the mean, its standard error, and how uniform the ranks are."""
    _print(f"tissues of {n_voxels} voxels", ranks(n_voxels, n_regions, 0, tissues, WIDE)[1])


def known(n_voxels: int = 64, n_regions: int = 2000) -> None:
    """Print the same of regions drawn from the hyperprior whose prior is known."""
    _print(f"of {n_voxels} voxels drawn from the hyperprior, their prior known", known_ranks(n_voxels, n_regions, 0))


def drawn(n_voxels: int = 64, n_regions: int = 240, seeds: Sequence[int] = (0, 1)) -> None:
    """Print the same of regions drawn from the hyperprior with each seed, and apart for those near a bound."""
    mean, rank = map(np.concatenate, zip(*(ranks(n_voxels, n_regions, s, of_the_hyperprior, NARROW) for s in seeds), strict=True))
    _print(f"of {n_voxels} voxels drawn from the hyperprior", rank)
    x = (mean - NARROW.bounds[:, 0]) / np.ptp(NARROW.bounds, axis=1)
    within = np.all((x > MARGIN) & (x < 1 - MARGIN), axis=1)
    _print("of these, further from all bounds than an eighth of the width", rank[within])
    _print("of these, nearer to a bound", rank[~within])


def run() -> None:
    """Print these for regions of 64 and of 256 voxels."""
    known()
    of_tissue()
    drawn()
    of_tissue(256, 80)
    drawn(256, 80, seeds=(0,))


if __name__ == "__main__":
    run()
