"""What real scans do: each oddity has an expected refusal (exit 3, one line) or an expected flag map."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from krogh.errors import InputError
from krogh.fexi.interface import Flag
from krogh.fexi.models import get_model
from krogh.fexi.presets import preset
from krogh.fexi.protocol import Protocol
from krogh.io.nifti import read_dwi, read_image, read_labels, read_mask, write_map
from krogh.runs.fexi import fit_scan

from ._files import AFFINE, nifti

PROTOCOL = preset("human-bbb")
SHAPE = (3, 4, 2)
MASK = np.ones(SHAPE, np.uint8)


def scan(seed: int = 0, sd: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    n = int(np.prod(SHAPE))
    theta = np.stack([rng.uniform(0.8e-9, 1.5e-9, n), rng.uniform(0.2, 0.5, n), rng.uniform(2, 6, n)], axis=1)
    signal = 1000 * get_model("axr").predict(theta, np.tile([1.0, 0.8, 0.75, 0.7], (n, 1)), PROTOCOL)
    return (signal + sd * rng.standard_normal(signal.shape)).reshape(*SHAPE, -1).astype(np.float32)


def fitted(path: Path, mask: Any = MASK, protocol: Protocol = PROTOCOL) -> Any:
    return fit_scan(read_dwi(path).data, protocol, np.asarray(mask) > 0, noise_sd=1.0, threads=1)


def flags_of(values: np.ndarray, tmp_path: Path, **how: Any) -> np.ndarray:
    return fitted(nifti(tmp_path / "dwi.nii.gz", values, **how)).maps["flag"].values


REFERENCE = fit_scan(scan(), PROTOCOL, MASK > 0, noise_sd=1.0, threads=1)


def header_edit(**fields: Any) -> Callable[[nib.Nifti1Header], None]:
    def edit(header: nib.Nifti1Header) -> None:
        for name, value in fields.items():
            header[name] = value

    return edit


def pixdim(*edges: float) -> Callable[[nib.Nifti1Header], None]:
    def edit(header: nib.Nifti1Header) -> None:
        header["pixdim"][1 : 1 + len(edges)] = edges

    return edit


def no_codes(header: nib.Nifti1Header) -> None:
    header["sform_code"] = header["qform_code"] = 0


READ = {
    "as it is": {},
    "float64": {"dtype": "f8"},
    "int16": {"dtype": "i2"},
    "uint16": {"dtype": "u2"},
    "int32": {"dtype": "i4"},
    "uint32": {"dtype": "u4"},
    "int64": {"dtype": "i8"},
    "big-endian": {"big": True},
    "big-endian int16": {"dtype": "i2", "big": True},
    "slope 0 means no scaling": {"edit": header_edit(scl_slope=0)},
    "slope NaN means no scaling": {"edit": header_edit(scl_slope=np.nan)},
    "offset 0 means right behind the header": {"edit": header_edit(vox_offset=0)},
    "negative voxel edges in the header": {"edit": pixdim(-3, 3, 4)},
    "no orientation codes": {"edit": no_codes},
    "qform only": {"edit": header_edit(sform_code=0)},
    "qfac 0": {"edit": header_edit(sform_code=0, pixdim=[0, 3, 3, 4, 1, 1, 1, 1])},
    "unknown units": {"edit": header_edit(xyzt_units=0)},
    "a fifth axis of length 1": {"edit": header_edit(dim=[5, 3, 4, 2, 8, 1, 1, 1])},
}

REFUSED = {
    "slope infinite": {"edit": header_edit(scl_slope=np.inf)},
    "intercept NaN": {"edit": header_edit(scl_inter=np.nan)},
    "sform singular": {"edit": header_edit(srow_x=[0, 0, 0, 0])},
    "sform NaN": {"edit": header_edit(srow_y=[0, np.nan, 0, 0])},
    "sform huge": {"edit": header_edit(srow_z=[0, 0, 1e30, 0])},
    "qform NaN": {"edit": header_edit(sform_code=0, quatern_b=np.nan)},
    "quaternion longer than 1": {"edit": header_edit(sform_code=0, quatern_b=1.0, quatern_c=1.0)},
    "voxel edge 0": {"edit": header_edit(sform_code=0, qform_code=0, pixdim=[1, 0, 3, 4, 1, 1, 1, 1])},
    "dim 0": {"edit": header_edit(dim=[4, 3, 0, 2, 8, 1, 1, 1])},
    "dim negative": {"edit": header_edit(dim=[4, 3, -4, 2, 8, 1, 1, 1])},
    "8 dimensions": {"edit": header_edit(dim=[8, 3, 4, 2, 8, 1, 1, 1])},
    "0 dimensions": {"edit": header_edit(dim=[0, 3, 4, 2, 8, 1, 1, 1])},
    "5 real dimensions": {"edit": header_edit(dim=[5, 3, 2, 2, 2, 8, 1, 1])},
    "3-D": {"edit": header_edit(dim=[3, 3, 4, 16, 1, 1, 1, 1])},
    "one volume fewer": {"edit": header_edit(dim=[4, 3, 4, 2, 7, 1, 1, 1])},
    "one volume more": {"edit": header_edit(dim=[4, 3, 4, 2, 9, 1, 1, 1])},
    "bitpix wrong": {"edit": header_edit(bitpix=8)},
    "complex voxels": {"edit": header_edit(datatype=32, bitpix=64)},
    "RGB voxels": {"edit": header_edit(datatype=128, bitpix=24)},
    "offset inside the header": {"edit": header_edit(vox_offset=100)},
    "offset beyond the file": {"edit": header_edit(vox_offset=1_000_000)},
    "offset NaN": {"edit": header_edit(vox_offset=np.nan)},
    "detached header": {"edit": header_edit(magic=b"ni1")},
    "no magic": {"edit": header_edit(magic=b"")},
}


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_readable_oddities_give_the_same_fit(tmp_path: Path, name: str, suffix: str) -> None:
    values = scan()
    whole = "dtype" in READ[name] and READ[name]["dtype"][0] in "iu"
    result = fitted(nifti(tmp_path / f"dwi{suffix}", np.rint(values) if whole else values, **READ[name]))
    assert result.counts["OK"] == MASK.size
    np.testing.assert_allclose(result.maps["adc"].values, REFERENCE.maps["adc"].values, rtol=0.02 if whole else 1e-4)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_oddities_are_one_line_with_exit_3(tmp_path: Path, name: str) -> None:
    path = nifti(tmp_path / "dwi.nii", scan(), **REFUSED[name])
    with pytest.raises(InputError) as caught:
        fitted(path)
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    assert "dwi.nii" in str(caught.value) or "scan" in str(caught.value)


def test_int16_with_scaling(tmp_path: Path) -> None:
    def scaled(header: nib.Nifti1Header) -> None:
        header["scl_slope"], header["scl_inter"] = 0.05, 700.0

    stored = np.rint((scan() - 700) / 0.05)
    result = fitted(nifti(tmp_path / "dwi.nii.gz", stored, dtype="i2", edit=scaled))
    np.testing.assert_allclose(result.maps["adc"].values, REFERENCE.maps["adc"].values, rtol=1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_bad_voxel_is_flagged_and_nan_the_others_stay(tmp_path: Path, bad: float) -> None:
    values = scan()
    values[1, 2, 0, 3] = bad
    result = fitted(nifti(tmp_path / "dwi.nii.gz", values))
    flags = result.maps["flag"].values
    assert flags[1, 2, 0] == Flag.NON_FINITE
    assert np.isnan(result.maps["axr"].values[1, 2, 0])
    keep = flags != Flag.NON_FINITE
    assert keep.sum() == MASK.size - 1
    np.testing.assert_array_equal(result.maps["axr"].values[keep], REFERENCE.maps["axr"].values[keep])


def test_voxels_of_zeros_and_negatives_are_flagged(tmp_path: Path) -> None:
    values = scan()
    values[0, 0, 0] = 0
    values[1, 0, 0] = -5
    flags = flags_of(values, tmp_path)
    assert flags[0, 0, 0] != Flag.OK
    assert flags[1, 0, 0] != Flag.OK


def test_low_snr_is_flagged(tmp_path: Path) -> None:
    values = scan()
    values[2, 3, 1] = 2 + np.random.default_rng(0).random(8)
    assert flags_of(values, tmp_path)[2, 3, 1] in (Flag.LOW_SNR, Flag.ON_BOUND)


def test_outside_the_mask_is_nan_and_masked(tmp_path: Path) -> None:
    mask = MASK.copy()
    mask[0] = 0
    result = fitted(nifti(tmp_path / "dwi.nii.gz", scan()), mask)
    assert (result.maps["flag"].values[0] == Flag.MASKED).all()
    for name in ("adc", "sigma", "axr", "axrSd", "p", "rmse"):
        assert np.isnan(result.maps[name].values[0]).all()
    np.testing.assert_array_equal(result.maps["axr"].values[1:], REFERENCE.maps["axr"].values[1:])


def test_only_bad_voxels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no voxel in the mask"):
        fitted(nifti(tmp_path / "dwi.nii.gz", np.full((*SHAPE, 8), np.nan, np.float32)))


MASKS = {
    "wrong shape": (np.ones((3, 4, 3), np.uint8), AFFINE, "shape"),
    "4-D": (np.ones((3, 4, 2, 2), np.uint8), AFFINE, "dimensions"),
    "empty": (np.zeros(SHAPE, np.uint8), AFFINE, "no voxel inside"),
    "only NaN": (np.full(SHAPE, np.nan, np.float32), AFFINE, "no voxel inside"),
    "moved by 20 mm": (
        MASK,
        AFFINE + 20 * np.eye(4)[:, [3, 3, 3, 0]] * 0 + np.array([[0, 0, 0, 20.0]] + [[0] * 4] * 3),
        "mm off",
    ),
    "mirrored": (MASK, AFFINE @ np.diag([-1.0, 1, 1, 1]), "mm off"),
    "other voxel size": (MASK, AFFINE @ np.diag([2.0, 2, 2, 1]), "mm off"),
}


@pytest.mark.parametrize("name", MASKS)
def test_masks_that_do_not_fit_are_refused(tmp_path: Path, name: str) -> None:
    values, affine, words = MASKS[name]
    reference = read_dwi(nifti(tmp_path / "dwi.nii.gz", scan()))
    path = nifti(tmp_path / "mask.nii.gz", values, affine)
    with pytest.raises(InputError, match=words):
        read_mask(path, reference)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (MASK * 1.5, "no labels"),
        (MASK * 0, "only 0"),
        (-MASK.astype(np.int16), "no labels"),
        (np.full(SHAPE, np.nan), "no labels"),
    ],
)
def test_labels_that_are_none_are_refused(tmp_path: Path, values: np.ndarray, words: str) -> None:
    reference = read_dwi(nifti(tmp_path / "dwi.nii.gz", scan()))
    with pytest.raises(InputError, match=words):
        read_labels(nifti(tmp_path / "roi.nii.gz", values), reference)


@pytest.mark.parametrize(
    ("order", "what"),
    [(np.arange(8)[::-1], "reversed"), (np.array([6, 0, 3, 5, 1, 7, 2, 4]), "shuffled")],
    ids=["reversed", "shuffled"],
)
def test_unsorted_volumes_give_the_same_fit(order: np.ndarray, what: str) -> None:
    result = fit_scan(scan()[..., order], PROTOCOL.take(order), MASK > 0, noise_sd=1.0, threads=1)
    for name in ("adc", "sigma", "axr"):
        np.testing.assert_allclose(result.maps[name].values, REFERENCE.maps[name].values, rtol=1e-4, err_msg=what)


def test_duplicate_volumes_are_averages() -> None:
    twice = np.repeat(np.arange(8), 2)
    result = fit_scan(scan()[..., twice], PROTOCOL.take(twice), MASK > 0, noise_sd=1.0, threads=1)
    np.testing.assert_allclose(result.maps["axr"].values, REFERENCE.maps["axr"].values, rtol=1e-4)
    np.testing.assert_allclose(result.maps["axrSd"].values, REFERENCE.maps["axrSd"].values / np.sqrt(2), rtol=1e-3)


def test_48_orientations_give_the_same_maps(tmp_path: Path) -> None:
    """Permute and flip the axes: the maps follow, voxel by voxel, and come back on the same millimetres."""
    values = scan(sd=5.0)
    first = fit_scan(values, PROTOCOL, MASK > 0, noise_sd=5.0, threads=1)
    expected = {name: m.values for name, m in first.maps.items() if name in ("adc", "axr", "flag", "axrSd")}
    for axes in itertools.permutations(range(3)):
        for flips in itertools.product([1, -1], repeat=3):
            turn = np.zeros((4, 4))
            turn[3, 3] = 1
            for new, (old, sign) in enumerate(zip(axes, flips, strict=True)):
                turn[old, new] = sign
                turn[old, 3] = SHAPE[old] - 1 if sign < 0 else 0
            moved = values.transpose(*axes, 3)[tuple(slice(None, None, sign) for sign in flips)]
            image = read_dwi(nifti(tmp_path / "turned.nii", moved, AFFINE @ turn))
            result = fit_scan(image.data, PROTOCOL, np.ones(moved.shape[:3], bool), noise_sd=5.0, threads=1)
            for name, reference in expected.items():
                write_map(tmp_path / "map.nii.gz", result.maps[name].values, image.header)
                back = read_image(tmp_path / "map.nii.gz")
                there = reference.transpose(axes)[tuple(slice(None, None, sign) for sign in flips)]
                np.testing.assert_array_equal(back.data, there.astype(np.float32))
                np.testing.assert_allclose(back.affine, image.affine, atol=1e-5)


def test_maps_keep_the_geometry_bit_for_bit(tmp_path: Path) -> None:
    def odd(header: nib.Nifti1Header) -> None:
        header["pixdim"][1:4] = [-3.1, 3.2, 4.3]
        header["sform_code"], header["qform_code"], header["xyzt_units"] = 4, 2, 10
        header["descrip"] = b"Mr. Patient"

    for big in (False, True):
        image = read_dwi(nifti(tmp_path / "dwi.nii", scan(), edit=odd, big=big))
        write_map(tmp_path / "map.nii.gz", image.data[..., 0], image.header, description="krogh")
        header = nib.Nifti1Header(gzip.decompress((tmp_path / "map.nii.gz").read_bytes())[:348], check=False)
        for name in (
            "sform_code",
            "qform_code",
            "quatern_b",
            "quatern_c",
            "quatern_d",
            "qoffset_x",
            "srow_x",
            "srow_y",
            "xyzt_units",
        ):
            assert np.array_equal(header[name], image.header[name]), name
        assert np.array_equal(header["pixdim"][:4], image.header["pixdim"][:4])
        assert header["descrip"].tobytes().rstrip(b"\0") == b"krogh"
        assert header.get_data_dtype() == np.float32
        first = (tmp_path / "map.nii.gz").read_bytes()
        write_map(tmp_path / "map.nii.gz", image.data[..., 0], image.header, description="krogh")
        assert (tmp_path / "map.nii.gz").read_bytes() == first
