"""Plasma curves against SciPy's ODE solver, their exact area, and their limits at doses."""

import itertools

import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp

from krogh.blood.dose import parse_dose
from krogh.blood.pk import constant_terms, disposition, dose_terms, stack
from krogh.compounds import Compound, PlasmaPK, Value, get_compound
from krogh.errors import InputError


def _v(x):
    return Value(x, "for the test", "U")


def _compound(compartments, *, ka=4e-4, lag=0.0, cl=2e-6, basis="total"):
    extra = {}
    if compartments > 1:
        extra |= {"q2_m3_s": _v(5e-6), "v2_m3": _v(0.03)}
    if compartments > 2:
        extra |= {"q3_m3_s": _v(4e-7), "v3_m3": _v(0.2)}
    pk = PlasmaPK(
        "human", _v(70.0), _v(0.02), _v(cl), ka_per_s=_v(ka), bioavailability=_v(0.6), lag_s=_v(lag), basis=basis, **extra
    )
    return Compound("test", molar_mass_kg_mol=_v(0.2), fu_plasma={"human": _v(0.3)}, pk={"human": pk})


def _by_ode(compound, dose, times):
    """Return the total plasma concentration by integrating gut and compartments piece by piece between doses."""
    pk = compound.pk["human"]
    volumes = [pk.v1_m3.value]
    flows = []
    for q, v in ((pk.q2_m3_s, pk.v2_m3), (pk.q3_m3_s, pk.v3_m3)):
        if q is not None:
            flows.append(q.value)
            volumes.append(v.value)
    amount = dose.amount_mol(0.2, 70.0)
    doses = dose.times_s()
    lag = pk.lag_s.value if dose.route == "oral" else 0.0

    def rate(t, y):
        out = np.zeros_like(y)
        out[1] -= pk.cl_m3_s.value * y[1] / volumes[0] - pk.ka_per_s.value * y[0]
        out[0] -= pk.ka_per_s.value * y[0]
        for i, q in enumerate(flows, start=2):
            flow = q * (y[1] / volumes[0] - y[i] / volumes[i - 1])
            out[1] -= flow
            out[i] += flow
        if dose.route == "infusion":
            out[1] += sum(amount / dose.over_s for d in doses if d <= t < d + dose.over_s)
        return out

    breaks = {0.0, float(times[-1])} | {d + lag for d in doses}
    if dose.route == "infusion":
        breaks |= {d + dose.over_s for d in doses}
    breaks = sorted(b for b in breaks if b <= times[-1])
    y = np.zeros(1 + len(volumes))
    found = np.empty(len(times))
    for a, b in itertools.pairwise(breaks):
        if any(abs(a - d - lag) < 1e-9 for d in doses) and dose.route != "infusion":
            y[0 if dose.route == "oral" else 1] += amount * (0.6 if dose.route == "oral" else 1.0)
        own = (times >= a) & (times <= b)
        middle = lambda t, y, a=a, b=b: rate(min(max(t, a + 1e-9), b - 1e-9), y)  # noqa: E731
        run = solve_ivp(middle, (a, b), y, t_eval=np.unique([*times[own], b]), rtol=1e-11, atol=1e-20, method="LSODA")
        found[own] = run.y[1][np.searchsorted(run.t, times[own])] / volumes[0]
        y = run.y[:, -1]
    return found


@pytest.mark.parametrize("compartments", [1, 2, 3])
@pytest.mark.parametrize(
    "text",
    [
        "50 mg iv",
        "50 mg iv every 2 h x 3",
        "50 mg infusion over 45 min",
        "50 mg infusion over 1 h every 3 h x 2",
        "1 mg/kg oral",
        "80 mg oral every 4 h x 2",
    ],
)
def test_plasma_follows_its_differential_equations(compartments, text):
    compound, dose = _compound(compartments, lag=600.0), parse_dose(text)
    blood = stack([[dose_terms(compound, dose, "human")]])
    times = np.linspace(37.0, 6 * 3600.0, 40)
    exact = _by_ode(compound, dose, times)
    got = np.array([blood.total(t)[0, 0] for t in times])
    np.testing.assert_allclose(got, exact, rtol=1e-7, atol=1e-8 * exact.max())


@pytest.mark.parametrize("compartments", [1, 2, 3])
def test_disposition_starts_at_one_over_v1_and_clears_the_dose(compartments):
    pk = _compound(compartments).pk["human"]
    a, rates = disposition(pk)
    assert a.size == compartments
    assert a.sum() == pytest.approx(1 / 0.02, rel=1e-12)
    assert np.all(a >= 0)
    assert (a / rates).sum() == pytest.approx(1 / 2e-6, rel=1e-9)  # AUC = dose / CL


def test_area_is_exact():
    for text in ("50 mg iv every 2 h x 3", "50 mg infusion over 45 min", "80 mg oral every 4 h x 2"):
        compound, dose = _compound(2, lag=300.0), parse_dose(text)
        blood = stack([[dose_terms(compound, dose, "human")]])
        for end in (1000.0, 5 * 3600.0):
            points = [0.0, *blood.events(end), end]
            area = sum(
                quad(lambda t, blood=blood: blood.total(t)[0, 0], a, b, epsrel=1e-11, limit=200)[0]
                for a, b in itertools.pairwise(points)
            )
            assert blood.auc_total(end)[0, 0] == pytest.approx(area, rel=1e-9)
    whole = blood.auc_total(1e9)[0, 0]
    assert whole == pytest.approx(0.6 * 2 * dose.amount_mol(0.2, 70.0) / 2e-6, rel=1e-8)


def test_constant_infusion_area_with_zero_rate_terms():
    blood = stack([[constant_terms(2e-3)]])
    assert blood.auc_total(500.0)[0, 0] == pytest.approx(1.0, rel=1e-14)
    assert blood.free(1e6)[0, 0] == 2e-3


def test_a_dose_is_seen_after_it_and_not_before():
    blood = stack([[dose_terms(_compound(1), parse_dose("50 mg iv every 2 h x 3"), "human")]])
    step = 50e-6 / 0.2 / 0.02
    for t in (7200.0, 14400.0):
        after, before = blood.total(t)[0, 0], blood.total(t, left=True)[0, 0]
        assert after - before == pytest.approx(step, rel=1e-12)
        assert before == pytest.approx(blood.total(t - 1e-6)[0, 0], rel=1e-6)
    assert blood.total(0.0, left=True)[0, 0] == 0
    assert blood.total(0.0)[0, 0] == pytest.approx(step)
    np.testing.assert_array_equal(blood.events(1e5), [7200.0, 14400.0])
    np.testing.assert_array_equal(blood.events(14400.0), [7200.0])


def test_only_the_unbound_part_is_free():
    blood = stack([[dose_terms(_compound(1), parse_dose("50 mg iv"), "human")]])
    assert blood.free(60.0)[0, 0] == pytest.approx(0.3 * blood.total(60.0)[0, 0], rel=1e-15)
    unbound = stack([[dose_terms(_compound(1, basis="unbound"), parse_dose("50 mg iv"), "human")]])
    assert unbound.free(60.0)[0, 0] == unbound.total(60.0)[0, 0] == pytest.approx(blood.total(60.0)[0, 0])


def test_absorption_as_fast_as_elimination_has_a_limit():
    # ka = k exactly: t exp(-k t), which no sum of two exponentials is
    k = 2e-6 / 0.02
    blood = stack([[dose_terms(_compound(1, ka=k), parse_dose("50 mg oral"), "human")]])
    t = 8000.0
    assert blood.total(t)[0, 0] == pytest.approx(0.6 * 50e-6 / 0.2 / 0.02 * k * t * np.exp(-k * t), rel=1e-5)


def test_without_elimination():
    compound = _compound(1, cl=0.0)
    blood = stack([[dose_terms(compound, parse_dose("50 mg iv"), "human")]])
    assert blood.total(1e6)[0, 0] == pytest.approx(50e-6 / 0.2 / 0.02)
    with pytest.raises(InputError, match="elimination"):
        dose_terms(compound, parse_dose("50 mg infusion over 1 h"), "human")


def test_a_stack_pads_without_changing_anything():
    terms = [dose_terms(_compound(n), parse_dose(d), "human") for n, d in ((1, "50 mg iv"), (3, "50 mg oral every 1 h x 5"))]
    together = stack([[t] for t in terms])
    for i, t in enumerate(terms):
        alone = stack([[t]])
        for at in (0.0, 100.0, 3600.0, 20000.0):
            assert together.total(at)[i, 0] == pytest.approx(alone.total(at)[0, 0], rel=1e-14)
        assert together.auc_total(1e4)[i, 0] == pytest.approx(alone.auc_total(1e4)[0, 0], rel=1e-14)


def test_what_is_blank_is_named_with_its_option():
    with pytest.raises(InputError, match=r"no plasma kinetics for mouse.*--plasma"):
        dose_terms(_compound(1), parse_dose("50 mg iv"), "mouse")
    mannitol = get_compound("mannitol")
    with pytest.raises(InputError, match=r"--set mannitol\.pk\.human\."):
        dose_terms(mannitol, parse_dose("1 g oral"), "human")
