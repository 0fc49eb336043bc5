"""Indices against exact ones: a product of two inputs through the whole model, and Kp,uu of passive entry against bulk flow."""

import numpy as np
import pytest
from scipy import stats

import krogh
from krogh.errors import InputError
from krogh.runs.uncertainty.design import count_rows, design_shares, proper_rows
from krogh.runs.uncertainty.summary import _salib, rank_correlations

_FU, _CL = (0.35, 1.0), (2.0, 18.0)  # the second in L/h


def _moments(low, high):
    """Return mean and mean square of exp(U), U uniform between the logarithms."""
    span = np.log(high / low)
    return (high - low) / span, (high**2 - low**2) / (2 * span)


@pytest.fixture(scope="module")
def product():
    """AUC of free drug behind an open barrier is fu dose / CL: the product of two independent inputs."""
    pytest.importorskip("SALib", reason="SALib is not installed (extra sensitivity)")
    free = [f"fu_plasma={_FU[0]}..{_FU[1]} loguniform", f"pk.cl={_CL[0]}..{_CL[1]} L/h loguniform"]
    return krogh.sensitivity("caffeine", dose="100 mg iv", duration="20 d", free=free, method="sobol", samples=128, cells=24)


def test_sobol_indices_of_a_product_are_the_exact_ones(product):
    (a, aa), (b, bb) = _moments(*_FU), _moments(1 / _CL[1], 1 / _CL[0])
    whole = aa * bb - (a * b) ** 2
    first = np.array([(aa - a * a) * b * b, (bb - b * b) * a * a]) / whole
    found = product.indices.loc["auc_interstitium_uM_min"]
    assert np.all(np.abs(found["first"] - first) < found["first_conf"])
    assert np.all(np.abs(found["total"] - (1 - first[::-1])) < found["total_conf"])
    assert np.all(found["total_conf"] < 0.3)  # an interval that holds everything would prove nothing


def test_percentiles_are_those_of_the_exact_distribution(product):
    rows = product.ensemble.rows[5:][proper_rows("sobol", 512, 2)]
    dose = product.ensemble.base.doses[0].amount_mol(0.19419, 70.0)
    exact = rows[:, 0] * dose / rows[:, 1] * 1e3 / 60  # each draw by hand
    np.testing.assert_allclose(
        product.table.loc["auc_interstitium_uM_min", ["p05", "p50", "p95"]], np.percentile(exact, [5, 50, 95]), rtol=2e-3
    )
    # and the draws are those of the two spreads: the sum of two even spreads of the logarithms
    share = np.random.default_rng(0).random((200_000, 2))
    large = np.log(share[:, 0] * np.log(_FU[1] / _FU[0]) + share[:, 1] * np.log(_CL[1] / _CL[0]))
    small = np.log(np.log(rows[:, 0] / _FU[0]) + np.log(_CL[1] / 3.6e6 / rows[:, 1]))
    assert stats.ks_2samp(large, small).pvalue > 0.01


def test_single_effects_are_exact(product):
    alone = product.summary.alone[:, :, product.ensemble.outputs.index("auc_interstitium_uM_min")]
    base = product.summary.nominal[1]
    fu, cl = (f.value for f in product.ensemble.factors)
    np.testing.assert_allclose(alone[0] / base, np.array(_FU) / fu, rtol=2e-3)
    np.testing.assert_allclose(alone[1] / base, cl / (np.array(_CL) / 3.6e6), rtol=2e-3)


def test_kp_uu_against_bulk_flow_is_a_ratio_of_clearances():
    """Passive entry P S against bulk flow Q: Kp,uu = P / (P + Q/S), for every draw of P, Q and S."""
    free = ["permeability=x2", "physiology.interstitial_bulk_flow=5..50 uL/min/g", "physiology.barrier_area=50..200 cm2/g"]
    found = krogh.sensitivity("caffeine", dose="1 uM constant", duration="24 h", free=free, samples=24, cells=40)
    keys = [f.key for f in found.ensemble.factors]
    rows = {k: found.ensemble.rows[:, i] for i, k in enumerate(keys)}
    p, area = rows["permeability"], rows["physiology.barrier_area"]
    exact = p / (p + rows["physiology.interstitial_bulk_flow"] / area)
    at = found.ensemble.outputs.index("kp_uu")
    alone = np.concatenate([[found.summary.nominal[at]], found.summary.alone[:, :, at].ravel()])
    np.testing.assert_allclose(alone, exact[:7], rtol=4e-3)
    np.testing.assert_allclose(found.table.loc["kp_uu", ["p05", "p50", "p95"]], np.percentile(exact[7:], [5, 50, 95]), rtol=4e-3)
    r = found.indices.loc["kp_uu"].rank_correlation
    assert r["permeability"] > 0.9
    assert r["physiology.interstitial_bulk_flow"] < -0.9


def test_partial_rank_correlation_is_that_of_the_residuals():
    rng = np.random.default_rng(5)
    x = rng.random((60, 3))
    y = np.exp(3 * x[:, 0]) - x[:, 1] + 0.3 * rng.standard_normal(60)
    ranks = np.column_stack([stats.rankdata(c) for c in (*x.T, y)])
    r, low, high = rank_correlations(x, y)
    for i in range(3):
        others = np.column_stack([np.ones(60), np.delete(ranks[:, :3], i, axis=1)])
        left = [v - others @ np.linalg.lstsq(others, v, rcond=None)[0] for v in (ranks[:, i], ranks[:, 3])]
        assert r[i] == pytest.approx(np.corrcoef(*left)[0, 1], abs=1e-8)
    assert np.all((low < r) & (r < high))
    blank, _, _ = rank_correlations(x[:6], y[:6])
    assert np.isnan(blank).all()
    assert not rank_correlations(x, np.ones(60))[0].any()


def test_interval_of_a_rank_correlation_covers():
    rng, hits, trials = np.random.default_rng(6), 0, 2000
    for _ in range(trials):
        x = rng.random((40, 3))
        _, low, high = rank_correlations(x, rng.random(40))  # no dependence: 0 is true
        hits += int(((low <= 0) & (high >= 0)).sum())
    assert abs(hits / (3 * trials) - 0.95) < 0.012


@pytest.mark.parametrize(("method", "samples", "rows"), [("lhs", 16, 16), ("sobol", 16, 80), ("morris", 16, 64)])
def test_designs_are_the_same_for_a_seed(method, samples, rows):
    if method != "lhs":
        pytest.importorskip("SALib", reason="SALib is not installed (extra sensitivity)")
    one, two, other = (design_shares(method, samples, 3, seed) for seed in (0, 0, 1))
    assert one.shape == (rows, 3)
    assert count_rows(method, samples, 3) == rows
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)
    assert one.min() >= 0
    assert one.max() <= 1
    if method != "lhs":
        y = one @ np.array([1.0, 2.0, 0.0])
        for a, b in zip(_salib(method, one, y, 0), _salib(method, one, y, 0), strict=True):
            np.testing.assert_array_equal(a, b)
    else:  # one sample in each of N strata of each factor
        assert all(sorted((16 * c).astype(int)) == list(range(16)) for c in one.T)


@pytest.mark.parametrize(("method", "samples"), [("sobol", 100), ("lhs", 3), ("nope", 16), ("lhs", 2_000_000)])
def test_bad_designs_are_refused(method, samples):
    with pytest.raises(InputError, match="--"):
        count_rows(method, samples, 3)


def test_morris_effects_of_a_line_are_its_slopes():
    pytest.importorskip("SALib", reason="SALib is not installed (extra sensitivity)")
    shares = design_shares("morris", 8, 3, 0)
    mu_star, _, sigma = _salib("morris", shares, shares @ np.array([1.0, -2.0, 0.0]), 0)
    np.testing.assert_allclose(mu_star, [1.0, 2.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(sigma, 0.0, atol=1e-12)
