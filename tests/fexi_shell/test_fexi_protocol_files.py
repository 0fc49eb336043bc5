"""Protocol files: what is written reads back equal; what cannot be is refused with file, row and column."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from krogh.errors import InputError
from krogh.fexi.presets import preset
from krogh.fexi.protocol import Protocol
from krogh.io.fexi_protocol import read_protocol, write_protocol

HUMAN = preset("human-bbb")
PRESETS = ["human-bbb", "bbb-crusher", "bbb-crusher-5mm", "bbb-crusher-2.5mm", "cell-type"]


@pytest.mark.parametrize("name", PRESETS)
def test_presets_read_by_name_and_round_trip(tmp_path: Path, name: str) -> None:
    protocol = read_protocol(name)
    write_protocol(tmp_path / "P.tsv", protocol)
    assert read_protocol(tmp_path / "P.tsv") == protocol
    assert read_protocol(tmp_path / "P.tsv").content_hash() == protocol.content_hash()


def test_every_field_round_trips(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((8, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    protocol = Protocol.from_s_mm2(
        [0, 0, 251.3, 251.3, 251.3, 251.3, 251.3, 251.3], [0, 250.1] * 4, [0.0201, 0.0201, 0.02, 0.02, 0.2, 0.2, 1 / 3, 1 / 3],
        directions=directions, filter_directions=-directions, echo_time_filter_s=0.031, echo_time_detect_s=0.062,
        crusher_q_rad_m=np.repeat([0.0, 6283.1, 6283.1, 7000.0], 2), crusher_duration_s=0.002, slice_thickness_m=0.005,
        field_strength_t=2.89, small_delta_s=0.011, big_delta_s=0.0213, average=np.arange(1, 9),
    )  # fmt: skip
    write_protocol(tmp_path / "P.tsv", protocol)
    assert read_protocol(tmp_path / "P.tsv") == protocol


def test_fsl_text_files(tmp_path: Path) -> None:
    (tmp_path / "a.bf").write_text("0 0 250 250 250 250 250 250\n")
    (tmp_path / "a.bval").write_text("0\n250\n0\n250\n0\n250\n0\n250\n")
    (tmp_path / "a.tm").write_text("0.02 0.02 0.02 0.02 0.2 0.2 0.4 0.4")
    for suffix in (".bf", ".bval", ".tm"):
        assert read_protocol(tmp_path / f"a{suffix}").content_hash() == HUMAN.content_hash()
    (tmp_path / "a.tm").write_text("20 20 20 20 200 200 400 400")
    with pytest.raises(InputError, match=r"a.tm, entry 1, mixing_time.*ms"):
        read_protocol(tmp_path / "a.bval")
    (tmp_path / "a.tm").write_text("0.02 0.02")
    with pytest.raises(InputError, match=r"2 entries in a.tm"):
        read_protocol(tmp_path / "a.bval")


def test_xps_file(tmp_path: Path) -> None:
    fields = {
        "mde_b1": HUMAN.filter_b_s_m2,
        "mde_b2": HUMAN.b_s_m2,
        "mde_tm12": HUMAN.mixing_time_s,
        "s_ind": [1, 1, 2, 2, 3, 3, 4, 4],
        "n": 8,
    }
    for compress in (False, True):
        savemat(tmp_path / "xps.mat", {"xps": {**fields, "intent": "FEXI", "bt": np.zeros((8, 6))}}, do_compression=compress)
        assert read_protocol(tmp_path / "xps.mat").as_dict() == HUMAN.as_dict()
    savemat(tmp_path / "flat.mat", fields)
    assert read_protocol(tmp_path / "flat.mat").as_dict() == HUMAN.as_dict()
    del fields["mde_b1"]
    savemat(tmp_path / "less.mat", {"xps": fields})
    with pytest.raises(InputError, match=r"less.mat.*mde_b1"):
        read_protocol(tmp_path / "less.mat")
    raw = bytearray((tmp_path / "xps.mat").read_bytes())
    rng = np.random.default_rng(0)
    for _ in range(1000):
        bad = raw.copy()
        for _ in range(5):
            bad[rng.integers(len(bad))] = rng.integers(256)
        (tmp_path / "bad.mat").write_bytes(bad[: rng.integers(1, len(bad))])
        try:
            read_protocol(tmp_path / "bad.mat")
        except InputError:
            continue


@pytest.mark.data
def test_sequence_file_of_the_crusher_protocols() -> None:
    folder = Path(os.environ.get("KROGH_DATA", "../shared/data")) / "fexi/texi_mc/seq"
    if not folder.is_dir():
        pytest.skip("needs the shared data folder (KROGH_DATA)")
    protocol = read_protocol(folder / "FEXI_IVIM_9.mat")
    assert (protocol.n_volumes, protocol.n_series) == (120, 30)
    assert protocol.crusher_b_s_m2.max() == pytest.approx(31415.93**2 * 0.3, rel=1e-5)


GOOD = "filter_b\tb\tmixing_time\n" + "".join(f"{f}\t{b}\t{t}\n" for f, b, t in zip(
    [0, 0] + [250] * 6, [0, 250] * 4, [0.02] * 4 + [0.2] * 2 + [0.4] * 2, strict=True))  # fmt: skip

BAD_TABLES = {
    "mixing time in ms": (GOOD.replace("0.4", "400"), "P.tsv, row 7, mixing_time.*ms"),
    "b in s/m2": (GOOD.replace("250", "250e6"), "s/m2"),
    "b in ms/um2": (GOOD.replace("250", "0.25"), "ms/um2"),
    "series without b = 0": (GOOD.replace("250\t0\t0.4", "250\t100\t0.4"), "no volume with b = 0"),
    "no unfiltered pair": (GOOD.replace("0\t0\t0.02\n0\t250\t0.02\n", ""), "no unfiltered pair"),
    "no filtered pair": ("filter_b\tb\tmixing_time\n0\t0\t0.02\n0\t250\t0.02\n", "no filtered pair"),
    "a word": (GOOD.replace("250\t250\t0.2", "250\ttwo\t0.2"), "row 6, b.*'two'"),
    "negative b": (GOOD.replace("250\t250\t0.2", "250\t-250\t0.2"), "row 6, b"),
    "NaN": (GOOD.replace("250\t250\t0.2", "250\tnan\t0.2"), "row 6, b"),
    "infinite": (GOOD.replace("250\t250\t0.2", "250\tinf\t0.2"), "row 6, b"),
    "a cell missing": (GOOD.replace("250\t250\t0.2", "250\t250"), "row 6.*2 entries"),
    "a cell too many": (GOOD.replace("250\t250\t0.2", "250\t250\t0.2\t7"), "row 6.*4 entries"),
    "misspelt column": (GOOD.replace("filter_b", "filterb"), "filter_b"),
    "column missing": (
        GOOD.replace("\tmixing_time", "").replace("\t0.02", "").replace("\t0.2", "").replace("\t0.4", ""),
        "no column mixing_time",
    ),
    "a column twice": (GOOD.replace("mixing_time", "b"), "twice"),
    "spaces for tabs": (GOOD.replace("\t", " "), "tabs"),
    "empty": ("", "no rows"),
    "only a header": ("filter_b\tb\tmixing_time\n", "no rows"),
    "one row": ("filter_b\tb\tmixing_time\n0\t0\t0.02\n", "1 volumes"),
    "two of three directions": (GOOD.replace("\n", "\t1\t0\n").replace("time\t1\t0", "time\tdir_x\tdir_y"), "only dir_x, dir_y"),
    "no text": (b"\xff\xfe\x00\x01", "UTF-8"),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_impossible_tables_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    content, words = BAD_TABLES[name]
    path = tmp_path / "P.tsv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=words) as caught:
        read_protocol(path)
    assert "P.tsv" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"EchoTimeFilter": 30}', "EchoTimeFilter.*in s"),
        ('{"EchoTimeFiltr": 0.03}', "did you mean EchoTimeFilter"),
        ('{"EchoTimeFilter": "0.03"}', "EchoTimeFilter"),
        ('{"EchoTimeFilter": true}', "EchoTimeFilter"),
        ('{"EchoTimeFilter": NaN}', "EchoTimeFilter"),
        ('{"CrusherMoment": 6283, "CrusherBPerSecond": 39.5}', "q_c and b per second"),
        ('{"SliceThickness": -5}', "SliceThickness"),
        ('{"RequireB0": 1}', "RequireB0"),
        ("[1, 2]", "a list"),
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("", "no JSON"),
    ],
)
def test_impossible_sidecars_are_refused_in_one_line(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "P.tsv").write_text(GOOD)
    (tmp_path / "P.json").write_text(content)
    with pytest.raises(InputError, match=words) as caught:
        read_protocol(tmp_path / "P.tsv")
    assert "\n" not in str(caught.value)


def test_unknown_sidecar_keys_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "P.tsv").write_text(GOOD)
    (tmp_path / "P.json").write_text(
        json.dumps({"EchoTimeFilter": 0.03, "EchoTime": 0.1, "Manufacturer": "x", "SliceThickness": 5})
    )
    protocol = read_protocol(tmp_path / "P.tsv")
    assert protocol.echo_time_filter_s == 0.03
    assert protocol.slice_thickness_m == 0.005


@pytest.mark.parametrize("name", ["human-bb", "nothing", "../x", "P.txt", "missing.tsv", "missing.bval", "missing.mat"])
def test_names_that_are_neither_file_nor_preset(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError):
        read_protocol(tmp_path / name if name.startswith("missing") else name)


def test_1000_damaged_tables_end_in_success_or_refusal(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "P.tsv"
    for _ in range(1000):
        raw = bytearray(GOOD.encode())
        for _ in range(rng.integers(1, 6)):
            raw[rng.integers(len(raw))] = rng.choice([*b"0123456789.-eE\t\n", 0, 255])
        path.write_bytes(raw[: rng.integers(1, len(raw) + 1)])
        try:
            read_protocol(path)
        except InputError as error:
            assert "\n" not in str(error)
