from __future__ import annotations

import numpy as np
import pytest

from krogh.plots.scales import amount_unit, concentration_unit, format_duration, log_range, scientific, shown_unit, time_unit


@pytest.mark.parametrize(
    ("value", "name"), [(0.0, "pM"), (2e-9, "pM"), (1e-6, "nM"), (5e-3, "µM"), (2.0, "mM"), (5e3, "M"), (float("nan"), "pM")]
)
def test_concentration_unit(value: float, name: str) -> None:
    assert concentration_unit(value).name == name


@pytest.mark.parametrize(("value", "name"), [(3e-16, "amol"), (3e-12, "pmol"), (5.9e-6, "µmol"), (2.0, "mol"), (0.0, "zmol")])
def test_amount_unit(value: float, name: str) -> None:
    assert amount_unit(value).name == name


@pytest.mark.parametrize(("value", "name"), [(60.0, "s"), (1800.0, "min"), (7200.0, "h"), (86400.0, "h"), (30 * 86400.0, "d")])
def test_time_unit(value: float, name: str) -> None:
    assert time_unit(value).name == name


@pytest.mark.parametrize(
    ("value", "text"), [(0.1, "100 ms"), (260.0, "4.3 min"), (3600.0, "1 h"), (86400.0, "24 h"), (59.9, "1 min")]
)
def test_duration(value: float, text: str) -> None:
    assert format_duration(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.147, "0.15"), (1200.0, "1,200"), (6.5e-5, "6.5×10$^{-5}$"), (float("nan"), "unknown")]
)
def test_number(value: float, text: str) -> None:
    assert scientific(value) == text


def test_log_range_shows_every_peak_and_ignores_zeros_and_gaps() -> None:
    low, high = log_range(np.array([0.0, 1.0, np.nan]), np.array([0.0, 1e-3]), np.array([np.nan]), np.zeros(3))
    assert low == pytest.approx(1e-5)
    assert high == pytest.approx(2.0)
    assert log_range(np.zeros(3)) == (0.1, 1.0)
    assert log_range(np.array([1.0]), np.array([1e-20]))[0] == pytest.approx(1e-8)


def test_units_are_printed_with_their_signs() -> None:
    assert [shown_unit(u) for u in ("um2/ms", "uM", "pmol/cm2/min", "uL/min/g", "nm/s", "")] == [
        "µm²/ms", "µM", "pmol/cm²/min", "µL/min/g", "nm/s", "1"
    ]  # fmt: skip
