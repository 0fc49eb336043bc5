"""Noise has the moments that theory gives, in the units that are stated."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import gamma, hyp1f1

from krogh.errors import InputError
from krogh.fexi.noise import add_noise, noise_sd

N = 200_000


def mean_magnitude(snr: float, coils: int) -> float:
    """Return E of the root sum of squares of 2 N Gaussians of SD 1 with total mean `snr`."""
    return float(np.sqrt(2) * gamma(coils + 0.5) / gamma(coils) * hyp1f1(-0.5, coils, -(snr**2) / 2))


@pytest.mark.parametrize("snr", [0.0, 1.0, 3.0, 20.0])
@pytest.mark.parametrize(("kind", "coils"), [("rician", 1), ("noncentral-chi", 1), ("noncentral-chi", 8)])
def test_moments_of_magnitude_noise(snr: float, kind: str, coils: int) -> None:
    rng = np.random.default_rng(1)
    sample = add_noise(np.full((N, 1), snr), 1.0, rng, kind=kind, n_coils=coils)
    assert (sample >= 0).all()
    second = snr**2 + 2 * coils
    assert np.mean(sample**2) == pytest.approx(second, abs=6 * np.std(sample**2) / np.sqrt(N))
    assert np.mean(sample) == pytest.approx(mean_magnitude(snr, coils), abs=6 * sample.std() / np.sqrt(N))


def test_gaussian_noise_has_mean_and_sd() -> None:
    sample = add_noise(np.full((N, 1), -2.0), 0.5, np.random.default_rng(0), kind="gaussian")
    assert sample.mean() == pytest.approx(-2.0, abs=6 * 0.5 / np.sqrt(N))
    assert sample.std() == pytest.approx(0.5, rel=0.01)


def test_one_coil_of_noncentral_chi_is_rician() -> None:
    signal = np.linspace(0, 5, 50)[:, None]
    one = add_noise(signal, 1.0, np.random.default_rng(3), kind="rician")
    assert np.array_equal(one, add_noise(signal, 1.0, np.random.default_rng(3), kind="noncentral-chi", n_coils=1))


def test_snr_counts_on_the_unfiltered_b0_volume() -> None:
    signals = np.array([[2.0, 1.0, 1.5], [4.0, 1.0, 1.5]])
    unfiltered = np.array([True, False, False])
    assert noise_sd(signals, unfiltered, 50) == pytest.approx(3.0 / 50)
    np.testing.assert_allclose(noise_sd(signals, unfiltered, 50, per_voxel=True), [[0.04], [0.08]])


def test_a_noise_map_shapes_the_noise() -> None:
    sd = np.repeat([0.1, 1.0], N // 2)[:, None]
    sample = add_noise(np.full((N, 1), 100.0), sd, np.random.default_rng(0))
    assert sample[: N // 2].std() == pytest.approx(0.1, rel=0.02)
    assert sample[N // 2 :].std() == pytest.approx(1.0, rel=0.02)


def test_the_seed_decides() -> None:
    signal = np.ones((10, 8))
    first, again, other = (add_noise(signal, 0.1, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("how", [{"sd": -1}, {"sd": np.nan}, {"kind": "rice"}, {"n_coils": 0}])
def test_impossible_noise_is_refused(how: dict[str, float | str]) -> None:
    with pytest.raises(InputError):
        add_noise(np.ones((2, 2)), **{"sd": 1.0, "rng": np.random.default_rng(0), **how})


@pytest.mark.parametrize("snr", [0, -1, np.nan, np.inf])
def test_impossible_snr_is_refused(snr: float) -> None:
    with pytest.raises(InputError):
        noise_sd(np.ones((2, 2)), np.array([True, False]), snr)
    with pytest.raises(InputError, match="unfiltered"):
        noise_sd(np.ones((2, 2)), np.array([False, False]), 50)
