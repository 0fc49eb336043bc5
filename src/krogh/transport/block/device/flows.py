"""Evaluate everything that flows in a block on a device; see :mod:`krogh.transport.block.flows`.

Arrays of a state are planes (S, plane, F): the x cells first, then those of every leaf. What has been summed over planes is
small and is left to the flows of the processor.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from krogh.transport.block.device.laws import DeviceLaws
from krogh.transport.block.flows import Flows
from krogh.transport.block.model import BLOOD, ReactionTerm

__all__ = ["DeviceFlows", "Uptake"]

#: What every reaction takes of each species, summed over planes (S, n), and its linearisation point (S, n, F).
Uptake = list[tuple[torch.Tensor, torch.Tensor]]


class DeviceFlows:
    """Evaluate the flows of a model.

    Parameters
    ----------
    small : Flows
        Those of the processor.
    laws : DeviceLaws
        What crosses membranes.
    """

    def __init__(self, small: Flows, laws: DeviceLaws) -> None:
        self.small, self.model, self.laws = small, small.model, laws
        model, device = self.model, laws.device

        def send(x: np.ndarray, *shape: int) -> torch.Tensor:
            return torch.tensor(x, device=device).reshape(*x.shape, *shape)

        self.area = send(model.area_m2.ravel())
        self._across = (
            send(model.y.link_1_m[1:-1, None] * model.z.width_m),
            send(model.y.width_m[:, None] * model.z.link_1_m[1:-1]),
        )
        self._mass, self._link, self._lateral = (send(x, 1, 1) for x in (model.mass, model.link, model.lateral))
        self._taken, self._inflow = send(model.loss + model.inflow, 1, 1), send(model.inflow, 1, 1)
        self._leaves = [(send(x.mass, 1), send(x.exchange, 1), send(x.trapping, 1, 1)) for x in model.leaves]
        self._terms = [(send(x.rate, 1), send(x.inverse_km)) for x in model.reactions]
        self._plain = [
            not np.any((t.inverse_km > 0) & (t.rate.max(-1) > 0)) and all(p is None for p in t.law.product)
            for t in model.reactions
        ]

    def range_of(self, term: ReactionTerm) -> slice:
        """Return the planes of a reaction."""
        return slice(term.start, term.stop) if term.leaf is None else self.small.planes(term.leaf)

    # -- right-hand side -------------------------------------------------------------------------------------------------------

    def residual(
        self, u: torch.Tensor, r: torch.Tensor | None, gh: float, blood: torch.Tensor, flux: torch.Tensor
    ) -> torch.Tensor:
        """Return ``r - C u + gh F`` (S, plane, F), or ``gh F`` where `r` is None."""
        model, nx = self.model, self.model.grid[0]
        out = torch.empty_like(u)
        for s in range(u.shape[0]):
            self._bulk(u[s, :nx], out[s, :nx], s, gh, blood[s], held=r is not None)
        for i, leaf in enumerate(model.leaves):
            own, x, (mass, exchange, trapping) = self.small.planes(i), slice(leaf.start, leaf.stop), self._leaves[i]
            flow = (gh * exchange * self.area) * (u[:, x] - u[:, own] / trapping)
            out[:, x] -= flow
            out[:, own] = flow if r is None else flow - (mass * self.area) * u[:, own]
        if r is not None:
            out += r
        for k, law in enumerate(model.laws):
            amount = (gh * flux[k]) * self.area
            out[:, self.laws.cells[law.head]] += amount
            if law.tail != BLOOD:
                out[:, self.laws.cells[law.tail]] -= amount
        for i, term in enumerate(model.reactions):
            own = self.range_of(term)
            for s, product in enumerate(term.law.product):
                if np.any(term.rate[s] > 0):
                    taken = gh * self._taken_by(i, s, u[s, own])
                    out[s, own] -= taken
                    if product is not None:
                        out[product, own] += taken
        return out

    def _bulk(self, u: torch.Tensor, out: torch.Tensor, s: int, gh: float, blood: torch.Tensor, *, held: bool) -> None:
        """Write ``gh F`` of diffusion, losses and perfusion of one species, with `held` less ``C u``."""
        c, (by_y, by_z) = u.reshape(self.model.grid), self._across
        w = out.view(self.model.grid).zero_()
        step = c[:, 1:] - c[:, :-1]
        w[:, :-1].addcmul_(step, by_y)
        w[:, 1:].addcmul_(step, by_y, value=-1.0)
        step = c[:, :, 1:] - c[:, :, :-1]
        w[:, :, :-1].addcmul_(step, by_z)
        w[:, :, 1:].addcmul_(step, by_z, value=-1.0)
        w.mul_(gh * self._lateral[s])
        step = (c[1:] - c[:-1]).mul_(gh * self._link[s])
        per_area = c * (-gh * self._taken[s] - self._mass[s] if held else -gh * self._taken[s])
        per_area[:-1] += step
        per_area[1:] -= step
        per_area += gh * blood * self._inflow[s]
        w.addcmul_(per_area, self.area.view(self.model.grid[1:]))

    def _taken_by(self, i: int, s: int, u: torch.Tensor) -> torch.Tensor:
        rate, inverse = self._terms[i]
        return (rate[s] * self.area) * u / (1.0 + u.clamp(min=0.0) * inverse[s])

    # -- reactions -------------------------------------------------------------------------------------------------------------

    def mean_slopes(self, u: torch.Tensor) -> list[np.ndarray]:
        """Return the slope of every reaction, mean over each plane, (S, n) per area, on the processor."""
        found = []
        for term, (rate, inverse) in zip(self.model.reactions, self._terms, strict=True):
            own = u[:, self.range_of(term)]
            share = (1.0 + own.clamp(min=0.0) * inverse[:, None, None]).pow(-2).mean(-1)
            found.append((rate[..., 0] * share).cpu().numpy())
        return found

    def uptake(self, u: torch.Tensor) -> Uptake:
        """Return, per reaction, what it takes at `u` (S, n) summed over planes, and u itself there."""
        found = []
        for i, term in enumerate(self.model.reactions):
            own = u[:, self.range_of(term)]
            found.append((torch.stack([self._taken_by(i, s, own[s]).sum(-1) for s in range(u.shape[0])]), own))
        return found

    def mismatch(self, u: torch.Tensor, uptake: Uptake, slopes: list[np.ndarray], gh: float) -> float:
        """Return the largest error of the linearised reactions over what the cells hold; 0 where all are exact."""
        found = [u.new_zeros(())]
        for i, term in enumerate(self.model.reactions):
            if self._plain[i]:
                continue
            own, before = self.range_of(term), uptake[i][1]
            slope = torch.tensor(slopes[i], device=u.device)[:, :, None]
            for s, product in enumerate(term.law.product):
                now, then = (self._taken_by(i, s, x) / self.area for x in (u[s, own], before[s]))
                top = u[s, own].abs().max()
                off = (now - then - slope[s] * (u[s, own] - before[s])).abs().max()
                found.append(gh * off / (self.small.held(term, s, gh) * top + 1e-300))
                if product is not None:  # what was formed was taken from the state before
                    most = torch.maximum(u[product, own].abs().max(), 1e-3 * top)
                    found.append(gh * (now - then).abs().max() / (self.small.held(term, product, gh) * most + 1e-300))
        return float(torch.stack(found).max())

    # -- leaves ----------------------------------------------------------------------------------------------------------------

    def fold_leaves(self, residual: torch.Tensor, gh: float, slopes: list[np.ndarray]) -> torch.Tensor:
        """Return the right-hand sides of the cells (S, nx, F) after the leaves' rows have been eliminated."""
        right = residual[:, : self.model.grid[0]]
        for i, leaf in enumerate(self.model.leaves):
            right = right if i else right.clone()
            share = gh * leaf.exchange / leaf.trapping[:, None] / self.small.leaf_pivot(i, gh, slopes)
            right[:, leaf.start : leaf.stop] += self._send(share) * residual[:, self.small.planes(i)]
        return right

    def unfold_leaves(self, cells: torch.Tensor, residual: torch.Tensor, gh: float, slopes: list[np.ndarray]) -> torch.Tensor:
        """Return the change of all planes from that of the cells (S, nx, F)."""
        parts = [cells]
        for i, leaf in enumerate(self.model.leaves):
            change = residual[:, self.small.planes(i)] / self.area
            change += (gh * self._leaves[i][1]) * cells[:, leaf.start : leaf.stop]
            parts.append(change / self._send(self.small.leaf_pivot(i, gh, slopes)))
        return torch.cat(parts, dim=1) if self.model.leaves else cells

    def _send(self, values: np.ndarray) -> torch.Tensor:
        """Return a value per plane (S, n) so that it multiplies planes."""
        return torch.tensor(values, device=self.area.device)[:, :, None]

    # -- sums ------------------------------------------------------------------------------------------------------------------

    def sums(self, u: torch.Tensor) -> torch.Tensor:
        """Return the sums over planes, weighted by area, (S, plane)."""
        return u @ self.area

    def ledger(
        self, u: torch.Tensor, blood: np.ndarray, flux: torch.Tensor, ports: torch.Tensor,
        linearised: tuple[Uptake, list[np.ndarray]] | None = None,
    ) -> np.ndarray:  # fmt: skip
        """Return the rate of every row (S, row) [mol/s], as :meth:`krogh.transport.block.ledger.Ledger.ledger` does."""
        model, s_count = self.model, u.shape[0]
        out, row = np.zeros((s_count, len(self.small.names))), 0
        crossed, totals = self._crossings(ports, torch.tensor(blood, device=u.device), flux)
        for k, law in enumerate(model.laws):
            first, net = row, np.zeros(s_count)
            for _ in law.routes:
                out[:, row], out[:, row + 1] = crossed[row // 2]
                net += out[:, row] - out[:, row + 1]
                row += 2
            # the law holds to the tolerance of Newton's method; the rest belongs to its first route
            rest = totals[k] - net
            out[:, first] += np.maximum(rest, 0.0)
            out[:, first + 1] += np.maximum(-rest, 0.0)
        row = self.small.first_order(out, row, self.sums(u[:, : model.grid[0]]).cpu().numpy(), blood)
        self._reactions(out, row, u, linearised)
        return out

    def _crossings(self, ports: torch.Tensor, blood: torch.Tensor, flux: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return what crosses by every route both ways (route, 2, S), and by every law (K, S)."""
        parts = []
        for k, routes in enumerate(self.laws.routes):
            tail, head = self.laws.sides_of(k, ports, blood)
            for route in routes:
                inward, outward, _, _ = route.flux(tail, head)
                parts += [(x.tensor[0] * self.area).sum(-1) for x in (inward, outward)]
        parts += list(self.sums(flux))
        if not parts:
            return np.zeros((0, 2, flux.shape[1])), np.zeros((0, flux.shape[1]))
        whole = torch.stack(parts).cpu().numpy()
        count = flux.shape[0]
        return whole[:-count].reshape(-1, 2, whole.shape[1]), whole[-count:]

    def _reactions(self, out: np.ndarray, row: int, u: torch.Tensor, linearised: Any) -> None:
        """Add what reactions take, by the linearisation that the last pass used, and form, by the state before it."""
        for i, term in enumerate(self.model.reactions):
            own = u[:, self.range_of(term)]
            if linearised is None:
                formed = torch.stack([self._taken_by(i, s, own[s]).sum() for s in range(u.shape[0])]).cpu().numpy()
                taken = formed
            else:
                before, state = linearised[0][i]
                formed, change = before.sum(-1).cpu().numpy(), (self.sums(own) - self.sums(state)).cpu().numpy()
                taken = formed + (linearised[1][i] * change).sum(-1)
            for s, product in enumerate(term.law.product):
                out[s, row] += taken[s]
                if product is not None:
                    out[product, row + 1] += formed[s]
            row += 2
