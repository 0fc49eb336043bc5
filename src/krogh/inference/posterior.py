"""Sample the posterior: an ensemble sampler (emcee) on a surrogate that is checked against the model on the samples.

emcee: Foreman-Mackey 2013 doi:10.1086/670067; it implements the affine-invariant moves of Goodman and Weare 2010.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from krogh.errors import ConvergenceError, UsageError
from krogh.inference.fit import Fit
from krogh.inference.profile import Profile
from krogh.inference.surrogate import Surrogate, build_surrogate
from krogh.inference.target import Target

__all__ = ["Posterior", "sample"]

_DEGREES = {1: (6, 9, 12), 2: (5, 8, 11), 3: (4, 6, 8), 4: (4, 5, 6)}
_LARGEST_ERROR = 0.1
_CHECKS = 32
_WALKERS, _BURN, _STEPS, _KEPT = 32, 500, 4000, 8000


@dataclass(frozen=True)
class Posterior:
    """Hold samples of the posterior.

    Attributes
    ----------
    names : tuple of str
        Parameters.
    x : array (R, P)
        Log-parameters.
    effective : float
        Independent samples that they are worth, of the worst parameter.
    r_hat : float
        Gelman-Rubin ratio of split walkers, of the worst parameter; 1 when mixed.
    surrogate_error : float
        Largest error of the log posterior on samples, against the model.
    degree : int
        Of the surrogate.
    edge : float
        Share of the samples near the reach of the surrogate.
    """

    names: tuple[str, ...]
    x: np.ndarray
    effective: float
    r_hat: float
    surrogate_error: float
    degree: int
    edge: float

    def interval(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return low, median and high of the natural parameters (P,)."""
        tail = (1 - level) / 2
        low, middle, high = np.exp(np.quantile(self.x, [tail, 0.5, 1 - tail], axis=0))
        return low, middle, high


def sample(target: Target, fit: Fit, profiles: Sequence[Profile], *, seed: int = 0) -> Posterior:
    """Return samples of the posterior under the prior of `target`, flat in the logarithms where it has none.

    Parameters
    ----------
    target, fit, profiles
        What was fitted; all profiles must be closed.
    seed : int
        Of the design of the surrogate and of the sampler.

    Raises
    ------
    UsageError
        If emcee is not installed (extra ``infer``).
    ConvergenceError
        If a profile is open (the posterior would be that of the bounds), or no surrogate is good enough.
    """
    try:
        import emcee  # noqa: F401
    except ImportError:
        raise UsageError("posterior", got="no emcee", expected="the extra 'infer'", hint="pip install 'krogh[infer]'") from None
    open_ = [p.name for p in profiles if not p.closed]
    if open_:
        raise ConvergenceError("posterior", got=f"no bound on {', '.join(open_)}", hint="give a --prior")
    if target.size not in _DEGREES:
        raise ConvergenceError("posterior", got=f"{target.size} parameters", expected=f"at most {max(_DEGREES)}")
    widths = [max(p.high - x, x - p.low) / (1.96 * sd) for p, x, sd in zip(profiles, fit.x, fit.sd, strict=True)]
    widen = float(np.clip(max(widths), 1.0, 3.0))
    error = np.inf
    for degree in _DEGREES[target.size]:
        surrogate = build_surrogate(target, fit, degree, widen=widen, seed=seed)
        chain = _chain(surrogate, fit, seed)
        flat = chain.reshape(-1, target.size)
        error = _error(surrogate, flat, seed)
        if error <= _LARGEST_ERROR:
            return _posterior(target, surrogate, chain, degree, error, seed)
    raise ConvergenceError(
        "posterior", got=f"a surrogate that is {error:.2g} off in log posterior", expected=f"at most {_LARGEST_ERROR}",
        hint="trust the profile intervals, or give a --prior",
    )  # fmt: skip


def _chain(surrogate: Surrogate, fit: Fit, seed: int) -> np.ndarray:
    """Return the walkers after burn-in, (step, walker, P)."""
    import emcee

    rng = np.random.default_rng(seed)
    starts: list[np.ndarray] = []
    while len(starts) < _WALKERS:
        x = fit.x + 0.5 * surrogate.root @ rng.standard_normal(fit.x.size)
        if np.isfinite(surrogate.log_posterior(x[None])[0]):
            starts.append(x)
    sampler = emcee.EnsembleSampler(_WALKERS, fit.x.size, surrogate.log_posterior, vectorize=True)
    sampler.random_state = np.random.RandomState(seed).get_state()
    sampler.run_mcmc(np.array(starts), _BURN + _STEPS, skip_initial_state_check=True)
    return np.asarray(sampler.get_chain(discard=_BURN))


def _error(surrogate: Surrogate, flat: np.ndarray, seed: int) -> float:
    """Return the largest error of the log posterior on some samples, up to a constant."""
    chosen = flat[np.random.default_rng(seed).choice(len(flat), _CHECKS, replace=False)]
    off = surrogate.log_posterior(chosen) + surrogate.target.value(chosen)
    return float(np.abs(off - np.median(off)).max())


def _posterior(target: Target, surrogate: Surrogate, chain: np.ndarray, degree: int, error: float, seed: int) -> Posterior:
    from emcee.autocorr import integrated_time

    time = integrated_time(chain, quiet=True)
    flat = chain.reshape(-1, target.size)
    halves = np.concatenate([chain[: len(chain) // 2], chain[len(chain) // 2 :][: len(chain) // 2]], axis=1)
    within, between = halves.var(0, ddof=1).mean(0), halves.mean(0).var(0, ddof=1)
    kept = np.random.default_rng(seed).choice(len(flat), min(_KEPT, len(flat)), replace=False)
    return Posterior(
        target.names, flat[kept], float(flat.shape[0] / np.max(time)), float(np.sqrt(1 + between / within).max()), error, degree,
        float(np.mean(surrogate.inside(flat) > 0.95)),
    )  # fmt: skip
