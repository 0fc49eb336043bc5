"""Run one small simulation and one small fit for all tests of reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from krogh.cli.main import _run


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "two"
    words = ["simulate", "caffeine", "morphine", "--duration", "1 h", "--cells", "24", "--leak", "3", "--no-pictures"]
    assert _run([*words, "--out", str(out), "--quiet"]) == 0
    return out


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("report-fexi")
    scan, out = place / "scan", place / "maps"
    assert (
        _run(["fexi", "simulate", "--phantom", "shapes", "--voxel", "8 mm", "--lesion", "--seed", "1", "--out", str(scan)]) == 0
    )
    stem = scan / "sub-01" / "dwi"
    fit = ["fexi", "fit", str(stem / "sub-01_dwi.nii.gz"), "--protocol", "human-bbb", "--out", str(out), "--quiet"]
    masks = ["--mask", str(stem / "sub-01_desc-brain_mask.nii.gz"), "--roi", str(stem / "sub-01_desc-tissue_dseg.nii.gz")]
    assert _run([*fit, *masks]) == 0
    return out
