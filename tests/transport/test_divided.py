"""Divided differences of exp beside the corner of a matrix exponential (Opitz), over all spreads and with nodes that coincide."""

import numpy as np
import pytest
from scipy.linalg import expm

from krogh.transport.divided import divided_exp


def corner(x):
    return expm(np.diag(x) + np.diag(np.ones(x.size - 1), 1))[0, -1]


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("spread", [0.0, 1e-9, 1e-3, 0.3, 0.999, 1.001, 3.0, 30.0])
def test_all_spreads(count, spread):
    x = -2.0 - spread * np.random.default_rng(count).random((5, count))
    np.testing.assert_allclose(divided_exp(x), [corner(row) for row in x], rtol=2e-13)


def test_far_nodes_neither_overflow_nor_vanish():
    x = np.array([0.0, -1e6, -1e6])
    np.testing.assert_allclose(divided_exp(x), 1e-12, rtol=1e-5)  # exp[0, a, a] = (1 - (1 + ...)e^a)/a^2 -> 1/a^2
    np.testing.assert_allclose(divided_exp(np.array([-3.0, -3.0])), np.exp(-3.0), rtol=1e-15)
