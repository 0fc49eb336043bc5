"""Flux laws: derivatives, signs, limits, competition."""

import numpy as np
import pytest

from krogh.barrier.reactions import MichaelisMenten
from krogh.barrier.routes import ROUTES, AdsorptiveTranscytosis, Carrier, Efflux, Paracellular, Passive, ReceptorTranscytosis
from krogh.barrier.routes.passive import solubility_diffusion
from krogh.errors import InputError


def _column(*values):
    return np.array(values)[None, :, None]


def _routes(species):
    """Return one route of every kind, with numbers that differ between species."""
    spread = np.linspace(1.0, 1.7, species)
    return {
        "passive": Passive(_column(*(2e-7 * spread)), 1.0, _column(*(0.6 * spread))),
        "paracellular": Paracellular(_column(*(3e-9 * spread))),
        "carrier": Carrier(_column(*(4e-8 * spread)), _column(*(0.3 * spread)), 1.4, 0.3),
        "efflux": Efflux(_column(*(5e-8 * spread)), _column(*(0.2 * spread)), _column(*(0.8 * spread))),
        "receptor": ReceptorTranscytosis(1e-3, 1e-8, _column(*(1e-3 * spread)), 0.4, 0.6, 0.4, 2.0, 0.5),
        "adsorptive": AdsorptiveTranscytosis(1e-4, 2e-7, _column(*(0.05 * spread)), 1e-11),
    }


def test_every_kind_of_route_is_checked_here():
    assert set(_routes(1)) == set(ROUTES)


def _levels(species, seed):
    rng = np.random.default_rng(seed)
    return 10 ** rng.uniform(-4, 1, (2, species, 5)), 10 ** rng.uniform(-4, 1, (2, species, 5))


@pytest.mark.parametrize("species", [1, 2, 3])
@pytest.mark.parametrize("kind", ROUTES)
@pytest.mark.parametrize("below_zero", [False, True])
def test_derivatives_are_exact(kind, species, below_zero):
    route = _routes(species)[kind]
    a, b = _levels(species, 3)
    if below_zero:  # Newton's method passes there
        a[:, 0], b[:, -1] = -a[:, 0], -b[:, -1]
    flux = route.flux(a, b)
    step = 1e-30
    for side, given in (("d_blood", flux.d_blood), ("d_brain", flux.d_brain)):
        for j in range(species):
            shifted = [a.astype(complex), b.astype(complex)]
            shifted[side == "d_brain"][:, j] += 1j * step
            moved = route.flux(*shifted)
            exact = (moved.inward - moved.outward).imag / step  # complex step: no cancellation
            given = np.broadcast_to(given, (2, species, species, 5) if np.ndim(given) == 4 else (2, species, 5))
            got = given[:, :, j] if given.ndim == 4 else np.where(np.arange(species)[None, :, None] == j, given, 0.0)
            np.testing.assert_allclose(got, exact, rtol=1e-12, atol=1e-25)


@pytest.mark.parametrize("kind", ROUTES)
def test_one_way_fluxes_are_not_negative_and_vanish_with_the_concentrations(kind):
    route = _routes(2)[kind]
    flux = route.flux(*_levels(2, 5))
    assert np.all(flux.inward >= 0)
    assert np.all(flux.outward >= 0)
    nothing = route.flux(np.zeros((1, 2, 1)), np.zeros((1, 2, 1)))
    assert np.all(nothing.inward == 0)
    assert np.all(nothing.outward == 0)


@pytest.mark.parametrize(
    "route",
    [
        Passive(1e-6),
        Paracellular(1e-9),
        Carrier(1e-7, np.full((1, 2, 1), 0.4), 0.7, 0.7),
        AdsorptiveTranscytosis(1e-4, 1e-7, 0.1, 1e-11),
        ReceptorTranscytosis(1e-3, 1e-8, 1e-3),
    ],
    ids=lambda r: type(r).__name__,
)
def test_equal_concentrations_give_no_net_flux(route):
    a, _ = _levels(2, 8)
    flux = route.flux(a, a)
    np.testing.assert_allclose(flux.inward, flux.outward, rtol=1e-15)
    assert np.all(flux.inward > 0)


@pytest.mark.parametrize("kind", ROUTES)
def test_laws_rise_with_their_own_side_everywhere(kind):
    # a pole below zero would give the balance at a membrane a second root
    u = np.concatenate([-np.logspace(4, -9, 60), [0.0], np.logspace(-9, 4, 60)])[None, None]
    flux = _routes(1)[kind].flux(u, u)
    assert np.all(np.isfinite(flux.inward))
    for way in (flux.inward, flux.outward):
        assert np.all(np.diff(way) >= 0)
    assert np.all(flux.d_blood >= 0)
    assert np.all(flux.d_brain <= 0)


def test_reactions_rise_with_concentration_everywhere():
    u = np.concatenate([-np.logspace(4, -9, 60), [0.0], np.logspace(-9, 4, 60)])
    rate, slope = MichaelisMenten(0.7, 0.3, (None,)).rate(u)
    assert np.all(np.diff(rate) >= 0)
    assert np.all(slope > 0)


def test_efflux_goes_one_way_and_saturates():
    pump = Efflux(5e-8, 0.2, activity=0.5)
    flux = pump.flux(*_levels(1, 2))
    assert np.all(flux.inward == 0)
    assert np.all(flux.outward < 0.5 * 5e-8)
    one = np.ones((1, 1, 1))
    assert pump.flux(one, 1e9 * one).outward[0, 0, 0] == pytest.approx(2.5e-8, rel=1e-8)
    assert pump.flux(one, 1e-9 * one).outward[0, 0, 0] == pytest.approx(2.5e-8 / 0.2 * 1e-9, rel=1e-7)
    assert Efflux(5e-8, 0.2, activity=0.0).flux(one, one).outward[0, 0, 0] == 0


def test_carrier_of_one_species_is_the_textbook_law():
    vmax, km, a, b = 3e-8, 0.4, 0.9, 0.2
    flux = Carrier(vmax, np.full((1, 1, 1), km)).flux(np.full((1, 1, 1), a), np.full((1, 1, 1), b))
    assert (flux.inward - flux.outward)[0, 0, 0] == pytest.approx(vmax * km * (a - b) / ((km + a) * (km + b)), rel=1e-13)


def test_competitors_slow_a_carrier_by_their_occupancy():
    km = _column(0.1, 0.5)
    carrier = Carrier(_column(1e-7, 1e-7), km)
    alone = carrier.flux(_column(0.01, 0.0), _column(0.0, 0.0)).inward[0, 0, 0]
    crowded = carrier.flux(_column(0.01, 2.0), _column(0.0, 0.0)).inward[0, 0, 0]
    assert crowded / alone == pytest.approx((1 + 0.1) / (1 + 0.1 + 4.0), rel=1e-12)
    # one that does not bind does not compete
    other = Carrier(_column(1e-7, 0.0), _column(0.1, np.inf))
    assert other.flux(_column(0.01, 2.0), _column(0.0, 0.0)).inward[0, 0, 0] == pytest.approx(alone, rel=1e-14)


def test_solubility_diffusion_is_k_d_over_thickness():
    assert solubility_diffusion(2.0, 1e-12, 4e-9) == pytest.approx(5e-4)
    for bad in ((2.0, 1e-12, 0.0), (-1.0, 1e-12, 4e-9), (1.0, -1e-12, 4e-9)):
        with pytest.raises(InputError):
            solubility_diffusion(*bad)


@pytest.mark.parametrize("km", [0.3, np.inf])
def test_reactions_have_exact_derivatives_and_limits(km):
    law = MichaelisMenten(0.7, km, (None,))
    u = 10.0 ** np.linspace(-6, 2, 9)
    rate, slope = law.rate(u)
    np.testing.assert_allclose(slope, law.rate(u + 1e-30j)[0].imag / 1e-30, rtol=1e-12)
    assert rate[0] == pytest.approx(0.7 * u[0], rel=1e-5)
    if np.isfinite(km):
        assert np.all(rate < 0.7 * km)
        assert law.rate(1e9)[0] == pytest.approx(0.7 * km, rel=1e-8)
    else:
        np.testing.assert_allclose(rate, 0.7 * u)


@pytest.mark.parametrize("kind", ROUTES)
def test_a_route_that_calls_itself_linear_has_constant_derivatives(kind):
    route = _routes(2)[kind]
    low, high = (route.flux(*(x * scale for x in _levels(2, 5))) for scale in (1e-3, 1e3))
    same = all(np.allclose(a, b, rtol=1e-12, atol=0) for a, b in ((low.d_blood, high.d_blood), (low.d_brain, high.d_brain)))
    assert same == route.linear
