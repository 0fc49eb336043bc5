"""The CSF chain and the tissue fit against exact answers."""

import numpy as np
import pytest

from krogh.errors import InputError
from krogh.validation.csf import follow_csf, human_csf
from krogh.validation.pet import fit_two_tissue, two_tissue


def test_csf_settles_where_its_balance_says():
    c, p, i, permeability = human_csf(), 2.0, 0.7, 3e-9
    t = np.linspace(0.0, 2e6, 50)
    cranial, lumbar = follow_csf(c, t, np.full(50, p), np.full(50, i), permeability)
    ps = permeability * c.plexus_m2
    expected = (ps * p + c.bulk_m3_s * i) / (ps + c.production_m3_s)  # what enters leaves by the plexus and with all CSF
    assert cranial[-1] == pytest.approx(expected, rel=1e-9)
    assert lumbar[-1] == pytest.approx(expected, rel=1e-9)
    assert (lumbar[1:-1] <= cranial[1:-1] + 1e-7).all()  # the lumbar space lags


def test_csf_does_not_depend_on_the_steps():
    t = np.linspace(0.0, 86400.0, 25)
    fine = np.linspace(0.0, 86400.0, 2401)
    drive = np.interp(fine, t, np.exp(-t / 2e4))
    coarse = follow_csf(human_csf(), t, drive[::100], 0.3 * drive[::100], 1e-8)
    many = follow_csf(human_csf(), fine, drive, 0.3 * drive, 1e-8)
    for a, b in zip(coarse, many, strict=True):
        np.testing.assert_allclose(a, b[::100], rtol=1e-9, atol=1e-15)


def test_csf_refuses_times_that_do_not_rise():
    with pytest.raises(InputError, match="rise from 0"):
        follow_csf(human_csf(), np.array([0.0, 0.0]), np.ones(2), np.ones(2), 1e-9)


def test_two_tissue_of_a_rising_input_is_the_closed_form():
    t = np.arange(0.0, 3600.0, 1.0)
    k1, k2 = 0.2, 0.1
    rate = k2 / 60
    tissue = two_tissue((k1, k2, 0.0, 0.5, 0.0), t, t)
    np.testing.assert_allclose(tissue, k1 / 60 * (t / rate + np.expm1(-rate * t) / rate**2), rtol=1e-9, atol=1e-12)


def test_fit_finds_what_was_put_in():
    t = np.arange(0.0, 5402.0, 1.0)
    plasma = 50.0 * (t / 40.0) * np.exp(1 - t / 40.0) + 5.0 * -np.expm1(-t / 60.0) * np.exp(-t / 3000.0)
    truth = (0.11, 0.13, 0.07, 0.03, 0.04)
    area = np.concatenate([[0.0], np.cumsum(two_tissue(truth, plasma, 0.7 * plasma))])
    start = np.concatenate([np.arange(0, 300, 30), np.arange(300, 5400, 300)]).astype(float)
    length = np.diff(np.append(start, 5400.0))
    mean = (area[(start + length).astype(int)] - area[start.astype(int)]) / length
    fit = fit_two_tissue(start, length, mean, np.ones(start.size), t, plasma, 0.7 * plasma)
    assert (fit.k1, fit.k2, fit.k3, fit.k4, fit.blood) == pytest.approx(truth, rel=1e-3)
    assert fit.delay_s == pytest.approx(0.0, abs=0.05)
