"""Compare estimators on one test set, honestly: bias against truth, spread from repeated noise, a constant guess and the floor.

The default set is the origin experiment: 10,000 voxels, ADC 0.1-4 um2/ms, sigma 0-0.8, AXR 0.1-20 1/s, all uniform, 8 volumes,
S0 = 1 known, Rician noise at SNR 50. It returns numbers ready to print or plot and does neither.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from krogh.fexi.benchmark_set import TestSet, rician
from krogh.fexi.benchmark_tissues import true_posterior
from krogh.fexi.estimators import ESTIMATORS, get_estimator, get_preparation
from krogh.fexi.interface import Flag, Progress
from krogh.fexi.models.axr import AxrModel
from krogh.fexi.precision import fisher, sd_from_fisher
from krogh.fexi.presets import preset
from krogh.fexi.protocol import Protocol

__all__ = ["ORIGIN_PRIOR", "BenchmarkResult", "Guess", "Score", "TestSet", "benchmark", "draw_test_set"]

FloatArray = NDArray[np.float64]
#: A function that returns theta [voxel, 3] (SI) from signals [voxel, volume].
Guess = Callable[[FloatArray], FloatArray]
#: Limits of the uniform prior of the origin experiment, SI (ADC, sigma, AXR).
ORIGIN_PRIOR = np.array([[0.1e-9, 4e-9], [0.0, 0.8], [0.1, 20.0]])
_NAMES = ("adc_m2_s", "sigma", "axr_per_s")
_BINS = 12


@dataclass(frozen=True)
class Score:
    """Hold how one estimator did; arrays are [3] = (ADC [m2/s], sigma, AXR [1/s]) unless said otherwise.

    ``variance`` is the spread over repeated noise at a fixed truth, averaged over truths; ``mse_repeats`` = mean squared error
    on the same repeats, so that ``variance + mean squared bias at a truth = mse_repeats``. ``bias_curve`` is [3, bin, 3]: true
    value, mean error, SD of the error.
    """

    name: str
    mse: FloatArray
    bias: FloatArray
    variance: FloatArray
    mse_repeats: FloatArray
    correlation: FloatArray
    share_on_bound: float
    bias_curve: FloatArray
    estimates: FloatArray
    rows: NDArray[np.int64]
    seconds_per_voxel: float
    n_repeat_voxels: int
    n_repeats: int


@dataclass(frozen=True)
class BenchmarkResult:
    """Hold all scores and the reference lines of one test set.

    ``crlb_sd`` [3] is the median Cramer-Rao SD over the truths, ``population_variance`` [3] that of the truth (the MSE of the
    best constant). The score named "bayes" is the floor: no estimator can have a smaller MSE on this set.
    """

    test_set: TestSet
    scores: tuple[Score, ...]
    crlb_sd: FloatArray
    crlb_sd_voxels: FloatArray
    population_variance: FloatArray
    parameter_names: tuple[str, ...] = _NAMES

    def score(self, name: str) -> Score:
        """Return the score called `name`."""
        return next(s for s in self.scores if s.name == name)

    def slope(self, score: Score, j: int) -> float:
        """Return by how much estimate j rises, on average, when the truth rises by one: 1 without shrinkage, 0 of a constant."""
        centred = self.test_set.truth[score.rows, j] - self.test_set.truth[score.rows, j].mean()
        square = float(centred @ centred)
        return float(centred @ score.estimates[:, j]) / square if square > 0 else np.nan

    def curve(self, voxel: int, names: Iterable[str] = ("nlls", "bayes")) -> dict[str, FloatArray]:
        """Return ADC'(t_m) of one voxel: fine times, the truth, measured -ln(S_b/S_0)/b per series and each named fit."""
        p, t_max = self.test_set.protocol, self.test_set.protocol.mixing_time_s.max()
        times = np.linspace(0.0, 1.1 * t_max, 100)

        def recovery(theta: FloatArray) -> FloatArray:
            return np.asarray(theta[0] * (1 - theta[1] * np.exp(-theta[2] * times)))

        series = p.series_index
        measured = []
        for s in range(p.n_series):
            low, high = (np.flatnonzero(series == s)[np.argsort(p.b_s_m2[series == s])[i]] for i in (0, -1))
            ratio = np.log(self.test_set.signals[voxel, low] / self.test_set.signals[voxel, high])
            measured.append((p.mixing_time_s[low], ratio / (p.b_s_m2[high] - p.b_s_m2[low]), p.filter_b_s_m2[low]))
        out = {"mixing_time_s": times, "truth": recovery(self.test_set.truth[voxel]), "measured": np.array(measured)}
        for name in names:
            score = self.score(name)
            if voxel in score.rows:
                out[name] = recovery(score.estimates[np.flatnonzero(score.rows == voxel)[0]])
        return out


def draw_test_set(
    n: int = 10_000, *, snr: float = 50.0, seed: int = 0, prior: FloatArray = ORIGIN_PRIOR, protocol: Protocol | None = None
) -> TestSet:
    """Return `n` voxels drawn uniformly from `prior` [3, 2], S0 = 1, with Rician noise of SD 1/snr on every volume."""
    rng = np.random.default_rng([seed, 0])
    chosen = preset("human-bbb") if protocol is None else protocol
    truth = prior[:, 0] + np.ptp(prior, axis=1) * rng.random((n, 3))
    clean = AxrModel().shape(truth, chosen)
    return TestSet(truth, clean, rician(clean, 1 / snr, rng), chosen, prior, snr, seed)


def _estimator(name: str, data: TestSet, threads: int, given: Mapping[str, Any]) -> tuple[Guess, Callable[[FloatArray], float]]:
    """Return a guess and the share of voxels it leaves on a bound."""
    model = AxrModel(bounds=dict(zip(_NAMES, data.prior.tolist(), strict=True)))
    last: dict[str, float] = {}

    base, _, variant = name.partition(":")
    learn: Any = get_preparation(base) if base in ESTIMATORS and not variant else None
    settings: dict[str, Any] = {**given, **({"prior": variant} if variant else {})}

    def fitted(signals: FloatArray) -> FloatArray:
        run = get_estimator(base)
        common: dict[str, Any] = {"noise_sd": 1 / data.snr, "threads": threads, "s0": "known"}
        if learn is not None and signals.shape[0] == 1:  # nothing to learn from, nothing to compile
            return np.tile(data.prior.mean(axis=1), (1, 1))
        if learn is not None and "taught" not in last:  # repeats reuse what the set taught
            settings.update(learn(model, data.protocol, signals, **common, **settings))
            last["taught"] = 1.0
        estimate = run(model, data.protocol, signals, **common, snr_limit=0.0, **settings)
        last["share"] = float(np.mean(estimate.flag == Flag.ON_BOUND))
        return estimate.theta()

    def bayes(signals: FloatArray) -> FloatArray:
        from krogh.fexi._bayes import posterior_mean

        last["share"] = 0.0
        if data.density is not None:
            return true_posterior(data, signals).mean
        return posterior_mean(model, data.protocol, signals, prior=data.prior, noise_sd=1 / data.snr)[0]

    def constant(signals: FloatArray) -> FloatArray:
        last["share"] = 0.0
        return np.tile(data.prior.mean(axis=1) if data.density is None else data.truth.mean(axis=0), (signals.shape[0], 1))

    return {"bayes": bayes, "constant": constant}.get(name, fitted), lambda _: last.get("share", 0.0)


def _bias_curve(truth: FloatArray, error: FloatArray, prior: FloatArray) -> FloatArray:
    curve = np.full((3, _BINS, 3), np.nan)
    for p in range(3):
        edges = np.linspace(prior[p, 0], prior[p, 1], _BINS + 1)
        bin_of = np.clip(np.digitize(truth[:, p], edges) - 1, 0, _BINS - 1)
        for i in range(_BINS):
            here = error[bin_of == i, p]
            curve[p, i, 0] = 0.5 * (edges[i] + edges[i + 1])
            if here.size:
                curve[p, i, 1:] = here.mean(), here.std()
    return curve


def _score(
    name: str, guess: Guess, share: Callable[[FloatArray], float], data: TestSet, n: int, repeat: tuple[int, int]
) -> Score:
    rows = np.arange(n)
    guess(data.signals[:1])  # compile or load before timing
    start = time.process_time()
    estimates = guess(data.signals[rows])
    seconds = (time.process_time() - start) / n
    on_bound = share(estimates)
    error = estimates - data.truth[rows]
    some = rows[: repeat[0]]
    draws = np.stack([guess(data.noisy(some, r)) for r in range(repeat[1])])
    spread = np.square(draws - data.truth[some]).mean(axis=(0, 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.array(
            [np.corrcoef(estimates[:, p], data.truth[rows, p])[0, 1] if np.ptp(estimates[:, p]) else np.nan for p in range(3)]
        )
    return Score(
        name, np.square(error).mean(0), error.mean(0), draws.var(axis=0, ddof=1).mean(0), spread, r, on_bound,
        _bias_curve(data.truth[rows], error, data.span), estimates, rows, seconds, some.size, repeat[1],
    )  # fmt: skip


def benchmark(
    estimators: Iterable[str] = ("constant", "nlls", "rician", "nlls27", "bayes"),
    *,
    test_set: TestSet | None = None,
    others: Mapping[str, Guess] | None = None,
    limits: Mapping[str, int] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    n_repeat_voxels: int = 200,
    n_repeats: int = 20,
    threads: int = 1,
    progress: Progress | None = None,
) -> BenchmarkResult:
    """Run every estimator on one test set.

    Parameters
    ----------
    estimators : names
        Of :data:`krogh.fexi.estimators.ESTIMATORS` (voxel-wise), or "constant" (prior mean) or "bayes" (posterior mean under the
        true prior = floor). A learned one may name its prior: "eb:uniform" learns nothing.
    test_set : TestSet, optional
        Default: :func:`draw_test_set` with its defaults, the origin experiment.
    others : dict of functions, optional
        Further estimators: theta [voxel, 3] in SI from signals [voxel, volume].
    limits : dict, optional
        Largest number of voxels for slow estimators. Default: nlls27 100, bayes 4,000.
    options : dict of dict, optional
        Settings of an estimator by its name, e.g. ``{"npe": {"training": NpeSettings(rounds=5)}}``.
    n_repeat_voxels, n_repeats : int
        Truths and noise draws for the variance (nlls27: 10 truths, 4 draws).
    threads : int
        For the compiled estimators.

    Returns
    -------
    BenchmarkResult
        Every estimator works within the prior's limits; all see S0 = 1 and the noise SD.

    Notes
    -----
    "nlls" at SNR 50 reaches an AXR MSE of about 50 (1/s)^2, worse than the constant 33; the floor is 21.5. A much smaller
    number on such a set cannot come from these data.
    """
    data = draw_test_set() if test_set is None else test_set
    most = {"nlls27": 100, "bayes": 4000, **(limits or {})}
    jobs = {name: _estimator(name, data, threads, (options or {}).get(name, {})) for name in estimators}
    jobs |= {name: (guess, lambda _: 0.0) for name, guess in (others or {}).items()}
    scores = []
    for done, (name, (guess, share)) in enumerate(jobs.items()):
        if progress is not None:
            progress(done, len(jobs))
        n = min(most.get(name, data.truth.shape[0]), data.truth.shape[0])
        repeat = (10, 4) if name == "nlls27" else (min(n_repeat_voxels, n), n_repeats)
        scores.append(_score(name, guess, share, data, n, repeat))
    if progress is not None:
        progress(len(jobs), len(jobs))
    model, ones = AxrModel(), np.ones((data.truth.shape[0], data.protocol.n_series))
    weights = np.full(data.protocol.n_volumes, data.snr**2)
    information = fisher(model, data.protocol, data.truth, ones, weights, s0_free=False)
    sd, _ = sd_from_fisher(information, np.ptp(model.bounds, axis=1))
    return BenchmarkResult(data, tuple(scores), np.nanmedian(sd, axis=0), sd, data.truth.var(axis=0))
