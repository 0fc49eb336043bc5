"""A network that gives one value per parameter, as the origin experiment has it, and the losses that it is trained with.

Outputs are bounded by a sigmoid, so that gradients never vanish at a clamp. For self-supervision the signal is predicted by the
model itself (any model with a Jacobian) and compared with the one that was measured; S0 of each series is known or eliminated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from krogh.errors import UsageError
from krogh.fexi.learned.flow import mlp
from krogh.fexi.learned.sampling import Signals

__all__ = ["ACTIVATIONS", "PointNetwork", "PointSettings", "fractions", "label_loss", "signal_loss"]

FloatArray = NDArray[np.float64]
ACTIVATIONS: dict[str, type[nn.Module]] = {"prelu": nn.PReLU, "elu": nn.ELU, "relu": nn.ReLU, "silu": nn.SiLU, "tanh": nn.Tanh}
_CHUNK = 16384


@dataclass(frozen=True)
class PointSettings:
    """Hold shape and training; the defaults are those of the origin experiment (3 layers of 8, PReLU, Adam, batches of 128).

    ``loss``: "mse" or "rician" (self-supervised). ``labels``: "true" or "ml" (supervised). ``parameter_weights``: by which the
    gradient of the loss with respect to each parameter (supervised: its squared error) is multiplied; one number holds for all.
    ``voxels``: of the simulated set, where there is no scan. ``rounds`` are epochs.
    """

    depth: int = 3
    width: int = 8
    activation: str = "prelu"
    learning_rate: float = 1e-3
    batch: int = 128
    rounds: int = 400
    patience: int = 100
    loss: str = "mse"
    labels: str = "true"
    parameter_weights: tuple[float, ...] = (1.0,)
    voxels: int = 20_000

    def __post_init__(self) -> None:
        for name, known in (("activation", ACTIVATIONS), ("loss", ("mse", "rician")), ("labels", ("true", "ml"))):
            if getattr(self, name) not in known:
                raise UsageError(f"--set {name}", got=repr(getattr(self, name)), expected=", ".join(known))


class PointNetwork(nn.Module):
    """Map inputs to fractions of the bounds, and (``spread``) to the SD of their error; ``shift``/``scale`` are of the inputs."""

    shift: torch.Tensor
    scale: torch.Tensor

    def __init__(self, n_inputs: int, n_par: int, settings: PointSettings, *, spread: bool) -> None:
        super().__init__()
        self.n_par, self.spread = n_par, spread
        kind = ACTIVATIONS[settings.activation]
        self.body = mlp(n_inputs, n_par, settings.width, settings.depth, kind)
        self.error = mlp(n_inputs, n_par, settings.width, settings.depth, kind) if spread else None
        self.register_buffer("shift", torch.zeros(n_inputs))
        self.register_buffer("scale", torch.ones(n_inputs))

    def standardise(self, x: FloatArray) -> None:
        """Set the scaling from samples."""
        self.shift.copy_(torch.as_tensor(x.mean(0)))
        self.scale.copy_(torch.as_tensor(np.where(x.std(0) > 1e-6, x.std(0), 1.0)))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return fractions of the bounds [n, p] and, where asked for, the SD of their error [n, p]."""
        scaled = (x - self.shift) / self.scale
        sd = None if self.error is None else torch.exp(self.error(scaled).float().clamp(-9, 0))
        return torch.sigmoid(self.body(scaled).float()), sd

    @torch.inference_mode()
    def estimate(self, x: FloatArray) -> tuple[FloatArray, FloatArray | None]:
        """Return fractions and SDs [voxel, param] of many voxels."""
        device = self.shift.device
        parts = [self(torch.as_tensor(x[i : i + _CHUNK], dtype=torch.float32, device=device)) for i in range(0, len(x), _CHUNK)]
        first, second = ([p[k] for p in parts] for k in (0, 1))
        return _joined(first), _joined(second) if self.spread else None


def _joined(parts: list[Any]) -> FloatArray:
    return np.concatenate([p.cpu().numpy() for p in parts]).astype(np.float64)


class _Shape(torch.autograd.Function):
    """Predict the signal for S0 = 1 from fractions of the bounds by the model and its Jacobian."""

    @staticmethod
    def forward(ctx: Any, fraction: torch.Tensor, signals: Signals, weight: FloatArray) -> torch.Tensor:
        bounds, order = signals.model.bounds, signals.order
        width = np.ptp(bounds, axis=1)
        theta = bounds[:, 0] + width * fraction.detach().cpu().numpy().astype(np.float64)
        jacobian = signals.model.shape_jacobian(theta, signals.protocol)[:, order] * (width * weight)
        ctx.jacobian = torch.as_tensor(jacobian, dtype=fraction.dtype, device=fraction.device)
        shape = signals.model.shape(theta, signals.protocol)[:, order]
        return torch.as_tensor(shape, dtype=fraction.dtype, device=fraction.device)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return torch.einsum("vg,vgp->vp", gradients[0], ctx.jacobian), None, None


def signal_loss(
    fraction: torch.Tensor, signals: Signals, z: torch.Tensor, level: torch.Tensor, kind: str, weight: FloatArray
) -> torch.Tensor:
    """Return the mean over voxels and volumes of the squared residual in noise SD ("mse"), or of -ln L under Rician noise.

    ``z`` [voxel, volume] and ``level`` [voxel, series] are those of the batch. A free S0 is at its least-squares value.
    """
    e = _Shape.apply(fraction, signals, weight)
    series = torch.as_tensor(np.repeat(np.arange(signals.pointer.size - 1), np.diff(signals.pointer)), device=z.device)
    if not signals.known:
        member = nn.functional.one_hot(series).to(z.dtype)
        level = ((z * e) @ member) / ((e * e) @ member)
    s = level[:, series] * e
    if kind == "mse":
        return ((z - s) ** 2).mean()
    return (0.5 * (z - s) ** 2 - torch.log(torch.special.i0e(z * s)) - torch.log(z.clamp_min(1e-6))).mean()


def label_loss(network: PointNetwork, data: Sequence[torch.Tensor], weight: FloatArray) -> torch.Tensor:
    """Return the weighted squared error against the labels, plus the Gaussian score of the stated SD against the truth.

    `data` are inputs, labels and truth, the last two in fractions of the bounds; the second part leaves the first alone.
    """
    x, label, truth = data
    fraction, sd = network(x)
    w = torch.as_tensor(weight, dtype=fraction.dtype, device=fraction.device)
    squared = (w * (fraction - label) ** 2).mean()
    if sd is None:
        return squared
    return squared + 1e-2 * (torch.log(sd) + 0.5 * ((truth - fraction.detach()) / sd) ** 2).mean()


def fractions(theta: FloatArray, bounds: FloatArray) -> FloatArray:
    """Return theta [voxel, param] as fractions of its bounds."""
    return (theta - bounds[:, 0]) / np.ptp(bounds, axis=1)
