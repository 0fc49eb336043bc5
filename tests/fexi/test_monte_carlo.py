"""Signals of random walks in permeable substrates (Lasic 2024, BSD-3): what the models find there."""

import dataclasses

import numpy as np
import pytest
import scipy.io

from krogh.fexi import fit, get_model, preset

RATES = [0, 2, 4, 8, 12, 20]
#: (substrate, crusher [rad/m]) -> AXR in the notes' table (section 4), made by another program.
TABLE = {
    ("spheres_d5", 0): [0.00, 1.45, 3.21, 6.88, 10.64, 18.47],
    ("spheres_d5", 12566): [0.00, 1.36, 3.04, 6.60, 10.31, 18.06],
    ("cylinders_d5", 0): [0.00, 1.94, 3.78, 7.66, 11.50, 19.01],
    ("cylinders_d5", 12566): [0.00, 1.78, 3.55, 7.34, 11.16, 18.55],
}


def load(folder, substrate, crusher):
    """Return signals [rate, volume] and the protocol of one substrate at the crusher nearest to `crusher`."""
    path = folder / f"signals_{substrate}_regular_rho50_20231024.mat"
    block = scipy.io.loadmat(path, squeeze_me=True, struct_as_record=False)["signals"].FEXI_preclin7_dz500_tm400_bf2000_b1300
    seq = block.seq
    rows = np.flatnonzero(np.abs(seq.qc - crusher) < 1)
    signals = np.array([getattr(block, f"{substrate.split('_')[1]}_k{k}")[rows] for k in RATES])
    protocol = preset("cell-type", crusher_q_rad_m=float(seq.qc[rows[0]]))
    np.testing.assert_allclose(protocol.b_s_m2, seq.b2[rows], rtol=1e-6)
    np.testing.assert_allclose(protocol.filter_b_s_m2, seq.b1[rows])
    np.testing.assert_allclose(protocol.mixing_time_s, seq.tm[rows])
    np.testing.assert_allclose(protocol.crusher_b_s_m2, seq.bm[rows], rtol=1e-3, atol=1)
    return signals, protocol


@pytest.mark.data
@pytest.mark.parametrize("case", TABLE)
def test_axr_of_the_notes(texi_mc, case):
    signals, protocol = load(texi_mc, *case)
    found = fit(signals, protocol).parameters["axr_per_s"]
    np.testing.assert_allclose(found, TABLE[case], rtol=0.02, atol=0.006)


@pytest.mark.data
def test_lost_contrast_is_flagged(texi_mc):
    signals, protocol = load(texi_mc, "cylinders_d11", 0)
    assert (fit(signals, protocol).flag == 3).all()


@pytest.mark.data
@pytest.mark.parametrize("substrate", ["spheres_d5", "cylinders_d5", "spheres_d9"])
def test_crushers_in_the_model_shrink_their_bias(texi_mc, substrate):
    free = {"f_i": (0.0, 1.0), "d_i_m2_s": (0.0, 3e-9), "d_e_m2_s": (0.01e-9, 3.5e-9), "k_per_s": (0.0, 40.0)}
    none = dict.fromkeys(("t1_i_s", "t1_e_s", "t2_i_s", "t2_e_s"), np.inf)
    model = get_model("2cmr", fixed={}, bounds=free, **none)
    axr, with_crusher, without = {}, {}, {}
    for crusher in (0, 6283, 12566, 31416):
        signals, protocol = load(texi_mc, substrate, crusher)
        signals = signals[1:5]  # k = 2, 4, 8, 12
        axr[crusher] = fit(signals, protocol).parameters["axr_per_s"]
        with_crusher[crusher] = fit(signals, protocol, model=model).parameters["k_per_s"]
        blind = dataclasses.replace(protocol, crusher_q_rad_m=None)
        without[crusher] = fit(signals, blind, model=model).parameters["k_per_s"]
    for crusher in (6283, 12566, 31416):
        loss_axr = np.abs(axr[crusher] / axr[0] - 1)
        loss_model = np.abs(with_crusher[crusher] / with_crusher[0] - 1)
        loss_blind = np.abs(without[crusher] / without[0] - 1)
        assert np.all(loss_model < 0.75 * loss_axr)
        assert np.all(loss_model < 0.75 * loss_blind)
