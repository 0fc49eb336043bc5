"""State what the moving time of a cylinder adds to a layer's rows: cross terms of axial diffusion, faded in after a dose."""

from __future__ import annotations

import numpy as np

from krogh.pinn.rows import LayerRows

__all__ = ["grown", "rates_of"]

_LAGS = 30.0


def grown(r: LayerRows, lag_s: float) -> np.ndarray:
    """Return how far the terms of the moving time count, 0..1: all but the first instants after a dose.

    Before some 30 D / (C v2), with the capacity C of the layer (15 ms for a small molecule in water), drug spreads along the
    vessel as fast as the blood's front moves, over a micrometre; the terms cannot be iterated there. What they move is next to
    nothing, but for a layer that holds little, where this lasts for seconds.
    """
    since = r.t + r.columns.clock.offset_s
    return (since / (since + _LAGS * lag_s)) ** 2


def rates_of(r: LayerRows) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns of du/dt and, of the networks alone, d2u/dt2 at the points of a layer."""
    col, h = r.columns, 1e-4
    at_u, *_, at_k = col.parts
    xi, _, tau, speed = col.mapped(r.x, r.t)
    first, second = np.zeros((r.n, col.size)), np.zeros((r.n, col.size))
    by_tau = col.u(xi, tau)[2]
    bend = (col.u(xi, tau + h)[2] - col.u(xi, tau - h)[2]) / (2 * h)
    first[:, at_u] = by_tau * speed[:, None]
    # tau is a logarithm: d2 tau/dt2 = - (d tau/dt) / (t + t0)
    second[:, at_u] = bend * (speed**2)[:, None] - by_tau * (speed / (r.t + col.clock.offset_s))[:, None]
    if col.kernels.orders:
        value, _, curve = col.kernels(r.x, r.t)
        first[:, at_k] = col.kernels.diffusivity * curve - col.kernels.decay * value
    return first, second
