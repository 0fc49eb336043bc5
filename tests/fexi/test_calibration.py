"""Calibration by simulation: right posteriors pass, wrong ones are caught, scans count and not voxels."""

import dataclasses

import numpy as np
import pytest
from scipy.special import ndtr

from krogh.errors import InputError, UsageError
from krogh.fexi import get_estimator, preset
from krogh.fexi.calibration import LEVELS, Ranks, calibrate, uniformity
from krogh.fexi.learned.prior import MixturePrior
from krogh.fexi.models.axr import AxrModel

PROTOCOL, MODEL = preset("human-bbb"), AxrModel()
PRIOR = MixturePrior(MODEL.bounds, np.array([0.02, 0.98]), np.array([[-1.5, -1.2, -1.8]]), np.diag([0.15, 0.35, 0.45])[None] ** 2)


def right(voxels: int = 300, **more):
    given = {"scans": 12, "voxels": voxels, "regions": 0, "settings": {"prior": PRIOR}, "seed": 3}
    return calibrate(MODEL, PROTOCOL, PRIOR.draw, snr=50.0, **{**given, **more})


def test_the_true_prior_gives_intervals_that_cover_and_uniform_ranks():
    found = right()
    cover, _ = found.voxels.coverage()
    for level, row in zip(LEVELS, cover, strict=True):
        assert np.all(np.abs(row - level) < 4 * np.sqrt(level * (1 - level) / 3600))
    assert found.voxels.p_values().min() > 0.01
    assert found.regions is None


def _wrong(factor: float, shift: float):
    def fit(model, protocol, signals, **settings):
        made = get_estimator("eb")(model, protocol, signals, **settings)
        moved = {k: v + shift * made.sd[k] for k, v in made.parameters.items()}
        return dataclasses.replace(made, parameters=moved, sd={k: factor * v for k, v in made.sd.items()}, extra={})

    return fit


@pytest.mark.parametrize(("factor", "shift"), [(0.7, 0.0), (1.5, 0.0), (1.0, 0.4)], ids=["too sure", "too unsure", "biased"])
def test_a_wrong_estimator_is_caught(factor, shift):
    found = right(estimator=_wrong(factor, shift))
    assert found.estimator == "given"
    assert found.voxels.p_values().max() < 1e-3
    cover = found.voxels.coverage()[0][1]
    assert {0.7: cover.max() < 0.72, 1.5: cover.min() > 0.88, 1.0: True}[factor]


def test_scans_are_counted_and_not_voxels():
    """Ranks that the voxels of a scan share in part are uniform over scans: no alarm beyond the nominal rate."""
    rng, p = np.random.default_rng(0), []
    for _ in range(300):
        z = 0.3 * rng.standard_normal((12, 1)) + np.sqrt(1 - 0.3**2) * rng.standard_normal((12, 200))
        p.append(uniformity(ndtr(z)))
    assert np.mean(np.array(p) < 0.05) < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 300)
    one = Ranks(rng.random((10, 500, 1)))
    assert one.coverage()[0][:, 0] == pytest.approx(LEVELS, abs=0.03)
    assert uniformity(rng.beta(3, 3, (12, 200))) < 1e-6


@pytest.mark.slow
def test_regions_of_both_kinds_have_ranks():
    found = right(voxels=200, scans=6, regions=2)
    assert found.regions.value.shape == (6, 2, 3)
    assert np.all((found.regions.value > 0) & (found.regions.value < 1))
    pooled = right(voxels=200, scans=6, regions=2, estimator="nlls", settings={})
    assert np.isfinite(pooled.regions.value).all()
    # least squares at SNR 50 is not calibrated: Gaussian SDs around estimates on a bound
    assert pooled.voxels.p_values()[2] < 0.01


def test_refusals():
    with pytest.raises(InputError, match="at least 6"):
        right(scans=3)
    with pytest.raises(InputError, match="at least 50 voxels"):
        right(regions=20)
    with pytest.raises(InputError, match="snr"):
        calibrate(MODEL, PROTOCOL, PRIOR.draw, snr=-1.0)
    with pytest.raises(UsageError, match="no SD"):
        right(estimator=lambda *a, **k: dataclasses.replace(get_estimator("nlls")(*a, **{"noise_sd": k["noise_sd"]}), sd={}))


def test_quantiles_give_ranks_and_coverage_exactly():
    """Gaussian quantiles: the level of every value is its normal probability, also beyond the last quantile."""
    from scipy.special import ndtri

    from krogh.fexi.calibration import _between
    from krogh.fexi.learned.posterior import QUANTILES

    levels, z = np.array(QUANTILES), np.linspace(-4, 4, 101)
    quantiles = np.broadcast_to(2 + 3 * ndtri(levels), (101, 1, levels.size))
    np.testing.assert_allclose(_between(quantiles, levels, (2 + 3 * z)[:, None])[:, 0], ndtr(z), atol=1e-12)
    assert np.isnan(_between(np.full((1, 1, levels.size), np.nan), levels, np.ones((1, 1)))).all()


def test_intervals_of_the_coverage_hold_the_truth_at_their_level():
    rng = np.random.default_rng(1)
    inside = []
    for _ in range(200):
        low, high = Ranks(rng.random((8, 60, 1))).coverage_interval()
        inside.append((low[:, 0] <= LEVELS) & (high[:, 0] >= LEVELS))
    assert np.all(np.abs(np.mean(inside, axis=0) - 0.96) < 0.05)


def test_what_cannot_be_identified_is_refused():
    from krogh.fexi.models import get_model

    with pytest.raises(InputError, match="cannot tell apart"):
        calibrate(get_model("2cm", fixed={}), PROTOCOL, PRIOR.draw, snr=50.0)
