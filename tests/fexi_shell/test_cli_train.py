"""``krogh fexi train``: files, resume after a kill, and every way a network can be wrong, each in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from krogh.errors import InputError, OutputError, UsageError
from krogh.fexi.interface import Flag
from krogh.io import weights as weights_file
from krogh.io.nifti import read_image

from ._files import KilledError, kill_after_two_rounds, nifti, run_here

TINY = ["--set", "rounds=4", "--set", "steps=3", "--set", "batch=64", "--set", "width=16", "--set", "flow_width=16"]
COMMAND = ["train", "npe", "--protocol", "human-bbb", "--snr", "30:80", "--device", "cpu", "--quiet", *TINY]
FIT = ["--protocol", "human-bbb", "--estimator", "npe", "--no-figures", "--quiet"]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("net") / "net"
    run_here(*COMMAND, "--out", out)
    return out


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scan")
    b, t = np.array([0, 250] * 4) * 1e6, np.array([20, 20, 20, 20, 200, 200, 400, 400]) * 1e-3
    filtered = np.arange(8) > 1
    rng = np.random.default_rng(2)
    adc = rng.uniform(0.6, 1.2, (6, 6, 2, 1)) * 1e-9
    clean = 100 * np.where(filtered, 0.6, 1.0) * np.exp(-b * adc * (1 - 0.3 * filtered * np.exp(-3 * t)))
    noise = 2 * rng.standard_normal((2, *clean.shape))
    signals = np.hypot(clean + noise[0], noise[1])
    signals[0, 0, 0] = [100, 15, 100, 95, 15, 100, 15, 100]  # no tissue
    return nifti(folder / "sub-07_dwi.nii.gz", signals.astype(np.float32))


def test_network_has_weights_record_curve_and_history(network: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {p.name for p in network.iterdir()} == {
        "weights.safetensors", "weights.json", "training.tsv", "training.png", "run.json", "command.txt", "chunks"
    }  # fmt: skip
    assert not (network / "chunks" / "state.safetensors").exists()
    record = json.loads((network / "weights.json").read_text())
    assert record["estimator"] == "npe"
    assert record["snr"] == pytest.approx([30, 80])
    assert len(record["training"]["history"]) == 4 == len((network / "training.tsv").read_text().splitlines()) - 1
    again = weights_file.read_weights(network / "weights.json")
    assert again.record() == {k: v for k, v in record.items() if k != "sha256"}
    run_here(*COMMAND[: -len(TINY) - 1], *TINY, "--dry-run", "--json", "--out", network)
    assert json.loads(capsys.readouterr().out)["plan"]["settings"]["rounds"] == 4


def test_fit_with_weights_maps_and_flags(network: Path, scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_here("fit", scan, *FIT, "--weights", network, "--noise-sd", 2, "--out", tmp_path / "o")
    place = tmp_path / "o" / "sub-07" / "dwi"
    flag = read_image(place / "sub-07_model-fexi_param-flag_dwimap.nii.gz").data
    assert flag[0, 0, 0] == Flag.OUTSIDE_TRAINING
    assert (flag == Flag.OK).mean() > 0.9
    for name in ("axr", "axrSd", "axrMedian", "axrLow", "axrHigh", "odd"):
        assert np.isfinite(read_image(place / f"sub-07_model-fexi_param-{name}_dwimap.nii.gz").data).all()
    assert "unlike anything the network was trained on" in capsys.readouterr().out
    assert any("weights" in entry["name"] for entry in json.loads((tmp_path / "o" / "run.json").read_text())["inputs"])


def test_killed_training_resumes_to_the_same_bytes(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = kill_after_two_rounds(monkeypatch)
    out = tmp_path / "net"
    with pytest.raises(KilledError):
        run_here(*COMMAND, "--out", out)
    assert not (out / "weights.json").exists()
    with pytest.raises(OutputError, match="--resume goes on"):
        run_here(*COMMAND, "--out", out)
    with pytest.raises(OutputError, match="other input, settings"):
        run_here(*COMMAND, "--seed", 1, "--out", out, "--resume")
    run_here(*COMMAND, "--out", out, "--resume")
    assert calls == [1, 2, 3, 4]
    for name in ("weights.safetensors", "weights.json", "training.tsv"):
        assert (out / name).read_bytes() == (network / name).read_bytes(), name
    state = out / "chunks" / "state.safetensors"
    state.write_bytes(b"\0" * 100)
    with pytest.raises(InputError, match="damaged state"):
        run_here(*COMMAND, "--out", out, "--resume")
    run_here(*COMMAND, "--out", out, "--overwrite")


def _damage(folder: Path, how: str) -> None:
    tensors, record = folder / "weights.safetensors", folder / "weights.json"
    content = json.loads(record.read_text())
    if how == "flipped":
        raw = bytearray(tensors.read_bytes())
        raw[-5] ^= 1
        tensors.write_bytes(raw)
    elif how == "cut":
        tensors.write_bytes(tensors.read_bytes()[:200])
    elif how == "missing":
        tensors.unlink()
    elif how == "no record":
        record.write_text("[[[")
    elif how == "format":
        record.write_text(json.dumps({**content, "format": 99}))
    elif how == "architecture":
        content["architecture"]["settings"]["width"] = 17
        record.write_text(json.dumps(content))
    elif how == "prior":
        record.write_text(json.dumps({**content, "prior": 3}))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("flipped", r"net/weights.safetensors: got SHA-256 .*damaged.*; copy the folder again, or train again"),
        ("cut", "SHA-256"), ("missing", "no such file"), ("no record", "no record of a network"), ("format", "another format"),
        ("architecture", "do not fit the stated architecture"), ("prior", "another format"),
    ],
)  # fmt: skip
def test_damaged_networks_are_refused_in_one_line(network: Path, scan: Path, tmp_path: Path, how: str, message: str) -> None:
    folder = tmp_path / "net"
    shutil.copytree(network, folder)
    _damage(folder, how)
    with pytest.raises(InputError, match=message) as caught:
        run_here("fit", scan, *FIT, "--weights", folder, "--noise-sd", 2, "--out", tmp_path / "o")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "o").exists()


def test_wrong_scan_for_a_network_says_what_to_do(network: Path, scan: Path, tmp_path: Path) -> None:
    given = [scan, *FIT, "--weights", network, "--out", tmp_path / "o"]
    with pytest.raises(InputError, match=r"SNR 200 \(median\), expected 30 to 80.*train one with --snr 30:2"):
        run_here("fit", *given, "--noise-sd", 0.5)
    with pytest.raises(UsageError, match="as trained; give the same"):
        run_here("fit", *given, "--noise-sd", 2, "--bound", "sigma=-0.5:1")
    with pytest.raises(UsageError, match="a network of npe, expected --estimator npe"):
        run_here("fit", *given[:1], "--protocol", "human-bbb", "--estimator", "eb", "--weights", network, "--out", tmp_path / "o")
    with pytest.raises(UsageError, match="draws nothing"):
        run_here("fit", *given, "--seed", 1)
    other = [*given]
    other[2] = "bbb-crusher-5mm"
    with pytest.raises(InputError, match="8 volumes"):
        run_here("fit", *other, "--noise-sd", 2)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (["train", "nlls"], UsageError, "one that is trained"),
        (["train", "npe", "--set", "depht=3"], UsageError, "did you mean depth"),
        (["train", "npe", "--set", "rounds=-3"], InputError, "a whole number > 0"),
        (["train", "npe", "--snr", "fifty"], InputError, "low:high"),
        (["train", "npe", "--snr", "90:30"], InputError, "low <= high"),
        (["train", "npe", "--prior", "brian"], UsageError, "uniform, tissue or a JSON file"),
        (["train", "npe", "--prior", "none.json"], InputError, "no such file"),
        (["train", "npe", "--model", "2cm", "--fix", "k=3"], InputError, "cannot tell apart"),
        (["train", "npe", "--device", "tpu"], UsageError, "auto, cpu or cuda"),
    ],
)
def test_wrong_trainings_are_refused_before_work(arguments: list[str], kind: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(kind, match=message):
        run_here(*arguments, "--protocol", "human-bbb", "--out", tmp_path / "net")
    assert not (tmp_path / "net").exists()


@pytest.mark.parametrize("estimator", ["supervised", "selfsup", "physics"])
def test_every_network_trains_fits_and_takes_part_in_the_benchmark(
    estimator: str, scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, few = tmp_path / "net", ["--set", "rounds=2", "--set", "voxels=500"]
    run_here("train", estimator, "--protocol", "human-bbb", "--snr", "30:80", "--quiet", *few, "--out", out)
    assert f"--estimator {estimator} --weights" in capsys.readouterr().out
    given = [scan, "--protocol", "human-bbb", "--estimator", estimator, "--no-figures", "--quiet", "--noise-sd", 2]
    run_here("fit", *given, "--weights", out, "--out", tmp_path / "o")
    place = tmp_path / "o" / "sub-07" / "dwi"
    assert np.isfinite(read_image(place / "sub-07_model-fexi_param-axrSd_dwimap.nii.gz").data).any()
    side = json.loads((place / "sub-07_model-fexi_param-axrLow_dwimap.json").read_text())
    words = {"supervised": "expected-error", "selfsup": "Cramer-Rao (not calibrated)", "physics": "posterior"}
    assert words[estimator] in side["Description"]
    name = f"constant,nlls,{estimator}"
    tiny = ["--set", f"{estimator}.rounds=2", "--set", f"{estimator}.voxels=500"]
    run_here("benchmark", "--voxels", 300, "--estimators", name, *tiny, "--quiet")
    printed = capsys.readouterr().out
    assert "Shrinkage: when the true AXR rises by 1 1/s the estimate rises by constant 0.00" in printed
    assert estimator in printed


def test_prior_from_a_file(tmp_path: Path) -> None:
    from krogh.fexi.learned.tissue import named_prior
    from krogh.fexi.models.axr import AxrModel

    prior = named_prior("tissue", AxrModel())
    (tmp_path / "p.json").write_text(json.dumps(prior.as_dict()))
    assert weights_file.read_prior(tmp_path / "p.json").as_dict() == prior.as_dict()
    (tmp_path / "p.json").write_text(json.dumps({"Priors": {"0": prior.as_dict()}}))
    assert weights_file.read_prior(tmp_path / "p.json").as_dict() == prior.as_dict()
    (tmp_path / "p.json").write_text(json.dumps({"Priors": {"1": prior.as_dict(), "2": prior.as_dict()}}))
    with pytest.raises(InputError, match="no prior"):
        weights_file.read_prior(tmp_path / "p.json")
    (tmp_path / "p.json").write_text(json.dumps({**prior.as_dict(), "weight": [0.5, 0.9]}))
    with pytest.raises(InputError, match="adding to 1"):
        weights_file.read_prior(tmp_path / "p.json")
