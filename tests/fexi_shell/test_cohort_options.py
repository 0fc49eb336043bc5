"""``krogh fexi cohort`` takes the options of a single fit: a trained network, priors, labels, smoothing; and refuses the same."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from krogh.cli.main import _run
from krogh.fexi import preset
from krogh.fexi.models.axr import AxrModel
from krogh.fexi.noise import add_noise
from krogh.io.fexi_protocol import write_protocol

from ._files import nifti, run_here

TINY = ["--set", "rounds=2", "--set", "steps=3", "--set", "batch=64", "--set", "width=16", "--set", "flow_width=16"]
PLAN = preset("human-bbb")


def put_scan(root: Path, subject: str, *, snr: float = 50.0, longer_s: float = 0.0) -> None:
    """Write a scan of 100 voxels with its protocol and tissue labels into a dataset."""
    place, rng = root / f"sub-{subject}" / "dwi", np.random.default_rng(int(subject))
    place.mkdir(parents=True)
    plan = dataclasses.replace(PLAN, mixing_time_s=PLAN.mixing_time_s + longer_s)
    theta = np.array([0.85e-9, 0.2, 3.0]) * np.exp([0.08, 0.2, 0.3] * rng.standard_normal((100, 3)))
    signals = 100 * add_noise(AxrModel().shape(theta, plan), 1 / snr, rng).reshape(5, 5, 4, 8)
    nifti(place / f"sub-{subject}_dwi.nii.gz", signals.astype(np.float32))
    nifti(place / f"sub-{subject}_tissue.nii.gz", 1 + (np.indices((5, 5, 4))[0] > 2).astype(np.uint8))
    write_protocol(place / f"sub-{subject}_fexi.tsv", plan)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two good scans, a noisy one, and one with another protocol."""
    root = tmp_path_factory.mktemp("bids") / "ds"
    for subject, odd in (("01", {}), ("02", {"snr": 12.0}), ("03", {"longer_s": 0.05}), ("04", {})):
        put_scan(root, subject, **odd)
    return root


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("net") / "net"
    run_here("train", "npe", "--protocol", "human-bbb", "--snr", "30:80", "--device", "cpu", "--quiet", *TINY, "--out", out)
    return out


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def same_maps(cohort: Path, one: Path, subject: str) -> bool:
    maps = sorted((one / f"sub-{subject}" / "dwi").glob("*dwimap.nii.gz"))
    return bool(maps) and all(m.read_bytes() == (cohort / m.relative_to(one)).read_bytes() for m in maps)


def fit_alone(dataset: Path, subject: str, out: Path, *options: object) -> Path:
    stem = dataset / f"sub-{subject}" / "dwi" / f"sub-{subject}"
    run_here("fit", f"{stem}_dwi.nii.gz", "-p", f"{stem}_fexi.tsv", *options, "--out", out, "--no-figures", "--quiet")
    return out


def test_one_network_for_all_scans_that_it_is_for(dataset: Path, network: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    options = ["--estimator", "npe", "--weights", str(network)]
    assert _run(["fexi", "cohort", str(dataset), *options, "--out", str(out), "-q"]) == 0
    assert {r["subject"] for r in rows(out / "group.tsv")} == {"01", "04"}
    noisy, other = rows(out / "failed.tsv")
    assert "SNR" in noisy["reason"]
    assert "protocol" in other["reason"]
    assert same_maps(out, fit_alone(dataset, "04", tmp_path / "one", *options), "04")
    plan = json.loads((out / "chunks" / "plan.json").read_text())
    assert len(plan["settings"]["weights"]) == 64
    assert str(network.parent) not in (out / "chunks" / "plan.json").read_text()


def test_priors_labels_smoothing_and_bounds_are_those_of_a_single_fit(dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "ds"
    put_scan(root, "05")
    out, options = tmp_path / "o", ["--estimator", "eb", "--smooth", "10 mm", "--bound", "axr=0:15", "--noise-sd", "2"]
    command = ["fexi", "cohort", str(root), *options, "--labels", "*_tissue", "--out", str(out), "-q"]
    assert _run(command) == 0
    tissue = root / "sub-05" / "dwi" / "sub-05_tissue.nii.gz"
    one = fit_alone(root, "05", tmp_path / "one", *options, "--labels", tissue)
    assert same_maps(out, one, "05")
    changed = [c if c != "10 mm" else "12 mm" for c in command]
    assert _run([*changed, "--resume"]) != 0
    assert _run([*command, "--resume"]) == 0
    given = ["--estimator", "eb", "--prior", str(one / "prior.json"), "--bound", "axr=0:15", "--noise-sd", "2"]
    assert _run(["fexi", "cohort", str(root), *given, "--labels", "*_tissue", "--out", str(tmp_path / "p"), "-q"]) == 0
    assert not rows(tmp_path / "p" / "failed.tsv")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--estimator", "hbayes", "--weights", "NET"], "--estimator npe"),
        (["--estimator", "npe", "--weights", "NET", "--seed", "1"], "also --weights"),
        (["--estimator", "npe", "--weights", "NET", "--protocol", "OTHER"], "train one for this protocol"),
        (["--estimator", "npe", "--weights", "NET", "--protocol", "human-bbb", "--bound", "axr=0:5"], "another bounds"),
        (["--estimator", "npe", "--weights", "nowhere"], "no trained network"),
        (["--estimator", "npe", "--smooth", "9 mm"], "eb or hbayes"),
        (["--estimator", "rician", "--intervals"], "nlls"),
        (["--prior", "uniform"], "eb or hbayes"),
        (["--labels", "*_tissue"], "eb or hbayes"),
        (["--estimator", "pooled"], "always pooled"),
    ],
)
def test_the_refusals_are_those_of_a_single_fit(
    options: list[str], words: str, dataset: Path, network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"NET": str(network), "OTHER": str(dataset / "sub-03" / "dwi" / "sub-03_fexi.tsv")}
    given = [places.get(o, o) for o in options]
    assert _run(["fexi", "cohort", str(dataset), "--out", str(tmp_path / "o"), *given]) in (2, 3)
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_a_scan_without_the_labels_that_are_asked_for_is_named(dataset: Path, tmp_path: Path) -> None:
    assert _run(["fexi", "cohort", str(dataset), "-e", "eb", "--labels", "*_none", "--out", str(tmp_path / "o"), "-q"]) == 0
    assert all("labels: got no '*_none'" in r["reason"] for r in rows(tmp_path / "o" / "failed.tsv"))
