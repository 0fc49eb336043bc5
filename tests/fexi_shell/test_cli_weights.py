"""``krogh fexi train hbayes SCAN``: the same network as a fit trains, the same after a kill, and only for scans that it fits."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path

import numpy as np
import pytest

from krogh.errors import InputError, KroghError, OutputError, UsageError
from krogh.fexi.interface import Flag
from krogh.io import weights as weights_file
from krogh.io.nifti import read_image

from ._files import KilledError, kill_after_two_rounds, nifti, run_here

GIVEN = ["--protocol", "human-bbb", "--noise-sd", "2", "--quiet"]
FIT = [*GIVEN, "--estimator", "hbayes", "--no-figures"]
TINY = ["--set", "rounds=4", "--set", "steps=4", "--set", "batch=128", "--set", "width=24", "--device", "cpu"]


def make_scan(path: Path, seed: int, level: float = 100.0) -> Path:
    b, t = np.array([0, 250] * 4) * 1e6, np.array([20, 20, 20, 20, 200, 200, 400, 400]) * 1e-3
    filtered = np.arange(8) > 1
    rng = np.random.default_rng(seed)
    adc = rng.uniform(0.75, 0.95, (8, 8, 3, 1)) * 1e-9
    clean = level * np.where(filtered, 0.6, 1.0) * np.exp(-b * adc * (1 - 0.3 * filtered * np.exp(-3 * t)))
    noise = 2 * rng.standard_normal((2, *clean.shape))
    signals = np.hypot(clean + noise[0], noise[1])
    signals[0, 0, 0] = [100, 15, 100, 95, 15, 100, 15, 100]  # no tissue
    return nifti(path, signals.astype(np.float32))


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_scan(tmp_path_factory.mktemp("scan") / "sub-07_dwi.nii.gz", 2)


@pytest.fixture(scope="module")
def labels(scan: Path) -> Path:
    half = np.ones((8, 8, 3), np.int16)
    half[4:] = 2
    return nifti(scan.parent / "labels.nii.gz", half)


@pytest.fixture(scope="module")
def network(scan: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("net") / "net"
    run_here("train", "hbayes", scan, *GIVEN, *TINY, "--out", out)
    return out


def maps(out: Path, name: str) -> np.ndarray:
    return read_image(next(out.rglob(f"*param-{name}_dwimap.nii.gz"))).data


def test_record_holds_prior_noise_range_and_labels(network: Path) -> None:
    record = json.loads((network / "weights.json").read_text())
    assert record["estimator"] == "hbayes"
    assert record["architecture"]["labels"] == [0]
    assert set(record["priors"]["0"]) == {"best", "predictive", "converged"}
    assert record["snr"][0] < 45 < 60 < record["snr"][1]
    again = weights_file.read_weights(network)
    assert again.record() == {k: v for k, v in record.items() if k != "sha256"}
    assert (network / "training.png").stat().st_size > 5000


def test_weights_fit_without_training_and_flag_strange_voxels(
    network: Path, scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from krogh.fexi.learned import train_hbayes

    monkeypatch.setattr(train_hbayes, "practise", lambda *a, **k: pytest.fail("trained again"))
    run_here("fit", scan, *FIT, "--weights", network, "--out", tmp_path / "o")
    assert maps(tmp_path / "o", "flag")[0, 0, 0] == Flag.OUTSIDE_TRAINING
    assert (maps(tmp_path / "o", "flag") == Flag.OK).mean() > 0.95
    for name in ("axr", "axrSd", "axrMedian", "axrLow", "axrHigh"):
        assert np.isfinite(maps(tmp_path / "o", name)).all()
    assert "unlike anything the network was trained on" in capsys.readouterr().out
    assert (tmp_path / "o" / "prior.json").is_file()
    assert not (tmp_path / "o" / "network").exists()
    other = make_scan(tmp_path / "sub-08_dwi.nii.gz", 5)
    run_here("fit", other, *FIT, "--weights", network, "--out", tmp_path / "other")
    assert abs(maps(tmp_path / "other", "adc")[1:].mean() - 0.85) < 0.02


def test_a_fit_keeps_its_network_which_gives_the_same_bytes(
    scan: Path, labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from krogh.fexi.learned import train_hbayes

    monkeypatch.setattr(train_hbayes, "HbayesSettings", functools.partial(train_hbayes.HbayesSettings, rounds=4, steps=4))
    given = [scan, *FIT, "--labels", labels, "--seed", 3]
    run_here("fit", *given, "--out", tmp_path / "a")
    run_here("fit", *given[:-2], "--weights", tmp_path / "a" / "network", "--out", tmp_path / "b")
    for name in ("axr", "adc", "sigmaSd", "flag"):
        np.testing.assert_array_equal(maps(tmp_path / "b", name), maps(tmp_path / "a", name))
    run_here("train", "hbayes", scan, *GIVEN, "--labels", labels, "--seed", 3, "--device", "cpu", "--out", tmp_path / "net")
    for name in ("weights.json", "weights.safetensors"):
        assert (tmp_path / "net" / name).read_bytes() == (tmp_path / "a" / "network" / name).read_bytes()
    with pytest.raises(InputError, match=r"labels: got none, expected the tissue labels of the training: 1, 2"):
        run_here("fit", scan, *FIT, "--weights", tmp_path / "net", "--out", tmp_path / "c")


def test_killed_training_resumes_to_the_same_bytes(
    network: Path, scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = kill_after_two_rounds(monkeypatch)
    command = ["train", "hbayes", scan, *GIVEN, *TINY, "--out", tmp_path / "net"]
    with pytest.raises(KilledError):
        run_here(*command)
    other = make_scan(tmp_path / "sub-08_dwi.nii.gz", 5)
    with pytest.raises(OutputError, match="other input, settings"):
        run_here("train", "hbayes", other, *GIVEN, *TINY, "--out", tmp_path / "net", "--resume")
    run_here(*command, "--resume")
    assert calls == [1, 2, 3, 4]
    for name in ("weights.safetensors", "weights.json", "training.tsv"):
        assert (tmp_path / "net" / name).read_bytes() == (network / name).read_bytes(), name


def test_scans_that_do_not_fit_are_refused(network: Path, scan: Path, tmp_path: Path) -> None:
    given = ["--estimator", "hbayes", "--weights", network, "--quiet", "--out", tmp_path / "o"]
    for change, kind, message in (
        (["--noise-sd", "0.5"], InputError, r"SNR 200 \(median\), expected .* trained; train one on this scan"),
        (["--noise-sd", "2", "--bound", "sigma=-0.5:1"], UsageError, "as trained; give the same"),
        (["--noise-sd", "2", "--prior", "uniform"], UsageError, "also weights, expected one of them"),
        (["--noise-sd", "2", "--seed", "1"], UsageError, "draws nothing"),
        (["--noise-sd", "2", "--precision", "bf16"], UsageError, "trains a network for this scan"),
    ):
        with pytest.raises(kind, match=message) as caught:
            run_here("fit", scan, "--protocol", "human-bbb", *given, *change)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["hbayes"], r"expected a scan: hbayes learns its prior from one; krogh fexi train hbayes SCAN"),
        (["npe", "SCAN"], "npe learns from simulated voxels"),
        (["hbayes", "SCAN", "--snr", "20:50"], "a scan has its own SNR"),
        (["selfsup", "--noise-sd", "2"], "a scan to learn from, or none of its options"),
        (["selfsup", "SCAN", "--labels", "x.nii"], "hbayes, which learns one prior per label"),
        (["hbayes", "SCAN", "--model", "2cm", "--fix", "k=3"], "cannot tell apart"),
        (["npe", "--precision", "bf16", "--device", "cpu"], "bf16 on the processor"),
        (["npe", "--precision", "half"], "float32 or bf16"),
    ],
)
def test_wrong_trainings_are_refused_before_work(arguments: list[str], message: str, scan: Path, tmp_path: Path) -> None:
    filled = [scan if a == "SCAN" else a for a in arguments]
    noise = ["--noise-sd", 2] if "hbayes" in arguments and "SCAN" in arguments else []
    with pytest.raises(KroghError, match=message):
        run_here("train", *filled, *noise, "--protocol", "human-bbb", "--out", tmp_path / "net")
    assert not (tmp_path / "net" / "weights.json").exists()


@pytest.mark.parametrize("estimator", ["selfsup", "physics"])
def test_the_other_networks_also_learn_from_a_scan(estimator: str, scan: Path, tmp_path: Path) -> None:
    out = tmp_path / "net"
    run_here("train", estimator, scan, *GIVEN, "--set", "rounds=2", "--device", "cpu", "--out", out)
    assert weights_file.read_weights(out).prior is None
    run_here("fit", scan, *GIVEN, "--estimator", estimator, "--weights", out, "--no-figures", "--out", tmp_path / "o")
    assert np.isfinite(maps(tmp_path / "o", "axr")).mean() > 0.9


def test_no_gpu_is_one_line(scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for command in (["train", "hbayes", scan], ["fit", scan, "--estimator", "hbayes"]):
        with pytest.raises(UsageError, match=r"--device: got cuda, expected cpu; torch sees no GPU here"):
            run_here(*command, *GIVEN, "--device", "cuda", "--out", tmp_path / "o")
    with pytest.raises(UsageError, match="trains a network for this scan"):
        run_here("fit", scan, *GIVEN, "--device", "cuda", "--out", tmp_path / "o")


CALIBRATE = ["calibrate", "human-bbb", "--scans", "6", "--voxels", "60", "--regions", "0", "--quiet"]


def test_a_network_is_calibrated_under_its_own_prior(network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_here(*CALIBRATE, "--estimator", "hbayes", "--weights", network, "--snr", 50, "--out", tmp_path / "c")
    assert "the prior of the network" in capsys.readouterr().out
    assert (tmp_path / "c" / "figures" / "calibration.png").stat().st_size > 20_000
    row = (tmp_path / "c" / "calibration.tsv").read_text().splitlines()[0].split("\t")
    assert {"cover_95", "low_95", "high_95", "p_uniform"} <= set(row)
    with pytest.raises(InputError, match="for which it was trained"):
        run_here(*CALIBRATE, "--estimator", "hbayes", "--weights", network, "--snr", 150)
    tiny = ["--set", "rounds=2", "--set", "steps=3", "--set", "batch=64", "--set", "width=16", "--set", "flow_width=16"]
    given = ["--protocol", "human-bbb", "--model", "2cm", "--prior", "tissue", "--snr", "30:80", "--device", "cpu", "--quiet"]
    run_here("train", "npe", *given, *tiny, "--out", tmp_path / "npe")
    capsys.readouterr()
    run_here(*CALIBRATE, "--estimator", "npe", "--model", "2cm", "--weights", tmp_path / "npe", "--json")
    rows = json.loads(capsys.readouterr().out)["calibration"]
    assert [r["parameter"] for r in rows] == ["fi", "de", "k"]
    assert all(r["low_95"] <= r["cover_95"] <= r["high_95"] for r in rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--estimator", "npe"], "expected a network, for npe; krogh fexi train npe"),
        (["--estimator", "nlls27"], "one of nlls, rician, eb"),
        (["--estimator", "physics", "--model", "2cm"], "axr, the only model that it knows"),
        (["--estimator", "eb", "--tissues", "weights"], "trained under a prior"),
        (["--estimator", "eb", "--model", "2cm", "--fix", "k=3"], "cannot tell apart"),
        (["--estimator", "eb", "--model", "2cm", "--tissues", "two-tissues"], r"two-tissues \(model axr\)"),
    ],
)
def test_calibrations_that_cannot_be_are_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(KroghError, match=message):
        run_here(*CALIBRATE, *arguments)


@pytest.mark.parametrize("estimator", ["npe", "selfsup", "supervised", "physics", "hbayes"])
def test_every_network_trains_in_mixed_precision(estimator: str) -> None:
    """On the processor, which the commands do not offer: it runs the code that a GPU runs."""
    import torch

    from krogh.fexi import get_estimator, preset
    from krogh.fexi.benchmark_tissues import draw_two_tissues
    from krogh.fexi.learned.practice import Compute
    from krogh.fexi.models.axr import AxrModel
    from krogh.runs.fexi_train import settings_of

    torch.set_num_threads(1)
    few = {"rounds": 2, "batch": 64} | ({"steps": 3} if estimator in ("npe", "hbayes") else {})
    few |= {"voxels": 400} if estimator == "supervised" else {}
    data, training = draw_two_tissues(200, snr=100.0, seed=3), dataclasses.replace(settings_of(estimator), **few)
    given = {"noise_sd": 0.01, "training": training} | ({"max_components": 1} if estimator == "hbayes" else {})
    fits = [
        get_estimator(estimator)(AxrModel(), preset("human-bbb"), data.signals, compute=Compute("cpu", p), **given)
        for p in ("float32", "bf16")
    ]
    history = [np.array(f.extra["weights"].training["history"]) for f in fits]
    assert all(np.isfinite(h).all() for h in history)
    assert not np.array_equal(*history)  # 16 bits were used
    np.testing.assert_allclose(*history, rtol=0.1, atol=0.05)
    kinds = {v.dtype for k, v in fits[1].extra["weights"].tensors.items() if k.startswith("network.")}
    assert {k for k in kinds if k.kind == "f"} == {np.dtype(np.float32)}


@pytest.fixture(scope="module")
def relaxing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Return a scan of 2cmr tissue, and the options that describe it."""
    from krogh.fexi import preset
    from krogh.fexi.models import get_model
    from krogh.io.fexi_protocol import write_protocol

    folder = tmp_path_factory.mktemp("relaxing")
    protocol = dataclasses.replace(preset("human-bbb"), echo_time_filter_s=0.03, echo_time_detect_s=0.06)
    write_protocol(folder / "p.tsv", protocol)
    rng = np.random.default_rng(0)
    theta = np.array([0.04, 0.8e-9, 3.0]) * rng.normal(1, 0.08, (192, 3))
    clean = 400 * get_model("2cmr").shape(theta, protocol)
    signals = np.hypot(clean + rng.standard_normal(clean.shape), rng.standard_normal(clean.shape))
    scan = nifti(folder / "sub-01_dwi.nii.gz", signals.reshape(8, 8, 3, 8).astype(np.float32))
    return scan, ["--protocol", str(folder / "p.tsv"), "--model", "2cmr", "--quiet"]


@pytest.mark.parametrize("estimator", ["eb", "hbayes", "npe", "supervised", "selfsup"])
def test_compartments_with_relaxation_by_every_learned_estimator(
    estimator: str, relaxing: tuple[Path, list[str]], tmp_path: Path
) -> None:
    scan, given = relaxing
    fit = ["fit", scan, *given, "--noise-sd", 1, "--estimator", estimator, "--no-figures", "--out", tmp_path / "o"]
    if estimator != "eb":
        source = ["--snr", "30:300"] if estimator in ("npe", "supervised") else [scan, "--noise-sd", 1]
        few = ["--set", "rounds=2", *(["--set", "steps=10"] if estimator in ("npe", "hbayes") else [])]
        run_here("train", estimator, *source, *given, *few, "--device", "cpu", "--out", tmp_path / "net")
        fit += ["--weights", tmp_path / "net"]
    run_here(*fit)
    for name in ("fi", "de", "k", "kSd"):
        assert np.isfinite(maps(tmp_path / "o", name)).mean() > 0.9, name


def test_physics_says_which_model_it_knows(relaxing: tuple[Path, list[str]], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="model 2cmr, expected axr; only there ADC, sigma and S0 follow in closed form"):
        run_here("train", "physics", relaxing[0], *relaxing[1], "--noise-sd", 1, "--out", tmp_path / "net")
