"""A grid of tissues with their signals, fine enough for the noise: the set on which a posterior is summed exactly.

The spacing follows the Fisher information: a sum over nodes 1.3 conditional standard deviations apart differs from the integral
of a Gaussian by less than 1e-5. S0 of each series is integrated out in closed form, so that an atom is a direction in the space
of each series.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from krogh.errors import InputError
from krogh.fexi.interface import SignalModel
from krogh.fexi.learned._masses import gaussian_masses
from krogh.fexi.learned.prior import MixturePrior, log_uniform, to_u
from krogh.fexi.precision import fisher
from krogh.fexi.protocol import Protocol

__all__ = ["MAX_ATOMS", "SPACING", "Dictionary", "assemble", "build_dictionary"]

FloatArray = NDArray[np.float64]
MAX_ATOMS = 400_000
SPACING = 1.3
_MIN_NODES = 20


@dataclass(frozen=True)
class Dictionary:
    """Hold the atoms of a tensor grid.

    Attributes
    ----------
    model, protocol : SignalModel, Protocol
        What the signals are of.
    edges : tuple of array [node + 1]
        Cell edges along each parameter, SI.
    theta, u : arrays [atom, param]
        Cell centres, SI and on the logit scale.
    index : array of int32 [param, atom]
        Node of each atom along each axis.
    log_volume : array [atom]
        Log of the cell volume in u.
    shape : array [volume, atom]
        Signal for S0 = 1, volumes sorted by series.
    order : array [volume]
        Those volumes in the numbering of the protocol.
    pointer : array [series + 1]
        First sorted volume of each series, and the end.
    """

    model: SignalModel
    protocol: Protocol
    edges: tuple[FloatArray, ...]
    theta: FloatArray
    u: FloatArray
    index: NDArray[np.int32]
    log_volume: FloatArray
    shape: FloatArray
    order: NDArray[np.int64]
    pointer: NDArray[np.int64]

    @property
    def bounds(self) -> FloatArray:
        """Bounds of the parameters [param, 2]."""
        return self.model.bounds

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return int(self.theta.shape[0])

    def log_weights(self, prior: MixturePrior) -> FloatArray:
        """Return the log prior mass of every atom [atom]; the masses add to 1."""
        level = prior.log_density(self.u) + self.log_volume
        top = level.max()
        return np.asarray(level - top - math.log(np.exp(level - top).sum()))

    def background(self) -> FloatArray:
        """Return the mass of the background at every atom [atom]; it adds to 1."""
        mass = np.exp(log_uniform(self.u) + self.log_volume)
        return np.asarray(mass / mass.sum())

    def gaussians(self, priors: Sequence[MixturePrior]) -> NDArray[np.float32]:
        """Return the mass of the Gaussians of many priors of as many components at every atom [atom, prior].

        Each adds to its weight, however few atoms hold it, and one beyond the grid lies at its end.
        """
        u, volume = np.ascontiguousarray(self.u.T), np.exp(self.log_volume)
        out = np.zeros((len(priors), self.n_atoms), np.float32)
        for k in range(priors[0].n_components):
            mean = np.clip([prior.mean[k] for prior in priors], self.u.min(axis=0), self.u.max(axis=0))
            inverse = np.linalg.inv(np.linalg.cholesky([prior.cov[k] for prior in priors]))
            gaussian_masses(u, volume, np.array([prior.weight[k + 1] for prior in priors]), mean, inverse, out)
        return out.T


def _axis(low: float, high: float, step: NDArray[np.float64], at: FloatArray) -> FloatArray:
    """Return edges from `low` to `high` whose spacing near `at` is about `step`."""
    fine = np.linspace(low, high, 400)
    rate = 1 / np.interp(0.5 * (fine[1:] + fine[:-1]), at, step)
    count = np.concatenate([[0.0], np.cumsum(rate * np.diff(fine))])
    n = max(_MIN_NODES, math.ceil(count[-1]))
    return np.interp(np.linspace(0, count[-1], n + 1), count, fine)


def _steps(
    model: SignalModel, protocol: Protocol, theta: FloatArray, level: FloatArray, p: int, at: FloatArray, known: bool
) -> FloatArray:
    """Return 1.3 times the conditional SD of parameter `p` at the values `at`, at the 90th percentile of the information."""
    steps = np.empty(at.size)
    for i, value in enumerate(at):
        moved = theta.copy()
        moved[:, p] = value
        information = fisher(model, protocol, moved, level, np.ones(protocol.n_volumes), s0_free=not known)[:, p, p]
        steps[i] = SPACING / math.sqrt(max(float(np.quantile(information, 0.9)), 1e-300))
    return steps


def build_dictionary(
    model: SignalModel, protocol: Protocol, typical: FloatArray, snr_levels: FloatArray, *, known_s0: bool = False
) -> Dictionary:
    """Return a grid over the bounds of `model`, as fine as the data need.

    Parameters
    ----------
    typical : array [voxel, param]
        Least-squares estimates of some voxels. A parameter that hardly ever lies on a bound there gets an axis over the
        occupied range only.
    snr_levels : array [voxel, series]
        Their S0 over the noise SD.
    known_s0 : bool, optional
        S0 is not free.

    Raises
    ------
    InputError
        If more than 400,000 atoms were needed: the SNR is so high that least squares is as good.
    """
    bounds, n_par = model.bounds, typical.shape[1]
    some = slice(None, None, max(1, typical.shape[0] // 200))
    axes = []
    for p in range(n_par):
        low, high = bounds[p]
        width = high - low
        at = np.linspace(low, high, 17)
        step = _steps(model, protocol, typical[some], snr_levels[some], p, at, known_s0)
        on_bound = np.mean((typical[:, p] < low + 1e-6 * width) | (typical[:, p] > high - 1e-6 * width))
        if on_bound < 0.02 and typical.shape[0] >= 100:
            inner = np.quantile(typical[:, p], [0.001, 0.999])
            margin = np.interp(inner, at, step) * 4 / SPACING
            low, high = max(low, inner[0] - margin[0]), min(high, inner[1] + margin[1])
        step = np.minimum(step, 0.05 * width)
        if model.units[p] == "1/s":  # rates are spread over a ratio scale: resolve the small ones
            step = np.minimum(step, 0.3 * (at + 0.025 * width))
        axes.append(_axis(low, high, step, at))
    sizes = [a.size - 1 for a in axes]
    if math.prod(sizes) > MAX_ATOMS:
        raise InputError(
            "dictionary", got=f"{math.prod(sizes):,} tissues needed at this SNR", expected=f"at most {MAX_ATOMS:,}",
            hint="least squares (nlls) is as good at such an SNR; or use narrower bounds",
        )  # fmt: skip
    return assemble(model, protocol, tuple(axes))


def assemble(model: SignalModel, protocol: Protocol, edges: tuple[FloatArray, ...]) -> Dictionary:
    """Return the dictionary whose cells lie between `edges` of each parameter."""
    bounds = model.bounds
    centres = [0.5 * (e[1:] + e[:-1]) for e in edges]
    grids = np.meshgrid(*[np.arange(c.size) for c in centres], indexing="ij")
    index = np.stack([g.reshape(-1) for g in grids]).astype(np.int32)
    theta = np.stack([c[i] for c, i in zip(centres, index, strict=True)], axis=1)
    width = np.ptp(bounds, axis=1)
    x = (theta - bounds[:, 0]) / width
    cell = np.stack([np.diff(e)[i] for e, i in zip(edges, index, strict=True)], axis=1) / width
    order = np.argsort(protocol.series_index, kind="stable")
    pointer = np.concatenate([[0], np.cumsum(np.bincount(protocol.series_index))]).astype(np.int64)
    shape = np.concatenate([model.shape(part, protocol) for part in np.array_split(theta, 1 + theta.shape[0] // 20000)])
    log_volume = np.sum(np.log(cell) - np.log(x * (1 - x)), axis=1)
    return Dictionary(
        model, protocol, edges, theta, to_u(theta, bounds), index, log_volume, np.ascontiguousarray(shape[:, order].T), order,
        pointer,
    )  # fmt: skip
