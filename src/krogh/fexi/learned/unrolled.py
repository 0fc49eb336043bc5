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
import torch
from numpy.typing import NDArray

from krogh.fexi.learned import _spline

if TYPE_CHECKING:
    from krogh.fexi.learned.flow import PosteriorNetwork

__all__ = ["UnrolledFlow"]

FloatArray = NDArray[np.float64]


class UnrolledFlow:
    """Hold the weights of a flow by the parameters that its units see."""

    def __init__(self, network: PosteriorNetwork) -> None:
        linear = list(network.flow.transform.transforms[0].hyper)[::2]
        n_par = network.n_par
        self.network, self.n_par = network, n_par
        masks = [getattr(m, "mask", torch.ones_like(m.weight)).float() for m in linear]  # a flow of one parameter has none
        first = linear[0].in_features - network.shift.shape[0]
        seen, self.layers = masks[0][:, :first], []
        before: list[torch.Tensor] = []
        for i, (module, mask) in enumerate(zip(linear, masks, strict=True)):
            weight = (module.weight * mask).detach()
            seen = (mask @ seen > 0).float() if i > 0 else seen
            last = i == len(linear) - 1
            level = seen.sum(dim=1) if not last else torch.arange(weight.shape[0]) // (weight.shape[0] // n_par)
            units = [torch.nonzero(level == c)[:, 0] for c in range(n_par)]
            columns = before or [torch.arange(first, weight.shape[1]), *(torch.tensor([p]) for p in range(n_par - 1))]
            self.layers.append([
                (module.bias.detach()[rows], [weight[rows][:, cols].T.contiguous() for cols in columns[: c + 1]])
                for c, rows in enumerate(units)
            ])  # fmt: skip
            before = units

    def _raw(self, c: int, inputs: list[list[torch.Tensor]], n_samples: int) -> torch.Tensor:
        """Return the spline of parameter `c` [voxel, sample or 1, output]; `inputs` grows by the units that see parameter c - 1.

        ``inputs[layer][k]`` [voxel x sample or voxel, unit] are the units that see k parameters.
        """
        for i, layer in enumerate(self.layers):
            bias, parts = layer[c]
            out = torch.addmm(bias, inputs[i][0], parts[0])
            if c > 0:
                each = inputs[i][1] @ parts[1]
                for k in range(2, c + 1):
                    each.addmm_(inputs[i][k], parts[k])
                each = each.view(out.shape[0], n_samples, -1).add_(out[:, None])
                out = each.view(-1, each.shape[2])
            if i < len(self.layers) - 1:
                inputs[i + 1].append(torch.nn.functional.silu(out, inplace=True))
        return out.view(inputs[0][0].shape[0], -1, out.shape[1])

    @torch.inference_mode()
    def draw(self, x: FloatArray, base: FloatArray, own: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return u [voxel, param, sample] and ln q(u | x) [voxel, sample].

        Samples at standard normal `base` [voxel, param, drawn] come first; the given `own` [voxel, param, further] follow, with
        their density only.
        """
        network, (n, n_par, n_drawn) = self.network, base.shape
        centre, spread = (t.numpy().astype(float) for t in (network.centre, network.spread))
        n_samples = n_drawn + own.shape[2]
        u, z, log_q = np.empty((n, n_par, n_samples)), np.empty((n, n_samples)), np.zeros((n, n_samples))
        u[:, :, n_drawn:] = (own - centre[:, None]) / spread[:, None]
        squares = np.zeros((n, n_samples))
        context = (torch.as_tensor(x, dtype=torch.float32) - network.shift) / network.scale
        inputs: list[list[torch.Tensor]] = [[context], *([] for _ in self.layers[1:])]
        for p in range(n_par):
            z[:, :n_drawn] = base[:, p]
            _spline.spline(self._raw(p, inputs, n_samples).numpy(), n_drawn, z, u[:, p], log_q)
            squares += z * z
            inputs[0].append(torch.as_tensor(u[:, p].reshape(-1, 1), dtype=torch.float32))
        log_q -= 0.5 * squares + 0.5 * n_par * math.log(2 * math.pi) + np.log(spread).sum()
        return centre[:, None] + spread[:, None] * u, log_q
