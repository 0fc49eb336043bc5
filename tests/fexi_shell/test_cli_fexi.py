"""``krogh fexi`` from the command line: what a user does, what is written, what goes wrong and how it says so."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from krogh.cli.main import _run
from krogh.errors import InputError, OutputError, UsageError
from krogh.io.nifti import read_image
from krogh.runs.fexi_regions import Region

from ._files import krogh, nifti, run_here


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulate a small head with a lesion at high SNR, without relaxation."""
    out = tmp_path_factory.mktemp("head") / "sim"
    run_here("simulate", "--phantom", "shapes", "--voxel", "4 mm", "--lesion", "--snr", 5000, "--no-relaxation", "--out", out)
    return out / "sub-01" / "dwi"


def inputs(head: Path) -> list[Any]:
    stem = f"{head}/sub-01"
    return [f"{stem}_dwi.nii.gz", "--protocol", f"{stem}_fexi.tsv", "--mask", f"{stem}_desc-brain_mask.nii.gz",
            "--roi", f"{stem}_desc-tissue_dseg.nii.gz", "--quiet"]  # fmt: skip


@pytest.fixture(scope="module")
def fitted(head: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fit that head."""
    out = tmp_path_factory.mktemp("fit") / "out"
    run_here("fit", *inputs(head), "--out", out)
    return out


def test_fit_recovers_the_truth_at_high_snr(head: Path, fitted: Path) -> None:
    place = fitted / "sub-01" / "dwi"
    flag = read_image(place / "sub-01_model-fexi_param-flag_dwimap.nii.gz").data
    axr = read_image(place / "sub-01_model-fexi_param-axr_dwimap.nii.gz").data
    truth = read_image(head / "sub-01_model-fexi_desc-truth_param-k_dwimap.nii.gz").data
    labels = read_image(head / "sub-01_desc-tissue_dseg.nii.gz").data
    vb = read_image(head / "sub-01_model-fexi_desc-truth_param-vb_dwimap.nii.gz").data
    pure = (flag == 0) & (np.abs(vb - 0.044) < 1e-6) & (labels == 2)
    assert pure.sum() > 100
    error = axr[pure] - truth[pure]
    assert abs(np.median(error)) < 0.03  # the AXR model itself is 1-2 % low
    assert np.std(error) < 0.3
    rows = {r["region"]: r for r in read_tsv(fitted / "regions.tsv")}
    assert float(rows["white matter"]["axr"]) == pytest.approx(1.308, rel=0.05)
    assert float(rows["lesion"]["axr"]) > 2 * float(rows["white matter"]["axr"])
    assert float(rows["white matter"]["axr_low"]) < float(rows["white matter"]["axr"]) < float(rows["white matter"]["axr_high"])


def read_tsv(path: Path) -> list[dict[str, str]]:
    head_line, *lines = path.read_text().splitlines()
    return [dict(zip(head_line.split("\t"), line.split("\t"), strict=True)) for line in lines]


def test_every_map_has_geometry_and_a_sidecar(head: Path, fitted: Path) -> None:
    scan = read_image(head / "sub-01_dwi.nii.gz")
    mask = read_image(head / "sub-01_desc-brain_mask.nii.gz").data > 0
    maps = sorted((fitted / "sub-01" / "dwi").glob("*_dwimap.nii.gz"))
    names = {m.name.split("param-")[1].split("_")[0] for m in maps}
    assert names >= {"adc", "sigma", "axr", "adcSd", "sigmaSd", "axrSd", "s0", "kie", "kei", "ps", "p", "rmse", "flag"}
    for path in maps:
        image = read_image(path)
        np.testing.assert_array_equal(image.affine, scan.affine)
        side = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())
        for key in ("Units", "Description", "EstimationAlgorithm", "EstimationReference", "ProtocolHash", "Notice", "NoiseSD"):
            assert key in side, (path.name, key)
        if "flag" not in path.name:
            values = image.data[..., 0] if image.data.ndim == 4 else image.data
            assert np.isnan(values[~mask]).all()
    assert "k_ie" in json.loads((fitted / "sub-01/dwi/sub-01_model-fexi_param-p_dwimap.json").read_text())["Formula"]


def test_derived_maps_follow_their_formula(fitted: Path) -> None:
    def values(name: str) -> np.ndarray:
        return read_image(fitted / f"sub-01/dwi/sub-01_model-fexi_param-{name}_dwimap.nii.gz").data

    np.testing.assert_allclose(values("kie"), 0.96 * values("axr"), rtol=1e-5)
    np.testing.assert_allclose(values("ps"), 6000 * 0.04 * 0.96 * values("axr"), rtol=1e-5)
    np.testing.assert_allclose(values("p"), 0.96 * values("axr") * 1.5, rtol=1e-5)


def test_record_pictures_and_captions(fitted: Path) -> None:
    record = json.loads((fitted / "run.json").read_text())
    assert record["config"]["estimator"] == "nlls"
    assert len(record["inputs"]) == 4
    assert "not for diagnosis" in record["notice"]
    text = json.dumps(record) + (fitted / "command.txt").read_text()
    assert str(fitted.parent) not in text
    captions = (fitted / "figures" / "captions.md").read_text()
    for name in ("maps.png", "regions.png", "histograms.png"):
        assert (fitted / "figures" / name).read_bytes()[:4] == b"\x89PNG"
        assert name in captions
    assert "not for diagnosis or dosing" in captions


def test_same_input_same_bytes(head: Path, fitted: Path, tmp_path: Path) -> None:
    run_here("fit", *inputs(head), "--out", tmp_path / "again")
    for path in sorted(fitted.rglob("*")):
        if path.is_file() and path.name not in ("run.json", "command.txt"):
            assert (tmp_path / "again" / path.relative_to(fitted)).read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize("which", ["sim", "fit"])
def test_bids_validator_finds_no_error(head: Path, fitted: Path, which: str) -> None:
    validator = shutil.which("bids-validator-deno") or shutil.which("bids-validator-deno", path=str(Path(sys.executable).parent))
    if validator is None:
        pytest.skip("bids-validator-deno is not installed")
    folder = fitted if which == "fit" else head.parent.parent
    done = subprocess.run(
        [validator, "--json", str(folder)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env={**os.environ, "NO_COLOR": "1"},
    )
    issues = json.loads(done.stdout)["issues"]["issues"]
    errors = [issue for issue in issues if issue.get("severity") == "error"]
    assert not errors, errors


def test_json_is_one_object(head: Path, tmp_path: Path) -> None:
    done = krogh("fexi", "fit", *inputs(head), "--out", tmp_path / "o", "--json", "--no-figures")
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert {r["region"] for r in content["regions"]} == {"grey matter", "white matter", "CSF", "lesion"}
    assert done.stderr == ""


def test_low_snr_is_said_in_words(tmp_path: Path) -> None:
    run_here("simulate", "--phantom", "shapes", "--voxel", "5 mm", "--snr", 50, "--out", tmp_path / "sim")
    done = krogh("fexi", "fit", *inputs(tmp_path / "sim/sub-01/dwi"), "--out", tmp_path / "o", "--no-figures")
    assert "Voxel-wise AXR cannot be estimated at this SNR" in done.stdout
    assert "95 % profile intervals" in done.stdout
    assert "regions.tsv" in done.stdout


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        (["--out", "used"], OutputError, "results"),
        (["--estimator", "nls"], UsageError, "did you mean"),
        (["--estimator", "pooled"], UsageError, "--roi"),
        (["--model", "2mc"], UsageError, "2cm"),
        (["--vb", "4"], InputError, "blood fraction"),
        (["--vb", "4 mL"], InputError, "--vb"),
        (["--radius", "0 um"], InputError, "radius"),
        (["--noise-sd", "-1"], InputError, "noise SD"),
        (["--noise-sd", "1", "--noise-map", "x.nii"], UsageError, "--noise-map"),
        (["--bound", "axr=0"], InputError, "axr=0"),
        (["--bound", "speed=0:1"], InputError, "speed"),
        (["--relax", "t3=1"], UsageError, "t3"),
        (["--subject", "../x"], InputError, "subject"),
        (["--protocol", "cell-type"], InputError, "volumes"),
        (["--mask", "missing.nii"], InputError, "no such file"),
        (["--roi", "missing.nii"], InputError, "no such file"),
    ],
)
def test_wrong_options_are_refused(head: Path, tmp_path: Path, options: list[str], kind: type[Exception], words: str) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine.txt").write_text("keep")
    options = [str(tmp_path / o) if o == "used" else o for o in options]
    with pytest.raises(kind, match=words):
        run_here("fit", *inputs(head), "--out", tmp_path / "new", "--no-figures", *options)
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "used" / "mine.txt").read_text() == "keep"
    assert [p.name for p in tmp_path.iterdir()] == ["used"]


def test_errors_are_one_line_with_the_right_exit_code(
    head: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.nii").write_bytes(b"nonsense")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("a")
    three_d = nifti(tmp_path / "3d.nii", np.ones((3, 3, 3), np.float32))
    cases = [
        (["fit", tmp_path / "bad.nii", "-p", "human-bbb"], 3),
        (["fit", three_d, "-p", "human-bbb"], 3),
        (["fit", *inputs(head), "--out", tmp_path / "full"], 5),
        (["fit", *inputs(head), "--estimator", "x"], 2),
        (["fit"], 2),
        (["simulate", "--phantom", "cube"], 2),
        (["protocol", "check", "nothing"], 3),
    ]
    done = krogh("fexi", *cases[0][0], cwd=tmp_path)  # one in a process of its own, all in this one
    assert (done.returncode, done.stderr.count("\n")) == (cases[0][1], 1), done.stderr
    capsys.readouterr()
    for arguments, code in cases:
        found, said = _run(["fexi", *map(str, arguments)]), capsys.readouterr().err
        assert (found, said.count("\n")) == (code, 1), (arguments, said)
        assert said.startswith("error: ")
        assert "Traceback" not in said
        assert not (tmp_path / "out").exists()


def test_dry_run_writes_nothing(head: Path, tmp_path: Path) -> None:
    run_here("fit", *inputs(head), "--out", tmp_path / "o", "--dry-run")
    run_here("simulate", "--out", tmp_path / "o", "--dry-run")
    assert not (tmp_path / "o").exists()


def test_overwrite_replaces_and_only_results(head: Path, fitted: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    run_here("simulate", "--voxels", 10, "--out", out)
    with pytest.raises(OutputError):
        run_here("simulate", "--voxels", 10, "--out", out)
    run_here("simulate", "--voxels", 20, "--out", out, "--overwrite")
    assert len(read_tsv(out / "voxels.tsv")) == 20


def test_interrupt_leaves_earlier_results(head: Path, fitted: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    shutil.copytree(fitted, out)
    before = {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    code = "from krogh.cli.main import main; main()"
    arguments = [
        "fexi",
        "fit",
        *map(str, inputs(head)),
        "--estimator",
        "nlls27",
        "--out",
        str(out),
        "--overwrite",
        "--no-figures",
    ]
    running = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    time.sleep(3.0)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=20)
    assert running.returncode == 130, errors
    assert "Traceback" not in errors
    assert {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["o"]


def test_simulate_voxels_from_a_list_and_fit_them_back(tmp_path: Path) -> None:
    (tmp_path / "tissues.csv").write_text("adc,sigma,axr\n1.0,0.3,3\n0.8,0.5,6\n1.5,0.2,1.5\n")
    run_here("simulate", "--list", tmp_path / "tissues.csv", "--snr", 0, "--out", tmp_path / "sim")
    place = tmp_path / "sim/sub-01/dwi/sub-01"
    run_here(
        "fit",
        f"{place}_dwi.nii.gz",
        "-p",
        f"{place}_fexi.tsv",
        "--out",
        tmp_path / "fit",
        "--no-figures",
        "-q",
    )
    axr = read_image(tmp_path / "fit/sub-01/dwi/sub-01_model-fexi_param-axr_dwimap.nii.gz").data
    np.testing.assert_allclose(axr.ravel(), [3, 6, 1.5], rtol=1e-3)
    (tmp_path / "tissues.csv").write_text("adc,sigma,axr\n1.0,0.3,fast\n")
    with pytest.raises(InputError, match=r"row 1, axr.*fast"):
        run_here("simulate", "--list", tmp_path / "tissues.csv", "--out", tmp_path / "other")


def test_simulate_uses_the_seed_the_noise_and_the_range(tmp_path: Path) -> None:
    def signals(*options: Any) -> np.ndarray:
        run_here("simulate", "--voxels", 50, "--out", tmp_path / "s", "--overwrite", *options)
        return read_image(tmp_path / "s/sub-01/dwi/sub-01_dwi.nii.gz").data

    first = signals("--seed", 1)
    assert np.array_equal(first, signals("--seed", 1))
    for other in (["--seed", 2], ["--seed", 1, "--snr", 20], ["--seed", 1, "--noise", "gaussian"],
                  ["--seed", 1, "--noise", "noncentral-chi", "--coils", 4], ["--seed", 1, "--uniform", "adc=1"]):  # fmt: skip
        assert not np.array_equal(first, signals(*other)), other
    signals("--uniform", "adc=1", "--uniform", "axr=2:3")
    rows = read_tsv(tmp_path / "s" / "voxels.tsv")
    assert {r["adc"] for r in rows} == {"1"}
    assert all(2 <= float(r["axr"]) <= 3 for r in rows)
    with pytest.raises(InputError, match="speed"):
        signals("--uniform", "speed=3")


@pytest.mark.parametrize("model", ["2cm", "rician"])
def test_other_models_and_estimators_write_their_maps(head: Path, tmp_path: Path, model: str) -> None:
    choice = ["--estimator", "rician"] if model == "rician" else ["--model", "2cm"]
    run_here("fit", *inputs(head), *choice, "--out", tmp_path / "o", "--no-figures")
    names = {p.name.split("param-")[1].split("_")[0] for p in (tmp_path / "o/sub-01/dwi").glob("*_dwimap.json")}
    assert names >= ({"fi", "de", "k", "kie", "p"} if model == "2cm" else {"adc", "axr", "axrSd"})


def test_crlb_prints_the_known_bound() -> None:
    done = krogh("fexi", "crlb", "--json")
    rows = {(r["s0"], r["parameter"]): r for r in json.loads(done.stdout)["bounds"]}
    assert rows["known", "axr"]["sd"] == pytest.approx(4.7, abs=0.05)
    assert rows["per-series", "axr"]["sd"] == pytest.approx(6.0, abs=0.05)
    assert 60 <= rows["known", "axr"]["voxels_x_averages"] <= 64


def test_design_saves_a_protocol_that_reads_back(tmp_path: Path) -> None:
    arguments = ("design", "--filter-b", "250", "--b", "250,400", "--save", tmp_path / "best.tsv", "--json")
    run_here(*arguments)
    from krogh.io.fexi_protocol import read_protocol

    assert read_protocol(tmp_path / "best.tsv").n_volumes >= 6
    with pytest.raises(OutputError):
        run_here(*arguments)


def test_benchmark_prints_the_table_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_here("benchmark", "--voxels", 1200, "--estimators", "constant,nlls", "--out", tmp_path / "b", "--quiet")
    printed = capsys.readouterr().out
    assert "variance of the true AXR" in printed
    assert (tmp_path / "b/figures/against_truth.png").exists()
    assert {r["estimator"] for r in read_tsv(tmp_path / "b/scores.tsv")} == {"constant", "nlls"}
    with pytest.raises(UsageError, match="voxel-wise"):
        run_here("benchmark", "--estimators", "pooled")


def test_protocol_show_and_check(capsys: pytest.CaptureFixture[str]) -> None:
    run_here("protocol", "show", "human-bbb")
    assert "8 volumes in 4 series" in capsys.readouterr().out
    run_here("protocol", "check", "human-bbb", "--json")
    assert json.loads(capsys.readouterr().out)["possible"] is True


def test_regions_say_nothing_when_the_voxels_can_tell() -> None:
    region = Region(1, "x", 10, {"axr": 3.0}, voxel_sd=0.1)
    assert region.sentence == ""
    assert "cannot be estimated" in Region(1, "x", 10, {"axr": 3.0}, voxel_sd=6.0, snr=50, on_bound=0.5).sentence


def test_commands_never_load_torch() -> None:
    code = (
        "import sys; from krogh.cli.main import _run; _run(['fexi', 'crlb', '--json']); "
        "_run(['fexi', 'protocol', 'show', 'human-bbb']); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_every_choice_of_a_fit_changes_the_output(head: Path, tmp_path: Path) -> None:
    scan = read_image(head / "sub-01_dwi.nii.gz")
    noise_map = nifti(
        tmp_path / "noise.nii.gz", np.linspace(1e-4, 1e-3, scan.data[..., 0].size).reshape(scan.data.shape[:3]), scan.affine
    )

    def values(name: str, *options: Any) -> np.ndarray:
        run_here("fit", *inputs(head), "--out", tmp_path / "o", "--overwrite", "--no-figures", *options)
        return np.nan_to_num(read_image(tmp_path / f"o/sub-01/dwi/sub-01_model-fexi_param-{name}_dwimap.nii.gz").data)

    default = {name: values(name) for name in ("kie", "p", "axr", "axrSd")}
    for name, options in {
        "kie": ["--vb", "8 %"],
        "p": ["--radius", "4 um"],
        "axr": ["--bound", "axr=2:3"],
        "axrSd": ["--noise-sd", "0.001"],
    }.items():
        assert not np.array_equal(values(name, *options), default[name]), options
    assert not np.array_equal(values("axrSd", "--noise-map", noise_map), default["axrSd"])
    assert (values("axrLow", "--intervals") <= values("axr") + 1e-6).all()
    assert (tmp_path / "o/sub-01").exists()
    run_here("fit", *inputs(head), "--out", tmp_path / "named", "--no-figures", "--subject", "ab7")
    assert (tmp_path / "named/sub-ab7/dwi").is_dir()
    with pytest.raises(UsageError, match="--intervals"):
        values("axr", "--intervals", "--estimator", "rician")


def test_the_noise_free_maps_of_the_phantom(head: Path) -> None:
    axr = read_image(head / "sub-01_model-fexi_desc-noisefree_param-axr_dwimap.nii.gz").data
    truth = read_image(head / "sub-01_model-fexi_desc-truth_param-k_dwimap.nii.gz").data
    labels = read_image(head / "sub-01_desc-tissue_dseg.nii.gz").data
    assert np.median(axr[labels == 2] / truth[labels == 2]) == pytest.approx(0.99, abs=0.02)


def test_a_full_disk_is_one_line_and_leaves_nothing(head: Path, tmp_path: Path) -> None:
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)); import signal; "
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); from krogh.cli.main import main; main(sys.argv[1:])"
    )
    arguments = ["fexi", "fit", *map(str, inputs(head)), "--out", str(tmp_path / "o")]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 5, done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_many_regions_are_summed_up_and_memory_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_here("simulate", "--voxels", 100, "--uniform", "sigma=0.2", "--uniform", "axr=3", "--out", tmp_path / "s")
    place = tmp_path / "s/sub-01/dwi/sub-01"
    labels = np.arange(1, 101, dtype=np.int32).reshape(100, 1, 1)
    roi = nifti(tmp_path / "roi.nii.gz", labels, np.eye(4))
    capsys.readouterr()
    run_here("fit", f"{place}_dwi.nii.gz", "-p", "human-bbb", "--roi", roi, "--out", tmp_path / "o", "-q")
    printed = capsys.readouterr().out
    assert "and 60 more in regions.tsv" in printed
    assert printed.count("Voxel-wise AXR cannot") <= 4
    assert len(read_tsv(tmp_path / "o/regions.tsv")) == 100

    def full(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("krogh.runs.fexi.fit_scan", full)
    with pytest.raises(InputError, match="free memory"):
        run_here("fit", f"{place}_dwi.nii.gz", "-p", "human-bbb", "--out", tmp_path / "x")
