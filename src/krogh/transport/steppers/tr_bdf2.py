"""Adaptive, L-stable, second order: trapezoid to an inner point, then BDF2."""

import numpy as np

from krogh.transport.steppers.tableau import Tableau

_W = np.sqrt(2.0) / 4
_G = 1 - np.sqrt(2.0) / 2

#: Bank et al. 1985 with the error estimate of Hosea & Shampine 1996, doi:10.1016/0168-9274(95)00115-8.
TR_BDF2 = Tableau(
    name="tr-bdf2",
    a=np.array([[0, 0, 0], [_G, _G, 0], [_W, _W, _G]]),
    b_error=np.array([(1 - _W) / 3, (3 * _W + 1) / 3, _G / 3]),
    order=2,
    error_order=3,
)
