"""A small network that turns the signals of a voxel into a posterior: a mixture of Gaussians on the logit scale.

Inputs are what the likelihood depends on: the direction of the signals within each series and their length over the noise SD, so
that unit and S0 do not matter. The outputs are relative to the prior that the network was trained for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

__all__ = ["Encoder", "Gaussians", "HbayesSettings", "features"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class HbayesSettings:
    """Hold the shape of the network (``components`` of its mixture) and how long it is trained.

    At most rounds x steps batches of new simulated voxels; fewer after `patience` rounds without a better held-out score.
    """

    width: int = 64
    depth: int = 3
    components: int = 4
    rounds: int = 40
    steps: int = 20
    batch: int = 1024
    patience: int = 15
    learning_rate: float = 3e-3


@dataclass(frozen=True)
class Gaussians:
    """Hold mixtures of Gaussians: ``weight`` [voxel, k], ``mean`` [voxel, k, p], lower ``root`` [voxel, k, p, p]."""

    weight: FloatArray
    mean: FloatArray
    root: FloatArray


def features(z: FloatArray, level: FloatArray, known: bool, pointer: NDArray[np.int64]) -> FloatArray:
    """Return the inputs [voxel, volume + series] from signals over noise SD, sorted by series.

    ``level`` [voxel, series] is S0 over noise SD where it is known.
    """
    sizes = np.diff(pointer)
    length = level if known else np.sqrt(np.add.reduceat(z * z, pointer[:-1], axis=1))
    return np.concatenate([z / np.repeat(length, sizes, axis=1), np.log(length)], axis=1)


class Encoder(nn.Module):
    """Map inputs to mixture parameters; ``shift``/``scale`` standardise the inputs, ``centre``/``spread`` are of the prior."""

    shift: torch.Tensor
    scale: torch.Tensor
    centre: torch.Tensor
    spread: torch.Tensor

    def __init__(self, n_inputs: int, n_par: int, settings: HbayesSettings) -> None:
        super().__init__()
        self.n_par, self.settings = n_par, settings
        layers: list[nn.Module] = []
        size = n_inputs
        for _ in range(settings.depth):
            layers += [nn.Linear(size, settings.width), nn.SiLU()]
            size = settings.width
        n_out = settings.components * (1 + n_par + n_par * (n_par + 1) // 2)
        self.body = nn.Sequential(*layers, nn.Linear(size, n_out))
        for name, n in (("shift", n_inputs), ("scale", n_inputs), ("centre", n_par), ("spread", n_par)):
            self.register_buffer(name, torch.ones(n) if name in ("scale", "spread") else torch.zeros(n))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return log weights [n, k], means [n, k, p] and lower roots [n, k, p, p] relative to centre and spread."""
        k, p = self.settings.components, self.n_par
        out = self.body((x - self.shift) / self.scale).float()
        log_w, mean, diagonal, lower = out.split([k, k * p, k * p, k * p * (p - 1) // 2], dim=1)
        root = torch.diag_embed(torch.exp(diagonal.reshape(-1, k, p).clamp(-7, 4)))
        rows, columns = torch.tril_indices(p, p, -1)
        root[:, :, rows, columns] = lower.reshape(-1, k, p * (p - 1) // 2)
        fan = torch.linspace(-0.5, 0.5, k)[None, :, None] if k > 1 else 0.0
        return torch.log_softmax(log_w, dim=1), mean.reshape(-1, k, p) + fan, root

    def log_density(self, x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """Return ln q(u | x) [n] in relative coordinates, up to a constant."""
        log_w, mean, root = self(x)
        z = torch.linalg.solve_triangular(
            root, ((u - self.centre) / self.spread)[:, None, :, None] - mean[..., None], upper=False
        )
        log_det = torch.log(torch.diagonal(root, dim1=-2, dim2=-1)).sum(-1)
        return torch.logsumexp(log_w - 0.5 * (z[..., 0] ** 2).sum(-1) - log_det, dim=1) - 0.5 * self.n_par * math.log(2 * math.pi)

    def standardise(self, x: FloatArray, u: FloatArray) -> None:
        """Set the scaling of inputs and outputs from samples."""
        for name, values in (("shift", x.mean(0)), ("scale", x.std(0)), ("centre", u.mean(0)), ("spread", u.std(0))):
            ready = np.where(values > 1e-6, values, 1.0) if name in ("scale", "spread") else values
            getattr(self, name).copy_(torch.as_tensor(ready, dtype=torch.float32))

    @torch.no_grad()
    def posterior(self, x: FloatArray) -> Gaussians:
        """Return the mixtures of many voxels, on the logit scale."""
        weight, mean, root = [], [], []
        for part in np.array_split(x, max(1, math.ceil(x.shape[0] / 8192))):
            w, m, r = self(torch.as_tensor(part, dtype=torch.float32))
            weight.append(w.exp())
            mean.append(self.centre + self.spread * m)
            root.append(self.spread[:, None] * r)
        return Gaussians(*(torch.cat(t).numpy().astype(np.float64) for t in (weight, mean, root)))
