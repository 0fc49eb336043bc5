"""Whatever a user writes, the answer is a value or one of our own errors, never a traceback."""

from __future__ import annotations

import tomllib
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from krogh.blood.dose import parse_dose
from krogh.errors import KroghError
from krogh.io.text_file import read_plasma_curve, read_toml
from krogh.runs.config import SimulateConfig, build_config
from krogh.runs.simulate import plan
from krogh.units import DIMENSIONS, format_quantity, parse_quantity

QUICK = settings(max_examples=150, deadline=None, derandomize=True)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=6
)
keys = st.sampled_from([*SimulateConfig.model_fields, "nonsense", ""])
words = st.sampled_from(
    ["100 mg oral", "1 uM constant", "5 mg infusion over 1 h", "every", "x 3", "iv", "nan mg iv", "1e400 mg iv", "-1 mg oral"]
)


@QUICK
@given(base=st.dictionaries(keys, anything, max_size=4), settings_=st.lists(st.text(max_size=30), max_size=2))
def test_settings_give_a_plan_or_one_of_our_errors(base, settings_):
    base = {"compounds": ["caffeine"], **base}
    try:
        plan(build_config(base, settings_))
    except KroghError as error:
        assert "\n" not in str(error)


@QUICK
@given(
    value=st.floats() | st.text(max_size=15),
    key=st.sampled_from(["fu_brain", "fu_plasma", "permeability", "pk.human.cl", "pka_base"]),
)
def test_compound_values_give_a_plan_or_one_of_our_errors(value, key):
    try:
        plan(build_config({"compounds": ["caffeine"], "compound": {"caffeine": {key: value}}}))
    except KroghError as error:
        assert "\n" not in str(error)


@QUICK
@given(text=st.text(max_size=40) | st.tuples(words, words).map(" ".join))
def test_doses_parse_or_are_refused(text):
    try:
        dose = parse_dose(text)
    except KroghError:
        return
    assert dose.size > 0
    assert parse_dose(dose.describe().replace(" constant", " constant")).route == dose.route


@QUICK
@given(text=st.text(max_size=25), dimension=st.sampled_from(sorted(DIMENSIONS)))
def test_quantities_parse_or_are_refused(text, dimension):
    try:
        value = parse_quantity(text, dimension, where="x")
    except KroghError:
        return
    assert value == value
    assert abs(value) != float("inf")


@QUICK
@given(
    value=st.floats(min_value=1e-15, max_value=1e6),
    dimension=st.sampled_from(["length", "time", "concentration", "permeability"]),
)
def test_printed_quantities_read_back(value, dimension):
    again = parse_quantity(format_quantity(value, dimension, digits=12), dimension, where="x")
    assert abs(again - value) <= 1e-9 * value


@QUICK
@given(data=st.binary(max_size=200) | st.text(max_size=120).map(str.encode))
def test_files_read_or_are_refused(data, tmp_path_factory):
    path = Path(tmp_path_factory.getbasetemp()) / "fuzz.txt"
    path.write_bytes(data)
    for reader in (read_toml, read_plasma_curve):
        try:
            reader(path)
        except KroghError as error:
            assert "\n" not in str(error)


@QUICK
@given(rows=st.lists(st.tuples(st.floats(), st.floats()), max_size=6))
def test_curves_of_any_numbers_run_or_are_refused(rows, tmp_path_factory):
    path = Path(tmp_path_factory.getbasetemp()) / "curve.csv"
    path.write_text("time [h],concentration [uM]\n" + "\n".join(f"{a},{b}" for a, b in rows))
    try:
        plan(build_config({"compounds": ["caffeine"]}), plasma=read_plasma_curve(path))
    except KroghError as error:
        assert "\n" not in str(error)


def test_toml_scientific_numbers_are_numbers():
    assert isinstance(tomllib.loads("a = 1e-6")["a"], float)
