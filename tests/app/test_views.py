"""What the viewers get is what the run holds: sections, flows, curves of a voxel."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

import krogh
from krogh.app.pages.cross import settings_of
from krogh.app.pages.measure import fit_steps
from krogh.app.pages.uploads import suffix_of
from krogh.app.views.figures import flow_figure, side_by_side, timecourse_figure
from krogh.app.views.section import pack_section
from krogh.errors import InputError
from krogh.fexi.interface import Flag
from krogh.fexi.models import get_model
from krogh.fexi.presets import PRESETS
from krogh.runs.config import build_config
from krogh.runs.fexi_voxel import voxel_curve


@pytest.fixture(scope="module", params=["slab", "cylinder"])
def data(request: pytest.FixtureRequest) -> Any:
    return krogh.simulate("caffeine", "mannitol", geometry=request.param, duration="30 min", cells=20, cells_along=6).dataset


def _unpack(packed: dict[str, Any]) -> np.ndarray:
    raw = np.frombuffer(base64.b64decode(packed["values"]), "<u2").reshape(packed["shape"]) / 65535
    return packed["low"] * (packed["high"] / packed["low"]) ** raw


def test_section_holds_the_concentrations(data: Any) -> None:
    one = data.sel(compound="caffeine")
    packed = json.loads(json.dumps(pack_section(one)))
    values = _unpack(packed)
    profile = one.profile.values if "z" not in one.dims else one.profile.transpose("time", "x", "z").values[..., 0]
    unit = {"pM": 1e-9, "nM": 1e-6, "µM": 1e-3, "mM": 1.0}[packed["unit"]]
    shown = np.clip(profile / unit, packed["low"], packed["high"])
    np.testing.assert_allclose(values[:, 0, 0, 1 : 1 + shown.shape[1]], shown, rtol=1e-3)
    assert sum(len(b["edges"]) - 1 for b in packed["bands"]) == values.shape[-1]
    assert packed["times"] == sorted(packed["times"])


def test_section_of_a_block_has_slices_and_depth_from_the_wall() -> None:
    shape = {"cells": 20, "cells_y": 4, "cells_z": 3, "frames": 3}
    run = krogh.simulate("mannitol", dose="1 uM constant", geometry="block", duration="1 s", block=shape)
    packed = pack_section(run.dataset.isel(compound=0))
    assert packed["shape"][1:3] == [3, 4]
    names = [b["name"] for b in packed["bands"]]
    assert names[:3] == ["artery", "lumen", "endothelium"]
    assert packed["bands"][2]["depth_um"][0] == pytest.approx(0.0, abs=1e-9)
    assert len(packed["slices"]["places_um"]) == 3


def test_flow_keeps_the_amounts(data: Any) -> None:
    one = data.sel(compound="mannitol")
    figure = json.loads(json.dumps(flow_figure(one)))
    link, labels = figure["data"][0]["link"], figure["data"][0]["node"]["label"]
    into = sum(v for v, t in zip(link["value"], link["target"], strict=True) if labels[t] == "inside")
    out = sum(v for v, s in zip(link["value"], link["source"], strict=True) if labels[s] == "inside")
    assert into == pytest.approx(out, rel=1e-3)


def test_figures_are_plain_json_in_both_looks(data: Any) -> None:
    for dark in (False, True):
        for log in (False, True):
            json.dumps(timecourse_figure(data.isel(compound=0), dark=dark, log=log), allow_nan=False)
            json.dumps(side_by_side(data, "interstitium", dark=dark, log=log), allow_nan=False)


def test_voxel_curve_without_noise_gives_back_the_truth() -> None:
    protocol, truth = PRESETS["human-bbb"](), np.array([[0.9e-9, 0.25, 3.0]])
    signal = get_model("axr").predict(truth, np.full((1, protocol.n_series), 100.0), protocol)[0]
    curve = voxel_curve(signal, protocol, None)
    assert curve.rate_per_s == pytest.approx(3.0, rel=1e-5)
    assert curve.low is None
    at = np.interp(curve.mixing_time_s[curve.filtered], curve.fit_time_s, curve.fit)
    np.testing.assert_allclose(curve.measured[curve.filtered], at, rtol=2e-3)


@pytest.mark.parametrize("name", ["2cm", "2cmr"])
def test_voxel_curve_of_two_pools_goes_through_the_noise_free_data(name: str) -> None:
    protocol = PRESETS["human-bbb"]()
    model = get_model(name, **({"t2_i_s": np.inf, "t2_e_s": np.inf} if name == "2cmr" else {}))
    truth = np.array([[0.06, 0.9e-9, 4.0]])
    assert model.parameter_names == ("f_i", "d_e_m2_s", "k_per_s")
    signal = model.predict(truth, np.full((1, protocol.n_series), 100.0), protocol)[0]
    curve = voxel_curve(signal, protocol, 0.05, model)
    assert curve.rate_name == "k"
    assert curve.rate_per_s == pytest.approx(4.0, rel=1e-3)
    assert curve.rate_interval[0] < 4.0 < curve.rate_interval[1]
    at = np.interp(curve.mixing_time_s[curve.filtered], curve.fit_time_s, curve.fit)
    np.testing.assert_allclose(curve.measured[curve.filtered], at, rtol=2e-3)
    if name == "2cm":  # without relaxation nothing but the filter tells the series apart
        np.testing.assert_allclose(curve.measured[~curve.filtered], curve.equilibrium, rtol=1e-6)


def test_gradient_of_the_curve_is_its_slope() -> None:
    from krogh.runs.fexi_voxel import _dense, _predicted

    protocol, model, theta = PRESETS["human-bbb"](), get_model("2cm"), np.array([[0.05, 0.8e-9, 3.0]])
    dense = _dense(protocol)
    _, gradient = _predicted(model, theta, dense)
    for p in range(3):
        step = np.zeros((1, 3))
        step[0, p] = 1e-4 * theta[0, p]
        up, down = (_predicted(model, theta + sign * step, dense)[0] for sign in (1, -1))
        np.testing.assert_allclose(gradient[:, p] * 2 * step[0, p], up - down, rtol=1e-4, atol=1e-12)


def test_band_of_the_curve_covers_the_truth() -> None:
    protocol, truth = PRESETS["human-bbb"](), np.array([0.9e-9, 0.3, 3.0])
    clean = get_model("axr").predict(truth[None], np.full((1, protocol.n_series), 100.0), protocol)[0]
    rng, held, count = np.random.default_rng(4), 0, 0
    for _ in range(200):
        curve = voxel_curve(clean + rng.normal(0, 0.1, clean.size), protocol, 0.1)
        if curve.flag != Flag.OK:
            continue
        true = 1e9 * truth[0] * (1 - truth[1] * np.exp(-truth[2] * curve.fit_time_s))
        assert curve.low is not None
        assert curve.high is not None
        at = 20  # in the middle of the mixing times
        held += int(curve.low[at] <= true[at] <= curve.high[at])
        count += 1
    assert count > 180
    # binomial: 95 % of 200, three standard deviations
    assert 0.95 - 3 * np.sqrt(0.05 * 0.95 / count) <= held / count


@pytest.mark.parametrize("signal", [np.full(8, np.nan), np.zeros(8), np.ones(7), -np.ones(8)])
def test_voxels_without_signal_are_refused(signal: np.ndarray) -> None:
    with pytest.raises(InputError):
        voxel_curve(signal, PRESETS["human-bbb"](), 0.1)


def test_form_becomes_settings_that_the_command_takes() -> None:
    form = {
        "compounds": ["levodopa", "caffeine"], "doses": {"caffeine": " 50 mg oral "}, "species": "human", "geometry": "slab",
        "duration": "2 h", "leak_factor": 1.0, "pericyte_coverage": 1.0, "amino_acids": 2.0, "efflux": {}, "together": False,
    }  # fmt: skip
    settings = build_config(settings_of(form))
    assert settings.dose == {"levodopa": "100 mg oral", "caffeine": "50 mg oral"}
    assert settings.amino_acids == 2.0
    with pytest.raises(InputError, match="none chosen"):
        settings_of({**form, "compounds": []})


def test_steps_of_a_fit() -> None:
    form = {"source": "files", "preset": "human-bbb", "estimator": "nlls", "model": "axr", "vb": 4, "radius": 3}
    with pytest.raises(InputError, match="scan"):
        fit_steps(form, {})
    (step,) = fit_steps(form, {"scan.nii": None, "protocol.tsv": None, "mask.nii.gz": None})  # type: ignore[dict-item]
    assert step.arguments[:7] == ("fexi", "fit", "scan.nii", "--protocol", "protocol.tsv", "--mask", "mask.nii.gz")
    with pytest.raises(InputError, match="another kind"):
        suffix_of("x.exe", (".nii", ".nii.gz"))
