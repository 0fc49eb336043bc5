"""The phantom: signals average over a voxel, truth is what went in, the lesion is where it is said to be."""

from __future__ import annotations

import numpy as np
import pytest

from krogh.errors import InputError
from krogh.fexi.models import get_model
from krogh.fexi.phantom import LESION_LABEL, TISSUES, add_lesion, build_phantom, shape_labels, tissue_signals
from krogh.fexi.presets import preset
from krogh.io.asldro import brain_file, read_brain
from krogh.runs.fexi import fit_scan

PROTOCOL = preset("human-bbb")


def test_partial_volume_averages_signals_not_tissues() -> None:
    labels = np.ones((4, 4, 4), np.uint8)
    labels[:2] = 3  # half of the first voxel is CSF
    phantom = build_phantom(labels, np.eye(4), PROTOCOL, factor=2, relaxation=False)
    pure = tissue_signals([TISSUES[1], TISSUES[3]], PROTOCOL, relaxation=False)
    mixed_labels = np.ones((4, 4, 4), np.uint8)
    mixed_labels[::2] = 3
    mixed = build_phantom(mixed_labels, np.eye(4), PROTOCOL, factor=2, relaxation=False)
    expected = pure.mean(axis=0)
    np.testing.assert_allclose(mixed.signals[0, 0, 0], expected / expected[0], rtol=1e-6)
    np.testing.assert_allclose(phantom.signals[0, 0, 0] / phantom.signals[0, 0, 0, 0], pure[1] / pure[1, 0], rtol=1e-6)
    average = build_phantom(labels, np.eye(4), PROTOCOL, factor=4 // 2, relaxation=False).truth["adc"]
    assert average[0, 0, 0] == pytest.approx(3.0e-9)


def test_a_voxel_of_one_tissue_has_the_signal_of_its_model() -> None:
    phantom = build_phantom(np.full((4, 4, 4), 2, np.uint8), np.eye(4), PROTOCOL, factor=2, relaxation=False)
    tissue = TISSUES[2]
    theta = np.array([[tissue.vascular_fraction, tissue.d_i_m2_s, tissue.d_e_m2_s, tissue.k_per_s]])
    expected = get_model("2cm", fixed={}).shape(theta, PROTOCOL)[0]
    np.testing.assert_allclose(phantom.signals[1, 1, 1], expected, rtol=1e-6)
    assert phantom.truth["k"][0, 0, 0] == pytest.approx(tissue.k_per_s)
    assert phantom.truth["kie"][0, 0, 0] == pytest.approx(1.25)
    assert phantom.truth["vb"][0, 0, 0] == pytest.approx(0.044)


def test_affine_puts_the_large_voxels_where_the_small_ones_were() -> None:
    affine = np.array([[1.0, 0, 0, -98], [0, 1, 0, -134], [0, 0, 1, -72], [0, 0, 0, 1]])
    phantom = build_phantom(shape_labels(20), affine, PROTOCOL, factor=4)
    np.testing.assert_allclose(phantom.affine @ [0, 0, 0, 1], affine @ [1.5, 1.5, 1.5, 1])
    np.testing.assert_allclose(phantom.affine[:3, :3], 4 * np.eye(3))


def test_truth_is_nan_outside_the_mask_and_without_vessels() -> None:
    phantom = build_phantom(shape_labels(), np.eye(4), PROTOCOL, factor=3)
    assert np.isnan(phantom.truth["k"][~phantom.mask]).all()
    whole_csf = phantom.mask & (phantom.truth["vb"] == 0)
    assert whole_csf.any()
    assert np.isnan(phantom.truth["k"][whole_csf]).all()


def test_lesion_raises_exchange_in_a_ball_and_is_seen_by_a_fit() -> None:
    labels = add_lesion(shape_labels(), radius=9)
    assert 0.8 < (labels == LESION_LABEL).sum() / (4 / 3 * np.pi * 9**3) <= 1.05
    phantom = build_phantom(labels, np.eye(4), PROTOCOL, factor=3, lesion_k_per_s=6.0, relaxation=False)
    result = fit_scan(
        phantom.signals, PROTOCOL, phantom.mask, labels=phantom.labels.astype(np.int32), noise_sd=1e-4, threads=1,
        region_names={value: t.name for value, t in phantom.tissues.items()},
    )  # fmt: skip
    rates = {r.name: r.values["axr"] for r in result.regions}
    assert rates["lesion"] > 2 * rates["white matter"]
    with pytest.raises(InputError, match="lesion"):
        add_lesion(shape_labels(), centre=(0, 0, 0), radius=1)


@pytest.mark.parametrize("factor", [0, 60, 1000])
def test_impossible_voxel_sizes_are_refused(factor: int) -> None:
    with pytest.raises(InputError, match="voxel size"):
        build_phantom(shape_labels(), np.eye(4), PROTOCOL, factor=factor)


def test_unknown_labels_are_refused() -> None:
    with pytest.raises(InputError, match="label 9"):
        build_phantom(np.full((4, 4, 4), 9, np.uint8), np.eye(4), PROTOCOL, factor=2)


@pytest.mark.data
def test_the_brain() -> None:
    try:
        brain_file()
    except InputError as error:
        pytest.skip(str(error))
    labels, affine, tissues = read_brain()
    assert labels.shape == (197, 233, 189)
    assert {tissues[1].t1_s, tissues[2].t1_s, tissues[3].t1_s} == {1.33, 0.83, 3.0}
    phantom = build_phantom(add_lesion(labels), affine, PROTOCOL, factor=5, tissues=tissues)
    assert set(np.unique(phantom.labels)) == {0, 1, 2, 3, 4}
    share = labels.astype(bool).sum() / 125 / phantom.mask.sum()
    assert 0.9 < share < 1.1
    assert phantom.signals[phantom.mask][:, 0].mean() == pytest.approx(1.0, abs=1e-5)


def test_without_data_the_brain_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("KROGH_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"KROGH_DATA.*--phantom shapes"):
        brain_file()
