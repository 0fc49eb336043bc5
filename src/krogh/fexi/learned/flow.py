"""The network of ``npe``: a conditional spline flow for the joint posterior, and a summary of it in one pass.

Both see the inputs of ``encoder.features`` and work on the logit scale of the parameters. The flow (one autoregressive
rational-quadratic spline, which can follow any density in few dimensions) gives samples and densities (see ``unrolled``); the
summary network gives mean, SD and quantiles of each parameter at once and is what makes whole brains cheap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from krogh.errors import UsageError
from krogh.fexi.learned.posterior import QUANTILES

__all__ = ["NpeSettings", "PosteriorNetwork", "mlp"]

FloatArray = NDArray[np.float64]
_MEDIAN = QUANTILES.index(0.5)
_CHUNK = 8192


@dataclass(frozen=True)
class NpeSettings:
    """Hold the shape of the two networks (``flow_...``, ``bins`` of the spline: the flow) and how long they are trained.

    At most rounds x steps batches of new simulated voxels; fewer after `patience` rounds without a better held-out score.
    """

    width: int = 64
    depth: int = 3
    flow_width: int = 64
    flow_depth: int = 2
    bins: int = 12
    rounds: int = 60
    steps: int = 100
    batch: int = 1024
    patience: int = 15
    learning_rate: float = 2e-3


def mlp(n_in: int, n_out: int, width: int, depth: int, activation: type[nn.Module] = nn.SiLU) -> nn.Sequential:
    """Return a network of `depth` hidden layers."""
    layers: list[nn.Module] = []
    for i in range(depth):
        layers += [nn.Linear(width if i else n_in, width), activation()]
    return nn.Sequential(*layers, nn.Linear(width if depth else n_in, n_out))


class PosteriorNetwork(nn.Module):
    """Hold flow, summary and scaling; ``shift``/``scale`` are of the inputs, ``centre``/``spread`` of the logit parameters."""

    shift: torch.Tensor
    scale: torch.Tensor
    centre: torch.Tensor
    spread: torch.Tensor
    levels: torch.Tensor

    def __init__(self, n_inputs: int, n_par: int, settings: NpeSettings) -> None:
        super().__init__()
        try:
            import zuko
        except ImportError:
            raise UsageError(
                "estimator npe", got="no package zuko", expected="the extra 'learned'", hint="pip install 'krogh[learned]'"
            ) from None
        self.n_par, self.settings = n_par, settings
        self.flow = zuko.flows.NSF(
            n_par, n_inputs, transforms=1, bins=settings.bins, hidden_features=[settings.flow_width] * settings.flow_depth,
            activation=nn.SiLU,
        )  # fmt: skip
        self.summary = mlp(n_inputs, n_par * (2 + len(QUANTILES)), settings.width, settings.depth)
        for name, n in (("shift", n_inputs), ("scale", n_inputs), ("centre", n_par), ("spread", n_par)):
            self.register_buffer(name, torch.ones(n) if name in ("scale", "spread") else torch.zeros(n))
        self.register_buffer("levels", torch.tensor(QUANTILES), persistent=False)

    def standardise(self, x: FloatArray, u: FloatArray) -> None:
        """Set the scaling from samples."""
        for name, values in (("shift", x.mean(0)), ("scale", x.std(0)), ("centre", u.mean(0)), ("spread", u.std(0))):
            ready = np.where(values > 1e-6, values, 1.0) if name in ("scale", "spread") else values
            getattr(self, name).copy_(torch.as_tensor(ready, dtype=torch.float32))

    def describe(self, context: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return mean and SD [n, p] and quantiles [n, p, level] in fractions of the bounds, from scaled inputs."""
        p, k = self.n_par, len(QUANTILES)
        mean, log_sd, steps = self.summary(context).float().split([p, p, p * k], dim=1)
        steps = steps.reshape(-1, p, k)
        gaps = nn.functional.softplus(torch.cat([steps[..., :_MEDIAN], steps[..., _MEDIAN + 1 :]], dim=-1))
        below = gaps[..., :_MEDIAN].flip(-1).cumsum(-1).flip(-1)
        offsets = torch.cat([-below, torch.zeros_like(gaps[..., :1]), gaps[..., _MEDIAN:].cumsum(-1)], dim=-1)
        centre, spread = self.centre[:, None], self.spread[:, None]
        quantiles = torch.sigmoid(centre + spread * (steps[..., _MEDIAN, None] + 0.5 * offsets))
        return torch.sigmoid(self.centre + self.spread * mean), torch.exp(log_sd.clamp(-9, 0)), quantiles

    def loss(self, x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """Return what is minimised: -ln q(u | x) of the flow plus proper scores of the summary, all best at the posterior.

        Squared error for the mean, the Gaussian score for the SD, the pinball loss for the quantiles; in units of the SD of each
        voxel, which moves no optimum and lets sharp and blunt voxels count alike.
        """
        context = (x - self.shift) / self.scale
        fraction = torch.sigmoid(u)
        mean, sd, quantiles = self.describe(context)
        width = sd.detach()
        squared = (((fraction - mean) / width) ** 2).mean()
        gauss = (torch.log(sd) + 0.5 * ((fraction - mean.detach()) / sd) ** 2).mean()
        error = (fraction[..., None] - quantiles) / width[..., None]
        pinball = torch.maximum(self.levels * error, (self.levels - 1) * error).mean()
        with torch.autocast(x.device.type, enabled=False):  # the splines need 32 bits
            joint = -self.flow(context).log_prob((u - self.centre) / self.spread).mean()
        return joint + squared + gauss + 4 * pinball

    @torch.inference_mode()
    def summarise(self, x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return mean, SD [voxel, param] and quantiles [voxel, param, level] in fractions of the bounds."""
        starts = range(0, x.shape[0], _CHUNK)
        parts = [self.describe((self._tensor(x[i : i + _CHUNK]) - self.shift) / self.scale) for i in starts]
        joined = [torch.cat(part).cpu().numpy().astype(np.float64) for part in zip(*parts, strict=True)]
        return joined[0], joined[1], joined[2]

    def _tensor(self, values: Any) -> torch.Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=self.shift.device)
