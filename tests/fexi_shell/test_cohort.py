"""``krogh fexi cohort``: scans found, each one item, the same bytes whatever the order, failures apart, means over subjects."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from krogh.cli.main import _run
from krogh.io.bids import Dataset
from krogh.io.cohort_scans import find_scans
from krogh.io.nifti import new_geometry
from krogh.runs.cohort import summary_rows

from ._files import run_here


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three good scans of two subjects, a broken one, one without a protocol."""
    root = tmp_path_factory.mktemp("bids") / "ds"
    for seed, (subject, session) in enumerate([("01", "a"), ("01", "b"), ("02", "a")], 1):
        sim = root.parent / f"sim{seed}"
        run_here("simulate", "--phantom", "shapes", "--voxel", "8 mm", "--snr", 200, "--seed", seed, "--out", sim)
        place = root / f"sub-{subject}" / f"ses-{session}" / "dwi"
        place.mkdir(parents=True)
        for end in ("dwi.nii.gz", "dwi.json", "fexi.tsv", "fexi.json", "desc-tissue_dseg.nii.gz", "desc-tissue_dseg.json"):
            shutil.copy(sim / "sub-01" / "dwi" / f"sub-01_{end}", place / f"sub-{subject}_ses-{session}_{end}")
        masks = root / "derivatives" / "masks" / f"sub-{subject}" / f"ses-{session}" / "dwi"
        masks.mkdir(parents=True)
        shutil.copy(sim / "sub-01" / "dwi" / "sub-01_desc-brain_mask.nii.gz", masks / f"sub-{subject}_ses-{session}_mask.nii.gz")
    good = root / "sub-02" / "ses-a" / "dwi" / "sub-02_ses-a_dwi.nii.gz"
    for subject in ("03", "04"):
        (root / f"sub-{subject}" / "dwi").mkdir(parents=True)
    (root / "sub-03" / "dwi" / "sub-03_dwi.nii.gz").write_bytes(good.read_bytes()[:2000])
    shutil.copy(good.with_name("sub-02_ses-a_fexi.tsv"), root / "sub-03" / "dwi" / "sub-03_fexi.tsv")
    shutil.copy(good, root / "sub-04" / "dwi" / "sub-04_dwi.nii.gz")
    return root


@pytest.fixture(scope="module")
def fitted(dataset: Path) -> Path:
    """Fit them, into the derivatives of the dataset itself."""
    out = dataset / "derivatives" / "krogh"
    assert _run(["fexi", "cohort", str(dataset), "--out", str(out), "-q"]) == 0
    return out


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def _files(out: Path) -> dict[str, bytes]:
    found = [p for p in sorted(out.rglob("*")) if p.is_file() and p.name not in ("run.json", "command.txt")]
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in found if not p.name.startswith(".lock")}


def test_scans_with_what_belongs_to_them(dataset: Path) -> None:
    scans = find_scans(dataset)
    assert [(s.subject, s.session) for s in scans] == [("01", "a"), ("01", "b"), ("02", "a"), ("03", ""), ("04", "")]
    one = scans[0]
    assert one.entities == "ses-a"
    assert one.mask == "derivatives/masks/sub-01/ses-a/dwi/sub-01_ses-a_mask.nii.gz"
    assert one.roi.endswith("sub-01_ses-a_desc-tissue_dseg.nii.gz")
    assert one.protocol.endswith("sub-01_ses-a_fexi.tsv")
    assert "sub-04_fexi.tsv" in scans[4].fault
    assert not find_scans(dataset, protocol=True)[4].fault
    both = find_scans(dataset, mask="*_d*")  # the scan itself and the label image
    assert all("mask: got" in s.fault and "--mask" in s.fault for s in both[:3])


def test_every_scan_is_in_one_table(dataset: Path, fitted: Path) -> None:
    group, failed = _rows(fitted / "group.tsv"), _rows(fitted / "failed.tsv")
    assert [r["scan"] for r in failed] == ["sub-03/dwi/sub-03_dwi.nii.gz", "sub-04/dwi/sub-04_dwi.nii.gz"]
    assert "sub-04_fexi.tsv" in failed[1]["reason"]
    assert len(group) == 9  # three scans of three tissues
    for r in (r for r in group if r["region"] != "CSF"):
        assert float(r["axr_low"]) < float(r["axr"]) < float(r["axr_high"])
        place = fitted / f"sub-{r['subject']}" / f"ses-{r['session']}" / "dwi"
        assert (place / f"sub-{r['subject']}_ses-{r['session']}_model-fexi_param-axr_dwimap.nii.gz").is_file()
    assert (fitted / "group.png").stat().st_size > 10_000
    assert json.loads((fitted / "dataset_description.json").read_text())["DatasetType"] == "derivative"
    assert not list(fitted.rglob("*.partial"))
    assert str(dataset) not in (fitted / "chunks" / "plan.json").read_text()


def test_bids_validator_finds_no_error(fitted: Path, tmp_path: Path) -> None:
    here = str(Path(sys.executable).parent)
    validator = shutil.which("bids-validator-deno") or shutil.which("bids-validator-deno", path=here)
    if validator is None:
        pytest.skip("bids-validator-deno is not installed")
    shutil.copytree(fitted, tmp_path / "copy")  # by itself: inside the dataset it would be checked with it
    done = subprocess.run([validator, str(tmp_path / "copy"), "--json"], capture_output=True, text=True, timeout=250, check=False)
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert [i for i in issues if i.get("severity") == "error"] == []


def test_a_scan_of_a_cohort_is_a_scan_alone(dataset: Path, fitted: Path, tmp_path: Path) -> None:
    place = dataset / "sub-01" / "ses-b" / "dwi"
    stem = f"{place}/sub-01_ses-b"
    mask = dataset / "derivatives" / "masks" / "sub-01" / "ses-b" / "dwi" / "sub-01_ses-b_mask.nii.gz"
    run_here("fit", f"{stem}_dwi.nii.gz", "--protocol", f"{stem}_fexi.tsv", "--mask", mask, "--roi",
             f"{stem}_desc-tissue_dseg.nii.gz", "--out", tmp_path / "one", "--no-figures", "--quiet")  # fmt: skip
    alone = {r["region"]: r for r in _rows(tmp_path / "one" / "regions.tsv")}
    for r in _rows(fitted / "group.tsv"):
        if r["session"] == "b":
            assert {k: r[k] for k in alone[r["region"]]} == alone[r["region"]]
    name = "model-fexi_param-axr_dwimap.nii.gz"
    one = (tmp_path / "one" / "sub-01" / "dwi" / f"sub-01_{name}").read_bytes()
    assert one == (fitted / "sub-01" / "ses-b" / "dwi" / f"sub-01_ses-b_{name}").read_bytes()


def test_parts_workers_and_interruptions_give_the_same_bytes(
    dataset: Path, fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o"
    assert _run(["fexi", "cohort", str(dataset), "--out", str(out), "-q", "--shard", "2/2"]) == 0
    assert "left to other parts" in capsys.readouterr().out
    # a scan whose maps were moved but whose chunk was not stored is done again
    assert _run(["fexi", "cohort", str(dataset), "--out", str(out), "-q", "--shard", "1/2"]) == 0
    (out / "chunks" / "chunk-000000.json").unlink()
    next((out / "sub-01" / "ses-a" / "dwi").glob("*axr_dwimap.nii.gz")).write_bytes(b"half")
    assert _run(["fexi", "cohort", str(dataset), "--out", str(out), "-q", "--resume", "--workers", "2"]) == 0
    assert _files(out) == _files(fitted)
    assert _run(["fexi", "cohort", str(dataset), "--out", str(out), "-q"]) == 5
    assert "--resume" in capsys.readouterr().err


def test_too_many_failures_stop(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["fexi", "cohort", str(dataset), "--out", str(tmp_path / "o"), "-q", "--max-fail", "0"]) == 6
    err = capsys.readouterr().err
    assert "--max-fail" in err
    assert err.count("\n") == 1
    assert len(list((tmp_path / "o" / "chunks").glob("chunk-*.json"))) == 4  # up to the first broken one


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--match", "*_bold"], "no '*_bold'"),
        (["--protocol", "nope.tsv"], "nope"),
        (["--estimator", "guess"], "nlls"),
        (["--model", "guess"], "axr"),
        (["--shard", "2/1"], "--shard"),
    ],
)
def test_bad_settings_are_one_line(
    arguments: list[str], words: str, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(["fexi", "cohort", str(dataset), "--out", str(tmp_path / "o"), *arguments]) in (2, 3)
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_names_of_datasets_are_checked(tmp_path: Path) -> None:
    header = new_geometry(np.eye(4))
    data = Dataset(tmp_path, "01", header, entities="ses-02_run-1")
    assert data.place == tmp_path / "sub-01" / "ses-02" / "dwi"
    assert data.prefix == "sub-01_ses-02_run-1"
    for bad in ("ses-02_", "../x", "run", "ses-a b", "_ses-1"):
        with pytest.raises(Exception, match="entities"):
            Dataset(tmp_path, "01", header, entities=bad)


def _row(subject: str, value: float | None, flag: int = 0) -> dict[str, Any]:
    return {"subject": subject, "region": "wm", "axr": value, "flag": flag}


def test_means_are_over_subjects_and_repeats_tell_repeatability() -> None:
    rows = [_row("a", 1.0), _row("a", 1.2), _row("b", 2.0), _row("c", 3.0), _row("c", 9.0, flag=3), _row("d", None)]
    (s,) = summary_rows(rows)
    means = np.array([1.1, 2.0, 3.0])
    assert (s["subjects"], s["scans"], s["left_out"]) == (3, 4, 2)
    assert s["mean"] == pytest.approx(means.mean())
    assert s["sd_between"] == pytest.approx(means.std(ddof=1))
    ends = stats.t.interval(0.95, 2, means.mean(), means.std(ddof=1) / np.sqrt(3))
    assert (s["low"], s["high"]) == pytest.approx(ends)
    assert s["sd_within"] == pytest.approx(np.std([1.0, 1.2], ddof=1))
    (one,) = summary_rows(rows[:1])
    assert one["mean"] == 1.0
    assert np.isnan([one["low"], one["high"], one["sd_between"], one["sd_within"]]).all()


def test_the_interval_of_the_mean_covers_it() -> None:
    rng, hits, trials = np.random.default_rng(4), 0, 1500
    for _ in range(trials):
        truth = 1.3 + 0.3 * rng.standard_normal(6)
        rows = [_row(str(i), float(t + 0.2 * rng.standard_normal())) for i, t in enumerate(truth) for _ in range(2)]
        (s,) = summary_rows(rows)
        hits += s["low"] <= 1.3 <= s["high"]
    assert abs(hits / trials - 0.95) < 0.02
