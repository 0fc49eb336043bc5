"""Evaluate the flow of ``npe`` for many samples per voxel without doing anything twice.

The network behind an autoregressive flow is masked: some of its units see the signals only, some also the first parameter, and so
on. In the order of the parameters, units are evaluated once each: those of the signals once per voxel, the others once per
sample, at the parameters drawn so far. A general evaluation goes through all units once for every parameter and sample, and once
more for the density.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from krogh.fexi.learned import _flow

if TYPE_CHECKING:
    from krogh.fexi.learned.flow import PosteriorNetwork

__all__ = ["UnrolledFlow"]

FloatArray = NDArray[np.float64]


class UnrolledFlow:
    """Hold the weights of a flow, its units sorted by the parameters that they see (their level).

    ``start[i, c]`` is where units of level c begin among those that go into layer i; ``signals`` are the layers [input, unit] and
    biases of the units of level 0, ``weight`` those of the others, by parameter and layer.
    """

    def __init__(self, network: PosteriorNetwork) -> None:
        linear = list(network.flow.transform.transforms[0].hyper)[::2]
        n_par, n_signals = network.n_par, network.shift.shape[0]
        full = [module.weight.detach().numpy() for module in linear]
        masks = [np.asarray(getattr(m, "mask", np.ones(w.shape)), bool) for m, w in zip(linear, full, strict=True)]
        level = np.concatenate([np.arange(1, full[0].shape[1] - n_signals + 1), np.zeros(n_signals, int)])
        order = np.argsort(level, kind="stable")
        self.start = np.zeros((len(linear) + 1, n_par + 1), np.int64)
        self.start[0] = np.searchsorted(level[order], np.arange(n_par + 1))
        self.signals, layers = [], []
        for i, (module, weight, mask) in enumerate(zip(linear, full, masks, strict=True)):
            level = np.array([level[row].max(initial=0) for row in mask])
            if i == len(linear) - 1:
                level = np.arange(level.size) // (level.size // n_par)
            rows = np.argsort(level, kind="stable")
            self.start[i + 1] = np.searchsorted(level[rows], np.arange(n_par + 1))
            ordered = (weight * mask)[rows][:, order]
            layers.append(ordered)
            self.signals.append((ordered[:, : self.start[i, 1]].T.copy(), module.bias.detach().numpy()[rows]))
            order = rows
        blocks = [
            layer[self.start[i + 1, p] : self.start[i + 1, p + 1], self.start[i, 1] : self.start[i, p + 1]].ravel()
            for p in range(1, n_par)
            for i, layer in enumerate(layers)
        ]
        self.weight = np.concatenate([np.empty(0, np.float32), *blocks])
        self.shift, self.scale = network.shift.numpy(), network.scale.numpy()
        self.centre, self.spread = network.centre.numpy().astype(float), network.spread.numpy().astype(float)

    def _constants(self, x: FloatArray) -> NDArray[np.float32]:
        """Return what bias and signals x [voxel, input] give to all units [layer, voxel, unit]."""
        inputs = (x.astype(np.float32) - self.shift) / self.scale
        out = np.zeros((len(self.signals), x.shape[0], self.start[:, -1].max()), np.float32)
        for i, (weight, bias) in enumerate(self.signals):
            out[i, :, : bias.size] = inputs @ weight + bias
            inputs = out[i, :, : self.start[i + 1, 1]]
            inputs = inputs * expit(inputs)
        return out

    def draw(self, x: FloatArray, u: FloatArray, n_drawn: int, log_q: FloatArray) -> None:
        """Replace the first `n_drawn` of u [voxel, param, sample], standard normal, by samples; fill ln q(u | x) [voxel, sample].

        The other u are as given, `x` [voxel, input] what the network sees.
        """
        scratch = _flow.make_scratch(self.start)
        _flow.draw(self.weight, self.start, self._constants(x), self.centre, self.spread, n_drawn, scratch, u, log_q)
        log_q -= np.log(self.spread).sum() + 0.5 * self.spread.size * math.log(2 * math.pi)
