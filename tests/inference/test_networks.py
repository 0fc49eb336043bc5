"""Networks as a predictor: the values of finite volumes, exact slopes, and what is read of the blood."""

import numpy as np
from tests.inference._cases import observations
from tests.inference.test_experiment import experiment

from krogh.inference.networks import networks_of
from krogh.inference.observations import Observations
from krogh.inference.parameters import find_parameter
from krogh.inference.predictors import predictor

T = np.array([600.0, 1800.0, 3600.0])


def test_tissue_and_plasma_by_networks_are_those_of_finite_volumes_and_so_are_their_slopes():
    e = experiment()
    parameters = [find_parameter(n, e.subject) for n in ("P", "Vmax", "clearance")]
    matrices = ("interstitium", "brain total", "plasma")
    data = Observations.join([observations(T, [1.0, 1.0, 1.0], cv=0.1, matrix=m) for m in matrices])
    found = networks_of({"study": experiment(solver="pinn", tol=3e-3)}, parameters, data)
    volumes = predictor({"study": e}, parameters, data)
    theta = np.array([p.nominal for p in parameters]) * np.array([1.2, 0.8, 1.1])
    m, by = found.slopes(theta[None])
    np.testing.assert_allclose(found.predict(theta[None]), m, rtol=1e-9)
    moves = np.exp(1e-3 * np.eye(3))
    rows = volumes(np.concatenate([theta[None], theta * moves, theta / moves]))
    np.testing.assert_allclose(m[0], rows[0], rtol=5e-4)
    expected = (rows[1:4] - rows[4:]).T / 2e-3
    assert np.all(np.abs(by[0] - expected) < 2e-3 * np.abs(expected).max(0))
    assert np.all(by[0, 6:, :2] == 0)  # P and Vmax leave the plasma as it is
    assert found.certificate(theta) < 6e-3


def test_a_parameter_inside_the_layers_trains_every_row():
    e = experiment(cells=24, solver="pinn", tol=1e-2)
    p = find_parameter("fu_brain", e.subject)
    data = observations(T[:1], [1.0], cv=0.1, matrix="brain total")
    found = networks_of({"study": e}, [p], data)
    theta = p.nominal * np.array([[1.0], [0.8]])
    expected = predictor({"study": experiment(cells=24)}, [p], data)(theta)
    np.testing.assert_allclose(found.predict(theta), expected, rtol=5e-3)
