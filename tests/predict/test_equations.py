"""Published equations by hand; MPO at its corners."""

import math

import pytest

from krogh.compounds.predict import EQUATIONS, cns_mpo, describe_structure
from krogh.compounds.predict.equations import Equation

CAFFEINE = describe_structure("Cn1cnc2c1c(=O)n(C)c(=O)n2C")
BY_NAME = {e.name: e for e in EQUATIONS}


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        # log10 m/s; 1 mL/s/g over 100 cm2/g is 1e-4 m/s
        ("Smith 2024", -1.24 + 0.887 * (-0.07 - 0.5 * math.log10(194.19)) - 4),
        ("Luco 2006", -2.06 + 0.448 * -0.07 - 0.366 * 1.9419 - 4),
        ("Tsinman 2011", -4.69 + 0.74 * (-0.07 - 0.5 * math.log10(194.19)) - 2),
        ("Grumetto 2016", 0.939 * -0.07 - 6.21 - 2),
    ],
)
def test_equation_by_hand(name, by_hand):
    assert BY_NAME[name].compute(CAFFEINE, -0.07) == pytest.approx(by_hand, abs=2e-4)


def test_every_equation_states_what_it_is():
    assert len({e.name for e in EQUATIONS}) == len(EQUATIONS)
    for e in EQUATIONS:
        assert isinstance(e, Equation)
        assert e.n > 0
        assert e.status in ("V", "C")  # a recalled coefficient is never offered
        assert e.domain
        assert e.source


def test_mpo_counts_only_the_terms_it_has():
    small = describe_structure("CC(C)NCC(O)COc1cccc2ccccc12")
    assert cns_mpo(small, 2.0, None, None)[1] == 4
    assert cns_mpo(small, 2.0, 8.0, 1.0) == (pytest.approx(cns_mpo(small, 2.0, None, None)[0] + 2.0), 6)


def test_mpo_corners():
    water = describe_structure("O")  # TPSA 31.5 (half-way up), one donor by RDKit's count of water
    score, terms = cns_mpo(water, 6.0, 11.0, 5.0)  # logP, pKa and logD score nothing
    assert terms == 6
    assert 0.0 < score < 3.0
