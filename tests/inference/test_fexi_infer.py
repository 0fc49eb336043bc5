"""FEXI signals: exact slopes, the estimates and intervals of the FEXI estimators, the Cramer-Rao bound, coverage, refusals."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from krogh.cli.main import _run
from krogh.fexi.estimators import get_estimator
from krogh.fexi.models import get_model
from krogh.fexi.precision import crlb
from krogh.fexi.presets import preset
from krogh.inference.calibrate import Calibration
from krogh.inference.descend import descend
from krogh.inference.fit import fit
from krogh.inference.rician import RicianObservations
from krogh.runs.infer_fexi import find_tissue, infer_fexi, observe, scans_of
from krogh.runs.judged import target_of

AXR = {"adc_m2_s": 1e-9, "sigma": 0.2, "axr_per_s": 3.0}
POOLS = {"f_i": 0.04, "d_i_m2_s": 10e-9, "d_e_m2_s": 0.8e-9, "k_per_s": 3.0}
S0 = 1000.0


def whole(name):
    """Return a model with all its parameters free."""
    return get_model(name) if name == "axr" else get_model(name, fixed={})


def clean(protocol, name):
    model, tissue = whole(name), AXR if name == "axr" else POOLS
    theta = np.array([[tissue[f] for f in model.parameter_names]])
    return model.predict(theta, np.full((1, protocol.n_series), S0), protocol)[0]


def noisy(protocol, name, snr, seed, *, rician=False):
    rng, s = np.random.default_rng(seed), S0 / snr
    m = clean(protocol, name) + s * rng.standard_normal(protocol.n_volumes)
    return np.hypot(m, s * rng.standard_normal(m.size)) if rician else m


def setup(protocol, name, signal, snr, likelihood="gaussian"):
    v = np.arange(protocol.n_volumes)
    curve = ("curve",) * v.size
    data = observe(curve, protocol.mixing_time_s, signal, np.full(v.size, S0 / snr), likelihood=likelihood)
    return scans_of(curve, v, protocol, whole(name), {}), data


def target_for(scans, data, free):
    return target_of(scans, data, [find_tissue(n, next(iter(scans.values()))) for n in free], {}, {})[1]


def study(name, plan, snr, likelihood, draws):
    """Return the fits of simulated curves and the root of their profiles at the truth."""
    protocol, free = preset(plan), ["adc", "sigma", "axr"] if name == "axr" else ["fi", "de", "k"]
    truth = np.log([(AXR if name == "axr" else POOLS)[f] for f in get_model(name).parameter_names])
    roots, z = [], []
    for seed in range(draws):
        y = noisy(protocol, name, snr, seed, rician=likelihood == "rician")
        target = target_for(*setup(protocol, name, y, snr, likelihood), free)
        best = fit(target, truth, scan=0)
        held = np.eye(3, dtype=bool)
        there = descend(target, np.where(held, truth, best.x), held=held)
        roots.append(np.sign(best.x - truth) * np.sqrt(2 * np.maximum(there.at.value - best.value, 0.0)))
        z.append((best.x - truth) / best.sd)
    return Calibration(tuple(free), np.array(z), np.array(roots), np.zeros(0), np.zeros(0), np.ones(draws, dtype=bool))


def inferred(protocol, name, signal, snr, free, likelihood="gaussian", **options):
    scans, data = setup(protocol, name, signal, snr, likelihood)
    return infer_fexi(scans, data, free, posterior=False, **options)


@pytest.mark.parametrize("likelihood", ["gaussian", "rician"])
@pytest.mark.parametrize(("name", "free"), [("axr", ["adc", "sigma", "axr"]), ("2cm", ["fi", "di", "de", "k"])])
def test_sensitivities_are_exact_with_s0_taken_out(name, free, likelihood):
    protocol = preset("cell-type")
    r = inferred(protocol, name, noisy(protocol, name, 20, 1, rician=True), 20, free, likelihood)
    theta = np.exp(np.log([[{**AXR, **POOLS}[f] for f in whole(name).parameter_names]]) + 0.05)
    m, by = r.target.slopes(theta)
    np.testing.assert_allclose(m, r.target.predict(theta), rtol=1e-13)
    numeric = r.target.differences(theta, 1e-4)[1]
    np.testing.assert_allclose(by, numeric, atol=1e-7 * np.abs(by).max())
    level = r.data.loss(m).slope * m  # at the best S0 nothing is gained by another one
    for series in range(protocol.n_series):
        assert abs(level[0, protocol.series_index == series].sum()) < 1e-6


def test_relaxation_and_crushers_of_the_protocol_are_seen():
    protocol = dataclasses.replace(preset("bbb-crusher-5mm"), echo_time_filter_s=0.03, echo_time_detect_s=0.06)
    curve = ("c",) * protocol.n_volumes
    model = whole("2cmr")
    y = clean(protocol, "2cmr")
    data = observe(curve, protocol.mixing_time_s, y, 1e-4 * y)
    r = infer_fexi(scans_of(curve, np.arange(y.size), protocol, model, {}), data, ["fi", "de", "k"], posterior=False)
    np.testing.assert_allclose(r.estimate, [0.04, 0.8e-9, 3.0], rtol=2e-3)


@pytest.mark.parametrize(
    ("name", "plan", "snr"), [("axr", "human-bbb", 600), ("axr", "cell-type", 60), ("2cm", "human-bbb", 1500)]
)
def test_estimates_and_widths_are_those_of_nlls_and_of_the_bound(name, plan, snr):
    protocol = preset(plan)
    y = noisy(protocol, name, snr, 3)
    free = ["adc", "sigma", "axr"] if name == "axr" else ["fi", "de", "k"]
    r = inferred(protocol, name, y, snr, free)
    model = get_model(name)
    intervals = {"intervals": True} if name == "axr" else {}
    found = get_estimator("nlls")(model, protocol, y[None], noise_sd=S0 / snr, **intervals)
    there = {f: float(v[0]) for f, v in found.parameters.items()}
    bound = crlb(model, protocol, there, snr, s0_level=found.s0[0] / S0).sd
    for i, f in enumerate(model.parameter_names):
        sd = r.estimate[i] * r.fit.sd[i]
        assert abs(r.estimate[i] - found.parameters[f][0]) < 1e-3 * found.sd[f][0]
        assert sd == pytest.approx(found.sd[f][0], rel=5e-3)
        assert sd == pytest.approx(bound[f], rel=5e-3)
        if intervals:
            low, high = (float(e[0]) for e in found.interval[f])
            np.testing.assert_allclose([r.low[i], r.high[i]], [low, high], atol=2e-3 * found.sd[f][0])


def test_rician_estimates_are_those_of_the_rician_estimator():
    protocol = preset("cell-type")
    y = noisy(protocol, "axr", 25, 6, rician=True)
    found = get_estimator("rician")(get_model("axr"), protocol, y[None], noise_sd=S0 / 25)
    r = inferred(protocol, "axr", y, 25, ["adc", "sigma", "axr"], "rician")
    for i, f in enumerate(AXR):
        assert abs(r.estimate[i] - found.parameters[f][0]) < 2e-3 * found.sd[f][0]


def test_rician_loss_is_a_likelihood_with_its_derivatives():
    y, m = np.array([0.3, 2.0, 9.0]), np.array([0.5, 2.5, 8.0])
    zero = np.zeros(3)
    data = RicianObservations(("a",) * 3, ("signal",) * 3, zero, y, np.ones(3), zero, zero, np.arange(3))
    from scipy.special import ive

    density = y * np.exp(-((y - m) ** 2) / 2) * ive(0, y * m)
    np.testing.assert_allclose(data.loss(m).value, -np.log(density) + np.log(y), rtol=1e-9)
    h = 1e-4
    up, down = data.loss(m + h), data.loss(m - h)
    np.testing.assert_allclose(data.loss(m).slope, (up.value - down.value) / (2 * h), rtol=1e-6)
    np.testing.assert_allclose(data.loss(m).curvature, np.maximum((up.slope - down.slope) / (2 * h), 1e-3), rtol=1e-5)
    drawn = data.draw(np.tile(m, (40_000, 1)), np.random.default_rng(0))
    z = np.array([RicianObservations(("a",) * 3, ("signal",) * 3, zero, d, np.ones(3), zero, zero, np.arange(3)).residual(m)
                  for d in drawn[:4000]])  # fmt: skip
    assert np.all(np.abs(z.mean(0)) < 4 / np.sqrt(4000))
    np.testing.assert_allclose(z.std(0), 1.0, atol=0.05)


@pytest.mark.parametrize(
    ("name", "plan", "snr", "likelihood"),
    [("axr", "human-bbb", 600, "gaussian"), ("axr", "cell-type", 40, "rician"), ("2cm", "human-bbb", 1500, "gaussian")],
)
def test_profile_intervals_hold_the_truth_as_often_as_they_say(name, plan, snr, likelihood):
    found = study(name, plan, snr, likelihood, 200)
    low, high = found.expected()
    assert np.all((low <= found.coverage()) & (found.coverage() <= high))


def test_a_fit_whose_information_is_too_flat_settles():
    # the curvature along AXR is 2.4 times the information: full steps would swing to and fro a hundred times
    protocol = preset("cell-type")
    y = noisy(protocol, "axr", 40, 203, rician=True)
    target = target_for(*setup(protocol, "axr", y, 40), ["adc", "sigma", "axr"])
    found = descend(target, np.log([list(AXR.values())]))
    assert found.converged.all()
    assert found.iterations[0] < 30


def test_a_voxel_does_not_hold_axr_and_a_prior_does():
    protocol = preset("human-bbb")
    y = noisy(protocol, "axr", 50, 1)
    alone = inferred(protocol, "axr", y, 50, ["adc", "sigma", "axr"])
    assert "AXR" in alone.unheld
    known = inferred(protocol, "axr", y, 50, ["adc", "sigma", "axr"], priors={"AXR": (3.0, 0.4), "sigma": (0.2, 0.3)})
    assert not known.unheld
    assert known.identifiability.by_prior[2]
    fixed = inferred(protocol, "axr", y, 50, ["adc", "sigma", "axr"], unheld="fix")
    assert not fixed.unheld
    assert len(fixed.parameters) < 3


def test_what_one_b_cannot_tell_is_refused_with_a_combination():
    protocol = preset("human-bbb")
    r = inferred(protocol, "2cm", noisy(protocol, "2cm", 1500, 0), 1500, ["fi", "di", "de", "k"])
    assert {"f_i", "D_i"} <= set(r.unheld)
    assert r.identifiability.combinations
    assert "k" not in r.unheld


def test_the_next_series_narrows_what_it_says():
    protocol = preset("human-bbb")
    r = inferred(protocol, "axr", noisy(protocol, "axr", 600, 2), 600, ["adc", "sigma", "axr"])
    assert len(r.further) == 3
    gains = [n.gain for n in r.further]
    assert gains == sorted(gains, reverse=True)
    n, theta = r.further[0], r.estimate
    # the same by the Fisher information of the extended protocol, whose new series has an S0 of its own
    from krogh.fexi.precision import fisher
    from krogh.fexi.protocol import Protocol
    from krogh.inference.signals import Signals

    scan = r.scans["curve"]
    level, at = Signals(scan, r.parameters, r.data).levels(theta)
    pair = ([n.filter_b_s_m2] * 2, [0.0, n.b_s_m2], [n.mixing_time_s] * 2)
    longer = Protocol(*(np.append(old, new) for old, new in zip(
        (protocol.filter_b_s_m2, protocol.b_s_m2, protocol.mixing_time_s), pair, strict=True)),
        series=np.append(protocol.series, [99, 99]))  # fmt: skip
    s0 = np.append(level, level[np.abs(at - n.mixing_time_s).argmin()])
    information = fisher(scan.model, longer, theta[None], s0[None], np.full(longer.n_volumes, (600 / S0) ** 2))[0]
    sd = np.sqrt(np.diag(np.linalg.inv(information * np.outer(theta, theta))))
    np.testing.assert_allclose(n.sd, sd, rtol=0.02)
    assert np.all(n.sd <= r.fit.sd)


@pytest.fixture
def table(tmp_path):
    protocol = preset("human-bbb")
    lines = ["region,volume,signal"]
    for k, name in enumerate(("grey", "again")):
        y = noisy(protocol, "axr", 800, 10 + k)
        lines += [f"{name},{i},{v:.3f}" for i, v in enumerate(y, 1)]
    path = tmp_path / "region.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


COMMON = ["-p", "human-bbb", "--snr", "800", "--quiet"]


def test_the_command_writes_tables_and_pictures(table, tmp_path, capsys):
    out = tmp_path / "o"
    assert _run(["fexi", "infer", str(table), *COMMON, "--out", str(out), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [p["parameter"] for p in record["parameters"]] == ["ADC", "sigma", "AXR"]
    for p, truth in zip(record["parameters"], (1.0, 0.2, 3.0), strict=True):
        assert p["low"] < truth < p["high"]
    assert record["dof"] == 16 - 8 - 3
    assert [q["quantity"] for q in record["permeability"]] == ["k_ie", "PS", "P"]
    assert record["posterior"]
    assert any("share one tissue" in n for n in record["notes"])
    names = {"fit.png", "corner.png", "profiles.png", "residuals.csv", "curves.csv", "points.csv", "next_series.csv", "run.json"}
    assert names <= {f.name for f in out.iterdir()}
    rows = list(csv.DictReader((out / "residuals.csv").read_text().splitlines()))
    assert [r["volume"] for r in rows] == [str(i) for i in range(1, 9)] * 2
    assert _run(["report", str(out)]) == 0


def test_the_signals_of_a_fit_are_what_it_takes(tmp_path, capsys):
    from krogh.io.fexi_signals import read_fexi_signals

    assert _run(["fexi", "simulate", "--phantom", "shapes", "--voxel", "10 mm", "--snr", "100", "--seed", "1",
                 "--out", str(tmp_path / "s")]) == 0  # fmt: skip
    dwi = tmp_path / "s/sub-01/dwi"
    common = ["--protocol", str(dwi / "sub-01_fexi.tsv"), "--quiet"]
    assert _run(["fexi", "fit", str(dwi / "sub-01_dwi.nii.gz"), *common, "--roi", str(dwi / "sub-01_desc-tissue_dseg.nii.gz"),
                 "--noise-sd", "0.01", "--no-figures", "--out", str(tmp_path / "f")]) == 0  # fmt: skip
    signals = read_fexi_signals([tmp_path / "f" / "signals.tsv"], lambda name: 8)
    assert np.all(signals.sd > 0)
    rows = {r["region"]: r for r in csv.DictReader((tmp_path / "f" / "regions.tsv").read_text().splitlines(), delimiter="\t")}
    name = max(rows, key=lambda n: int(rows[n]["voxels"]))
    capsys.readouterr()
    args = ["fexi", "infer", str(tmp_path / "f" / "signals.tsv"), *common, "--only", name, "--no-pictures", "--no-posterior"]
    assert _run([*args, "--json", "--out", str(tmp_path / "i")]) == 0
    adc, sigma, axr = json.loads(capsys.readouterr().out)["parameters"]
    for p, key in ((adc, "adc"), (sigma, "sigma"), (axr, "axr")):  # voxel by voxel there, the mean signal here
        assert p["estimate"] == pytest.approx(float(rows[name][key]), abs=0.5 * p["relative_sd"] * p["estimate"])
        assert p["relative_sd"] * p["estimate"] == pytest.approx(float(rows[name][f"{key}_sd"]), rel=0.1)


def test_settings_come_from_a_file_and_options_win(table, tmp_path, capsys):
    config = tmp_path / "c.toml"
    config.write_text('protocol = "human-bbb"\nsnr = 800\nonly = ["grey"]\nfix = ["sigma=0.2"]\nfree = "adc,axr"\n'
                      "[dataset.grey]\nnoise_sd = 1.25\n")  # fmt: skip
    args = ["fexi", "infer", str(table), "--config", str(config), "--quiet", "--no-pictures", "--no-posterior", "--json"]
    assert _run([*args, "--out", str(tmp_path / "a")]) == 2  # both noise_sd and snr for one curve
    assert "--noise-sd" in capsys.readouterr().err
    config.write_text(config.read_text().replace("snr = 800\n", ""))
    assert _run([*args, "--out", str(tmp_path / "a"), "--prior", "axr=3, 2"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [p["parameter"] for p in record["parameters"]] == ["ADC", "AXR"]
    assert record["parameters"][1]["prior_median"] == 3.0
    assert record["datasets"] == ["grey"]
    config.write_text("wrong = 1\n")
    assert _run([*args, "--out", str(tmp_path / "b")]) == 3
    assert "setting 'wrong'" in capsys.readouterr().err


def test_noise_comes_from_residuals_where_there_are_enough(tmp_path, capsys):
    protocol = preset("cell-type")
    y = noisy(protocol, "axr", 200, 4)
    (tmp_path / "c.csv").write_text("signal\n" + "\n".join(f"{v:.4f}" for v in y) + "\n")
    args = ["fexi", "infer", str(tmp_path / "c.csv"), "-p", "cell-type", "--no-pictures", "--no-posterior", "--json", "--quiet"]
    assert _run([*args, "--out", str(tmp_path / "o")]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["chi2"] == pytest.approx(record["dof"], rel=1e-6)
    assert "from the residuals (15 degrees of freedom)" in record["notes"][0]
    short = noisy(preset("human-bbb"), "axr", 200, 4)
    (tmp_path / "s.csv").write_text("signal\n" + "\n".join(f"{v:.4f}" for v in short) + "\n")
    assert _run(["fexi", "infer", str(tmp_path / "s.csv"), "-p", "human-bbb", "--out", str(tmp_path / "p")]) == 3
    assert "noise SD: got none" in capsys.readouterr().err
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("signal,volume\n10,1\n-3,2\n", "line 3, signal"),
        ("signal,volume\n10,1\n9,99\n", "line 3, volume"),
        ("signal,volume\n10,1\n9,1\n", "volume 1 twice"),
        ("signal\n10\n9\n", "got 2 signals, expected 8"),
        ("signal,colour\n10,red\n", "'colour'"),
        ("volume\n1\n", "no column 'signal'"),
        ("signal,signal\n1,2\n", "'signal' twice"),
        ("signal,volume\n10\n", "1 cells under 2 headings"),
        ("signal,volume\n", "no rows"),
    ],
)
def test_a_bad_table_is_one_line(text, said, tmp_path, capsys):
    (tmp_path / "d.csv").write_text(text)
    assert _run(["fexi", "infer", str(tmp_path / "d.csv"), *COMMON, "--out", str(tmp_path / "o")]) == 3
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "code", "said"),
    [
        (["--prior", "axr=3"], 2, "--prior"), (["--prior", "k=3, 2"], 3, "--prior"), (["--free", "adc,axr,none"], 3, "--free"),
        (["--fix", "axr=x"], 3, "--fix axr"), (["--only", "cortex"], 2, "--only"),
        (["--likelihood", "poisson"], 2, "--likelihood"), (["--free", "adc,sigma,axr", "--fix", "axr=3"], 2, "free as well"),
        (["--unheld", "guess"], 2, "--unheld"), (["--bound", "sigma=-0.5:1"], 3, "inference works in logarithms"),
        (["--free", "adc,axr"], 2, "neither a free nor a fixed sigma"), (["--noise-sd", "2"], 2, "--noise-sd"),
        (["--free", "adc,adc", "--fix", "sigma=0.2", "--fix", "axr=3"], 3, "together"),
        (["--bound", "adc=low:2"], 3, "low:2"), (["--model", "2cmr"], 3, "echo"),
    ],
)  # fmt: skip
def test_a_bad_option_is_one_line(option, code, said, table, tmp_path, capsys):
    assert _run(["fexi", "infer", str(table), *COMMON, *option, "--no-pictures", "--out", str(tmp_path / "o")]) == code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
