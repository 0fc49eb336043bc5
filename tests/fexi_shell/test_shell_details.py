"""Smaller promises: names of regions, lists of tissues, noise maps, MATLAB files, models with inputs."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from krogh.errors import InputError, KroghError, UsageError
from krogh.fexi.interface import Flag
from krogh.fexi.models import get_model
from krogh.fexi.presets import preset
from krogh.io.bids import subject_of, write_tsv
from krogh.io.fexi_fitted import read_region_names
from krogh.io.fexi_protocol import read_protocol
from krogh.io.fexi_simulated import read_tissues
from krogh.io.matlab import read_mat
from krogh.io.nifti import read_image
from krogh.memory import free_memory_bytes
from krogh.runs.fexi import fit_scan
from krogh.runs.fexi_maps import Vessels
from krogh.runs.fexi_regions import region_masks
from krogh.runs.fexi_simulate import Noise, draw_parameters, simulate_phantom

from ._files import nifti, run_here

PROTOCOL = preset("human-bbb")
AXR = get_model("axr")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"roi.tsv": "index\tname\n1\tcortex\n2\twhite\n"}, {1: "cortex", 2: "white"}),
        ({"roi.json": '{"LabelMap": {"1": "cortex", "3": "a\\u0007b"}}'}, {1: "cortex", 3: "ab"}),
        ({"roi.tsv": "index\tname\n1\tfirst\n", "roi.json": '{"LabelMap": {"1": "other"}}'}, {1: "first"}),
        ({"roi.tsv": "name\ncortex\n"}, {}),
        ({"roi.tsv": "index\tname\none\tcortex\n"}, {}),
        ({"roi.json": "nonsense"}, {}),
        ({"roi.json": "[" * 100_000}, {}),
        ({"roi.json": "{}"}, {}),
        ({}, {}),
    ],
)
def test_region_names_are_read_where_they_are_usable(tmp_path: Path, files: dict[str, str], expected: dict[int, str]) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert read_region_names(tmp_path / "roi.nii.gz") == expected


def test_regions_stay_inside_the_mask_and_have_names() -> None:
    mask = np.ones((2, 2, 1), bool)
    mask[1, 1] = False
    labels = np.array([[[1], [2]], [[2], [3]]], np.int32)
    regions = region_masks(mask, labels, {1: "cortex"})
    assert [(label, name, rows.tolist()) for label, name, rows in regions] == [(1, "cortex", [0]), (2, "label 2", [1, 2])]
    with pytest.raises(InputError, match="no labelled voxel"):
        region_masks(mask, np.where(mask[..., None].squeeze(-1), 0, labels).astype(np.int32))
    with pytest.raises(InputError, match="at most 1,000"):
        region_masks(np.ones((1500, 1, 1), bool), np.arange(1, 1501, dtype=np.int32).reshape(1500, 1, 1))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("adc,sigma,axr\n", "no rows"),
        ("adc,sigma\n1,0.2\n", "no column axr"),
        ("adc,sigma,axr,speed\n1,0.2,3,4\n", "speed"),
        ("adc,sigma,axr\n1,0.2\n", "row 1.*2 entries"),
        ("adc,sigma,axr\n1,0.2,nan\n", "row 1, axr"),
        ("adc,sigma,axr\n1,0.2,x\n", "row 1, axr"),
    ],
)
def test_impossible_lists_of_tissues_are_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        read_tissues(tmp_path / "t.csv", AXR)


def test_tissues_may_come_in_any_order_of_columns(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("axr,adc,sigma\n3,1,0.2\n\n6,0.5,0.4\n")
    np.testing.assert_allclose(read_tissues(tmp_path / "t.csv", AXR), [[1e-9, 0.2, 3], [0.5e-9, 0.4, 6]])


def test_drawn_parameters_stay_in_their_range() -> None:
    rng = np.random.default_rng(0)
    theta = draw_parameters(AXR, {"adc": (0.5, 1), "sigma": (0.2, 0.2), "axr": (1, 5)}, 500, rng)
    assert theta[:, 0].min() >= 0.5e-9
    assert theta[:, 2].max() <= 5
    assert (theta[:, 1] == 0.2).all()
    for ranges, count in (({"adc": (1, 2)}, 5), ({"adc": (2, 1), "sigma": (0, 1), "axr": (0, 1)}, 5), ({}, 0)):
        with pytest.raises(InputError):
            draw_parameters(AXR, ranges, count, rng)


def test_a_noise_map_of_the_phantom(tmp_path: Path) -> None:
    from krogh.fexi.phantom import build_phantom, shape_labels

    phantom = build_phantom(shape_labels(20), np.eye(4), PROTOCOL, factor=2)
    shape = np.ones(phantom.mask.shape, np.float32)
    shape[5:] = 3.0
    result = simulate_phantom(phantom, PROTOCOL, Noise(20.0, "gaussian"), np.random.default_rng(0), noise_map=shape)
    error = result.signals - result.clean
    assert error[5:].std() / error[:5].std() == pytest.approx(3.0, rel=0.05)
    inside = np.sqrt(np.mean(error[phantom.mask] ** 2))
    assert 0.03 < inside < 0.08
    for bad in (shape[1:], -shape, 0 * shape, shape * np.nan):
        with pytest.raises(InputError, match="noise map"):
            simulate_phantom(phantom, PROTOCOL, Noise(20.0), np.random.default_rng(0), noise_map=bad)
    assert simulate_phantom(phantom, PROTOCOL, Noise(None), np.random.default_rng(0)).noise_sd == 0
    path = nifti(tmp_path / "map.nii.gz", np.ones((20, 20, 20), np.float32))
    run_here("simulate", "--phantom", "shapes", "--voxel", "3 mm", "--noise-map", path, "--out", tmp_path / "o")
    assert (tmp_path / "o/run.json").exists()


def test_matlab_reader_agrees_with_scipy(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    numbers = {"a": rng.random((3, 4)), "b": np.arange(5, dtype=np.int16), "c": np.float32(2.5), "d": np.array([], float), "e": 7}
    content = {**numbers, "text": "hello", "z": np.array([1 + 2j]), "cell": np.array([1, "x"], dtype=object), "s": numbers}
    for compress in (False, True):
        savemat(tmp_path / "m.mat", content, do_compression=compress)
        ours, theirs = read_mat(tmp_path / "m.mat"), loadmat(tmp_path / "m.mat", squeeze_me=True)
        for name in numbers:
            np.testing.assert_array_equal(ours[name], np.atleast_1d(theirs[name]).ravel(order="F"))
            np.testing.assert_array_equal(ours["s"][name], ours[name])
        assert not {"text", "z", "cell"} & set(ours)


def element(kind: int, body: bytes) -> bytes:
    return struct.pack("<II", kind, len(body)) + body + bytes(-len(body) % 8)


@pytest.mark.parametrize(
    "body",
    [
        struct.pack("<II", 14, 10_000),
        struct.pack("<II", 15, 4) + b"abcd",
        element(14, element(6, bytes(8)) + element(5, bytes(8))),
        element(
            14,
            element(6, struct.pack("<II", 6, 0))
            + element(5, struct.pack("<ii", 5, 1))
            + element(1, b"a")
            + element(9, bytes(16)),
        ),
        element(
            14,
            element(6, struct.pack("<II", 6, 0))
            + element(5, struct.pack("<ii", 1, 1))
            + element(1, b"a")
            + element(14, bytes(8)),
        ),
        element(
            14,
            element(6, struct.pack("<II", 2, 0)) + element(5, struct.pack("<ii", 1, 1)) + element(1, b"a") + element(5, bytes(4)),
        ),
        struct.pack("<II", 15, len(zlib.compress(bytes(100_000_000), 9))) + zlib.compress(bytes(100_000_000), 9),
    ],
    ids=["too long", "no zlib", "cut off", "wrong count", "matrix for numbers", "no field width", "bomb"],
)
def test_crafted_matlab_files_are_refused_or_empty(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "x.mat"
    path.write_bytes(b"MATLAB 5.0".ljust(124) + b"\x00\x01IM" + body)
    try:
        assert read_mat(path) == {}
    except InputError as error:
        assert "damaged" in str(error)
    with pytest.raises(InputError):
        read_protocol(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"\x89HDF\r\n\x1a\n" + bytes(200), "7.3"), (b"x" * 200, "no MATLAB"), (b"", "no MATLAB"), (bytes(5_000_000), "at most")],
)
def test_other_matlab_files_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "x.mat").write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_mat(tmp_path / "x.mat")


def test_1000_damaged_sidecars_end_in_success_or_refusal(tmp_path: Path) -> None:
    from krogh.io.fexi_protocol import write_protocol

    write_protocol(tmp_path / "P.tsv", preset("bbb-crusher-5mm"))
    good = (tmp_path / "P.json").read_bytes()
    rng = np.random.default_rng(3)
    refused = 0
    for _ in range(1000):
        raw = bytearray(good)
        for _ in range(rng.integers(1, 5)):
            raw[rng.integers(len(raw))] = rng.choice([*b'0123456789.-eE{}[]",:ntf', 0, 255])
        (tmp_path / "P.json").write_bytes(raw[: rng.integers(1, len(raw) + 1)] if rng.random() < 0.3 else raw)
        try:
            read_protocol(tmp_path / "P.tsv")
        except InputError:
            refused += 1
    assert 300 < refused < 1000


def scan() -> np.ndarray:
    theta = np.tile([1e-9, 0.3, 3.0], (27, 1))
    return (100 * AXR.predict(theta, np.ones((27, 4)), PROTOCOL)).reshape(3, 3, 3, 8).astype(np.float32)


@pytest.mark.parametrize(
    "how",
    [
        {"noise_sd": -1.0},
        {"noise_sd": np.ones((2, 2, 2))},
        {"noise_sd": np.zeros((3, 3, 3))},
        {"mask": np.zeros((3, 3, 3), bool)},
        {"mask": np.ones((2, 3, 3), bool)},
        {"labels": np.ones((2, 3, 3), np.int32)},
        {"data": scan()[..., :7]},
        {"data": scan()[..., 0]},
        {"intervals": True, "estimator": "rician"},
    ],
)
def test_arrays_that_do_not_fit_are_refused(how: dict[str, Any]) -> None:
    arguments = {"data": scan(), "protocol": PROTOCOL, "mask": np.ones((3, 3, 3), bool), "threads": 1, **how}
    with pytest.raises(KroghError):
        fit_scan(arguments.pop("data"), arguments.pop("protocol"), arguments.pop("mask"), **arguments)


def test_a_region_without_usable_voxels_is_nan() -> None:
    data = scan()
    data[0] = np.nan
    labels = np.ones((3, 3, 3), np.int32)
    labels[0] = 2
    first, second = fit_scan(data, PROTOCOL, np.ones((3, 3, 3), bool), labels=labels, noise_sd=1.0, threads=1).regions
    assert first.values["axr"] == pytest.approx(3.0, rel=1e-3)
    assert np.isnan(second.values["axr"])
    assert second.flag == Flag.NON_FINITE


@pytest.mark.parametrize("vessels", [(0.0, 3e-6), (1.0, 3e-6), (0.04, 0.0), (0.04, -1e-6)])
def test_impossible_vessels_are_refused(vessels: tuple[float, float]) -> None:
    with pytest.raises(InputError):
        Vessels(*vessels)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    data = scan() + rng.standard_normal((3, 3, 3, 8)).astype(np.float32)
    whole = fit_scan(data, PROTOCOL, np.ones((3, 3, 3), bool), noise_sd=1.0, threads=1)
    monkeypatch.setattr("krogh.runs.fexi._CHUNK", 4)
    parts = fit_scan(data, PROTOCOL, np.ones((3, 3, 3), bool), noise_sd=1.0, threads=2)
    for name, m in whole.maps.items():
        np.testing.assert_array_equal(m.values, parts.maps[name].values)


@pytest.mark.parametrize("snr", [20, 50, 200])
def test_noise_is_estimated_from_the_residuals(snr: float) -> None:
    rng = np.random.default_rng(1)
    theta = np.stack([rng.uniform(0.7e-9, 1.5e-9, 8000), rng.uniform(0.05, 0.4, 8000), rng.uniform(0.5, 8, 8000)], axis=1)
    clean = AXR.predict(theta, np.tile([1.0, 0.78, 0.66, 0.54], (8000, 1)), PROTOCOL)
    data = (clean + rng.standard_normal(clean.shape) / snr).reshape(20, 20, 20, 8)
    data[0, 0, 0] *= np.linspace(1, 30, 8)  # an artefact must not count
    result = fit_scan(data, PROTOCOL, np.ones((20, 20, 20), bool), threads=1)
    assert result.noise_sd == pytest.approx(1 / snr, rel=0.08)
    assert result.snr == pytest.approx(snr, rel=0.1)


def test_a_model_with_inputs_from_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "P.json").write_text(json.dumps({"EchoTimeFilter": 0.03, "EchoTimeDetect": 0.06}))
    rows = zip([0, 0] + [250] * 6, [0, 250] * 4, [0.02] * 4 + [0.2] * 2 + [0.4] * 2, strict=True)
    (tmp_path / "P.tsv").write_text("filter_b\tb\tmixing_time\n" + "".join(f"{f}\t{b}\t{t}\n" for f, b, t in rows))
    run_here(
        "simulate", "--phantom", "shapes", "--voxel", "5 mm", "--snr", 3000, "-p", tmp_path / "P.tsv", "--out", tmp_path / "s"
    )
    place = tmp_path / "s/sub-01/dwi/sub-01"
    files = [f"{place}_dwi.nii.gz", "-p", f"{place}_fexi.tsv", "-m", f"{place}_desc-brain_mask.nii.gz", "-q", "--no-figures"]
    roi = ["--roi", f"{place}_desc-tissue_dseg.nii.gz"]
    relax = ["--model", "2cmr", "--relax", "t1_e=0.83 s", "--relax", "t2_e=0.11s", "--fix", "di=10"]
    run_here("fit", *files, *roi, *relax, "--out", tmp_path / "full")
    run_here("fit", *files, *roi, "--out", tmp_path / "axr")

    def rate(folder: str, column: str) -> float:
        head, *lines = (tmp_path / folder / "regions.tsv").read_text().splitlines()
        rows = [dict(zip(head.split("\t"), line.split("\t"), strict=True)) for line in lines]
        return float(next(r[column] for r in rows if r["region"] == "white matter"))

    assert rate("full", "k") == pytest.approx(1.308, rel=0.07)  # right inputs; what is left is partial volume
    assert abs(rate("axr", "axr") - 1.308) > 2 * abs(rate("full", "k") - 1.308)
    with pytest.raises(InputError, match="name=value"):
        run_here("fit", *files, "--model", "2cm", "--fix", "di=ten", "--out", tmp_path / "x")
    with pytest.raises(UsageError):
        run_here("simulate", "--phantom", "shapes", "--uniform", "adc=1", "--out", tmp_path / "x")
    with pytest.raises(InputError, match="whole number of mm"):
        run_here("simulate", "--phantom", "shapes", "--voxel", "2.5 mm", "--out", tmp_path / "x")
    with pytest.raises(InputError, match="--s0"):
        run_here("crlb", "--s0", "1,2")
    with pytest.raises(InputError, match="--tissue"):
        run_here("crlb", "--tissue", "axr=fast")
    with pytest.raises(InputError, match="--b"):
        run_here("design", "--b", "many")


def test_a_scan_without_mask_is_fitted_where_there_is_signal(tmp_path: Path) -> None:
    data = scan()
    data[0] = 0
    path = nifti(tmp_path / "sub-77_dwi.nii.gz", data)
    run_here("fit", path, "-p", "human-bbb", "--out", tmp_path / "o", "--no-figures", "--noise-sd", "0.1")
    flag = read_image(tmp_path / "o/sub-77/dwi/sub-77_model-fexi_param-flag_dwimap.nii.gz").data
    assert (flag[0] == Flag.MASKED).all()
    assert (flag[1:] == Flag.OK).all()
    with pytest.raises(InputError, match="no voxel with a signal"):
        run_here("fit", nifti(tmp_path / "0.nii", 0 * data), "-p", "human-bbb", "--out", tmp_path / "x")


def test_small_helpers(tmp_path: Path) -> None:
    assert subject_of(Path("sub-ab12_dwi.nii.gz")) == "ab12"
    assert subject_of(Path("scan.nii.gz")) == "01"
    write_tsv(tmp_path / "t.tsv", [{"a": 1.23456789, "b": np.nan, "c": None, "d": np.inf, "e": "x"}])
    assert (tmp_path / "t.tsv").read_text() == "a\tb\tc\td\te\n1.23457\tn/a\tn/a\tn/a\tx\n"
    assert free_memory_bytes() > 0
