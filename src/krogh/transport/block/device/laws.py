"""Evaluate the flux laws of a block on a device, by the same routes; see :mod:`krogh.transport.block.laws`."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch

from krogh.transport.block.device.arrays import DeviceArray, on_device
from krogh.transport.block.laws import Laws
from krogh.transport.block.model import BLOOD

__all__ = ["DeviceLaws", "DeviceValues", "apply_faces", "invert_faces"]


@dataclass(frozen=True, slots=True)
class DeviceValues:
    """Hold flux densities (K, S, F), their derivatives (K, S, S, F) by the tail and head ports, and the largest one-way flux."""

    flux: torch.Tensor
    by_tail: torch.Tensor
    by_head: torch.Tensor
    size: torch.Tensor


class DeviceLaws:
    """Evaluate all laws at once; K laws, P ports, S species, F faces, everything float64.

    Parameters
    ----------
    laws : Laws
        The same on the processor.
    """

    def __init__(self, laws: Laws, device: torch.device) -> None:
        self.count, self.ports, self.device = laws.count, laws.ports, device
        self.half = torch.tensor(laws.half, device=device)
        self.sides = torch.tensor(laws.sides, device=device)
        self.heads, self.tails = laws.heads.tolist(), laws.tails.tolist()
        self.cells = laws.model.port_cell.tolist()
        self._at_heads = torch.tensor(laws.heads, device=device)
        self._at_tails = torch.tensor(np.maximum(laws.tails, 0), device=device)
        self._inside = torch.tensor(laws.tails != BLOOD, dtype=torch.float64, device=device)
        self.own_weight = self.half[:, :, None] * self.sides[:, None, :, None]
        self.routes = [tuple(_moved(route, device) for route in law.routes) for law in laws.model.laws]

    def traces(self, cells: torch.Tensor, flux: torch.Tensor) -> torch.Tensor:
        """Return the concentrations at the ports (P, S, F) for those of the cells behind them and the fluxes (K, S, F)."""
        return cells + self.half * torch.tensordot(self.sides, flux, dims=1)

    def evaluate(self, traces: torch.Tensor, blood: torch.Tensor) -> DeviceValues:
        """Return every law at the port concentrations (P, S, F) and the blood (S,)."""
        _, s, faces = traces.shape
        flux = traces.new_zeros(self.count, s, faces)
        by_tail, by_head = traces.new_zeros(self.count, s, s, faces), traces.new_zeros(self.count, s, s, faces)
        sizes = [traces.new_zeros(())]
        for k, routes in enumerate(self.routes):
            tail, head = self.sides_of(k, traces, blood)
            for route in routes:
                inward, outward, d_tail, d_head = (x.tensor for x in route.flux(tail, head))
                flux[k] += (inward - outward)[0]
                _add_slope(by_tail[k], d_tail)
                _add_slope(by_head[k], d_head)
                sizes += [inward.abs().max(), outward.abs().max()]
        return DeviceValues(flux, by_tail, by_head, torch.stack(sizes).max())

    def sides_of(self, k: int, traces: torch.Tensor, blood: torch.Tensor) -> tuple[DeviceArray, DeviceArray]:
        """Return what the routes of a law see on their two sides, (1, S, F)."""
        tail = blood[:, None].expand(traces.shape[1:]) if self.tails[k] == BLOOD else traces[self.tails[k]]
        return DeviceArray(tail[None]), DeviceArray(traces[self.heads[k]][None])

    def along(self, values: DeviceValues, change: torch.Tensor) -> torch.Tensor:
        """Return the change of the fluxes (K, S, F) for a change of the port concentrations (P, S, F)."""
        out = (values.by_head * change[self._at_heads][:, None]).sum(2)
        return out + (values.by_tail * (change[self._at_tails] * self._inside[:, None, None])[:, None]).sum(2)

    def tails_less_heads(self, change: torch.Tensor, tail: torch.Tensor, head: torch.Tensor) -> torch.Tensor:
        """Return ``tail u_tail - head u_head`` (K, S, F) for port concentrations (P, S, F) and factors (K, S)."""
        return (tail * self._inside[:, None])[:, :, None] * change[self._at_tails] - head[:, :, None] * change[self._at_heads]

    def matrix(self, values: DeviceValues, weight: torch.Tensor) -> torch.Tensor:
        """Return d(law flux)/d(x) (K S, L S, F); port p of species j moves by ``weight[p, j, l, f]`` per x of l."""
        k, s, faces = values.flux.shape
        held = weight[self._at_tails] * self._inside[:, None, None, None]
        # (k, i, j, f) times (k, j, l, f), no sum: (k, i, l, j, f)
        out = values.by_head[:, :, None] * weight[self._at_heads].transpose(1, 2)[:, None]
        out += values.by_tail[:, :, None] * held.transpose(1, 2)[:, None]
        return out.reshape(k * s, weight.shape[2] * s, faces)

    def solve_traces(
        self, cells: torch.Tensor, blood: torch.Tensor, flux: torch.Tensor
    ) -> tuple[torch.Tensor, DeviceValues, bool]:
        """Return the fluxes that the laws give for fixed cells (P, S, F), their values, and whether Newton's method converged."""
        values, error = self.evaluate(self.traces(cells, flux), blood), np.inf
        for _ in range(40):
            miss, previous = values.flux - flux, error
            error = self.misfit(values, flux, share=1e-3)
            if error <= 1e-12 or not np.isfinite(error) or 0.5 * previous < error <= 1e-9:
                break
            inverse = invert_faces(self.identity(miss) - self.matrix(values, self.own_weight))
            flux = flux + apply_faces(inverse, miss.reshape(-1, miss.shape[-1])).reshape(miss.shape)
            values = self.evaluate(self.traces(cells, flux), blood)
        return flux, values, error <= 1e-7

    @staticmethod
    def misfit(values: DeviceValues, flux: torch.Tensor, share: float = 1e-4) -> float:
        """Return the largest error of a flux over the largest flux, or over `share` of the largest one-way flux; waits."""
        if not flux.numel():
            return 0.0
        scale = torch.maximum(values.flux.abs().max(), share * values.size).clamp(min=1e-300)
        return float((values.flux - flux).abs().max() / scale)

    @staticmethod
    def identity(flux: torch.Tensor) -> torch.Tensor:
        """Return the identity (K S, K S, 1)."""
        return torch.eye(flux.shape[0] * flux.shape[1], dtype=flux.dtype, device=flux.device)[:, :, None]


def _moved(route: Any, device: torch.device) -> Any:
    """Return a route whose maps are on the device, so that they are sent there once."""
    moved: dict[str, Any] = {}
    for field in fields(route):
        value = getattr(route, field.name)
        if field.name == "route":
            moved[field.name] = _moved(value, device)
        elif isinstance(value, np.ndarray) and value.ndim:
            moved[field.name] = on_device(value, device)
    return replace(route, **moved)


def _add_slope(target: torch.Tensor, slope: torch.Tensor) -> None:
    """Add a route's derivative, (1, S, F) or (1, S, S, F), to (S, S, F)."""
    if slope.ndim == 4:
        target += slope[0]
    else:
        torch.diagonal(target, dim1=0, dim2=1).add_(slope[0].T)


def invert_faces(matrix: torch.Tensor) -> torch.Tensor:
    """Return the inverse on every face of (n, n, F)."""
    if matrix.shape[0] == 1:
        return matrix.reciprocal()
    return torch.linalg.inv_ex(matrix.permute(2, 0, 1)).inverse.permute(1, 2, 0).contiguous()


def apply_faces(matrix: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return ``matrix`` (n, m, F) times x (m, F), face by face."""
    return (matrix * x).sum(1)
