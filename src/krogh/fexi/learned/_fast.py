"""Exponentials that the compiler can turn into vector instructions, for kernels that spend their time in them."""

from __future__ import annotations

import numpy as np
from numba import njit

from krogh.fexi.estimators._series import JIT

__all__ = ["FAST", "fast_exp", "short_exp"]

#: How kernels with vectorised loops are compiled: sums may be reordered, infinities stay what they are.
FAST = {**JIT, "fastmath": {"contract", "reassoc", "arcp"}}


@njit(**JIT)  # without fastmath: x - k ln 2 must be computed as it stands
def fast_exp(x):  # type: ignore[no-untyped-def]
    """Return e^x within 3e-16 of its value; x is taken as -700 below it and as 700 above.

    With k = round(x / ln 2) the power 2^k is made of bits, and e^(x - k ln 2) is a Taylor polynomial of degree 12.
    """
    x = min(max(x, -700.0), 700.0)
    t = x * 1.4426950408889634 + 6755399441055744.0  # 1.5 x 2^52: the lowest bits of t are k
    k = t - 6755399441055744.0
    r = x - k * 0.6931471803691238
    r -= k * 1.9082149292705877e-10
    p = 1 / 479001600.0
    p = p * r + 1 / 39916800.0
    p = p * r + 1 / 3628800.0
    p = p * r + 1 / 362880.0
    p = p * r + 1 / 40320.0
    p = p * r + 1 / 5040.0
    p = p * r + 1 / 720.0
    p = p * r + 1 / 120.0
    p = p * r + 1 / 24.0
    p = p * r + 1 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    n = (np.float64(t).view(np.int64) << 52) + 4607182418800017408
    return p * np.int64(n).view(np.float64)


_LIMIT, _PER_LN2, _MAGIC = np.float32(87.0), np.float32(1.4426950408889634), np.float32(12582912.0)  # 1.5 x 2^23
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_C6, _C5, _C4, _C3 = np.float32(1 / 720), np.float32(1 / 120), np.float32(1 / 24), np.float32(1 / 6)
_HALF, _ONE = np.float32(0.5), np.float32(1.0)


@njit(**JIT)
def short_exp(x):  # type: ignore[no-untyped-def]
    """Return e^x of a 32-bit x within 2e-7 of its value, x taken as -87 below it and as 87 above; as `fast_exp`, degree 6."""
    x = min(max(x, -_LIMIT), _LIMIT)
    t = x * _PER_LN2 + _MAGIC
    k = t - _MAGIC
    r = x - k * _LN2_HIGH
    r -= k * _LN2_LOW
    p = _C6
    p = p * r + _C5
    p = p * r + _C4
    p = p * r + _C3
    p = p * r + _HALF
    p = p * r + _ONE
    p = p * r + _ONE
    n = (np.float32(t).view(np.int32) << np.int32(23)) + np.int32(1065353216)
    return p * np.int32(n).view(np.float32)
