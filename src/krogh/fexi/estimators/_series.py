"""Compiled cost of one voxel under the AXR model, with its derivatives.

With S0 of every series eliminated, the cost is a sum over series of functions of one number, the apparent diffusivity x of
the series::

    F(ADC, sigma, AXR) = sum_s f_s(x_s),   x_s = ADC (1 - sigma E_s),   E_s = exp(-AXR t_s) or 0 without filter
    f_s(x) = min over S0 of  sum_g (u_g - S0 e_g)^2,   e_g = sqrt(W_g) exp(-b_g x),  u_g = sqrt(W_g) y_g

so gradient and Hessian are those of f_s times those of x_s. Units here: ms/um2, um2/ms, s.

Numba's disk cache does not notice that a kernel in another file, called by a cached one, has changed: after editing a kernel,
delete the ``*.nbi`` files of this folder's ``__pycache__``.
"""

from __future__ import annotations

import math
from typing import Any

from numba import njit

__all__ = ["JIT", "evaluate", "series_terms"]

#: How every kernel is compiled: cached on disk, free of the interpreter lock, 1/0 gives inf.
JIT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(**JIT)
def _pair(u0, u1, b0, delta, sw0, sw1, x):  # type: ignore[no-untyped-def]
    """Return the same as `series_terms` for two b-values: f = (u0 rho - u1)^2 / (1 + rho^2), rho = sw1/sw0 exp(-delta x)."""
    rho = sw1 / sw0 * math.exp(-delta * x)
    inverse = 1.0 / (1.0 + rho * rho)
    d, n = u0 * rho - u1, u0 + u1 * rho
    g = d * n * inverse * inverse
    first = -2.0 * delta * rho * g
    mixed = (u0 * n + d * u1) * rho * inverse * inverse
    second = 2.0 * delta * delta * rho * (mixed + g - 4.0 * rho * rho * g * inverse)
    curvature = 2.0 * (delta * rho * n) ** 2 * inverse * inverse * inverse
    s0 = n * inverse / sw0
    return d * d * inverse, first, second, curvature, s0 if b0 == 0.0 else s0 * math.exp(b0 * x)


@njit(**JIT)
def series_terms(u, b, sw, first, last, x, s0, e):  # type: ignore[no-untyped-def]
    """Return f, f', f'', Gauss-Newton curvature and S0 of one series at x; s0 NaN: eliminated, else known."""
    p = q = pb = qb = pbb = qbb = 0.0
    for g in range(first, last):
        bg = b[g]
        eg = sw[g] if bg == 0.0 else sw[g] * math.exp(-bg * x)
        e[g] = eg
        ue, ee = u[g] * eg, eg * eg
        p += ue
        q += ee
        pb += bg * ue
        qb += bg * ee
        pbb += bg * bg * ue
        qbb += bg * bg * ee
    if math.isnan(s0):
        s = p / q
        ds = (2.0 * s * qb - pb) / q
        curvature = 2.0 * s * s * (qbb - qb * qb / q)
        second = 2.0 * (ds * pb - s * pbb) - 4.0 * s * ds * qb + 4.0 * s * s * qbb
    else:
        s = s0
        curvature = 2.0 * s * s * qbb
        second = 2.0 * s * (2.0 * s * qbb - pbb)
    f = 0.0
    for g in range(first, last):
        r = u[g] - s * e[g]
        f += r * r
    return f, 2.0 * s * (pb - s * qb), second, max(curvature, 0.0), s


@njit(**JIT)
def evaluate(u, b, sw, ptr, t, filtered, s0, theta, e, s0_out, grad, newton, gauss):  # type: ignore[no-untyped-def]
    """Return F at theta (adc, sigma, axr); fill gradient [3], exact and Gauss-Newton Hessian [3, 3] and S0 [series]."""
    adc, sigma, axr = theta[0], theta[1], theta[2]
    cost = 0.0
    g0 = g1 = g2 = 0.0
    n00 = n01 = n02 = n11 = n12 = n22 = 0.0
    h00 = h01 = h02 = h11 = h12 = h22 = 0.0
    for s in range(t.size):
        rest = math.exp(-axr * t[s]) if filtered[s] else 0.0
        j0 = 1.0 - sigma * rest
        j1 = -adc * rest
        j2 = adc * sigma * t[s] * rest
        i = ptr[s]
        if ptr[s + 1] - i == 2 and math.isnan(s0[s]):
            f, d1, d2, h, level = _pair(u[i], u[i + 1], b[i], b[i + 1] - b[i], sw[i], sw[i + 1], adc * j0)
        else:
            f, d1, d2, h, level = series_terms(u, b, sw, i, ptr[s + 1], adc * j0, s0[s], e)
        s0_out[s] = level
        cost += f
        g0 += d1 * j0
        g1 += d1 * j1
        g2 += d1 * j2
        n00 += d2 * j0 * j0
        n01 += d2 * j0 * j1 - d1 * rest
        n02 += d2 * j0 * j2 + d1 * sigma * t[s] * rest
        n11 += d2 * j1 * j1
        n12 += d2 * j1 * j2 + d1 * adc * t[s] * rest
        n22 += d2 * j2 * j2 - d1 * j2 * t[s]
        h00 += h * j0 * j0
        h01 += h * j0 * j1
        h02 += h * j0 * j2
        h11 += h * j1 * j1
        h12 += h * j1 * j2
        h22 += h * j2 * j2
    grad[0], grad[1], grad[2] = g0, g1, g2
    newton[0, 0], newton[0, 1], newton[0, 2], newton[1, 1], newton[1, 2], newton[2, 2] = n00, n01, n02, n11, n12, n22
    gauss[0, 0], gauss[0, 1], gauss[0, 2], gauss[1, 1], gauss[1, 2], gauss[2, 2] = h00, h01, h02, h11, h12, h22
    for m in (newton, gauss):
        m[1, 0], m[2, 0], m[2, 1] = m[0, 1], m[0, 2], m[1, 2]
    return cost
