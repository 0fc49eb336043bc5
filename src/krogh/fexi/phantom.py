"""Build a digital head whose water exchange is known: tissues with sources, partial volume, an optional lesion.

Labels on a fine grid become, on a coarser one, noise-free signals and the true maps behind them. A large voxel holds the average
of the *signals* of its fine voxels, not the signal of the average tissue. Reads no files: see ``krogh.io.asldro``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from krogh.errors import InputError
from krogh.fexi.models import get_model
from krogh.fexi.protocol import Protocol

__all__ = [
    "BLOOD_T1_S",
    "BLOOD_T2_S",
    "TISSUES",
    "Phantom",
    "Tissue",
    "add_lesion",
    "build_phantom",
    "shape_labels",
    "tissue_signals",
]

FloatArray = NDArray[np.float64]
BLOOD_T1_S = 1.65  # arterial blood at 3 T, ASLDRO
BLOOD_T2_S = 0.15  # arterial blood at 3 T, assumed (0.06 venous to 0.275 in vitro)


@dataclass(frozen=True, slots=True)
class Tissue:
    """State what one tissue is made of.

    Attributes
    ----------
    name : str
        For tables and sidecars.
    vascular_fraction : float
        Water signal fraction of blood f_i at equilibrium [1].
    d_i_m2_s, d_e_m2_s : float
        Diffusivity of water in blood (pseudo-diffusion) and in tissue [m2/s].
    k_per_s : float
        Exchange rate k = k_ie + k_ei [1/s].
    t1_s, t2_s : float
        Relaxation times of the tissue [s].
    density : float
        Relative proton density [1].
    source : str
        Where the values come from.
    """

    name: str
    vascular_fraction: float
    d_i_m2_s: float
    d_e_m2_s: float
    k_per_s: float
    t1_s: float
    t2_s: float
    density: float
    source: str


_SOURCE = (
    "fraction and D_e: OSIPI TF2.4 brain phantom; k: k_ie of Ford 2022 doi:10.3389/fnagi.2022.867452 divided by f_e; "
    "D_i: middle of the range 5-15 um2/ms, assumed; T1, T2, density: ASLDRO 3 T volume"
)
#: Label of the segmentation -> tissue.
TISSUES: dict[int, Tissue] = {
    1: Tissue("grey matter", 0.033, 10e-9, 0.86e-9, 1.36 / (1 - 0.033), 1.33, 0.08, 1.0, _SOURCE),
    2: Tissue("white matter", 0.044, 10e-9, 0.81e-9, 1.25 / (1 - 0.044), 0.83, 0.11, 0.867, _SOURCE),
    3: Tissue("CSF", 0.0, 10e-9, 3.0e-9, 0.0, 3.0, 0.3, 0.912, "D: OSIPI TF2.4; no vessels; T1, T2, density: ASLDRO 3 T volume"),
}
LESION_LABEL = 4


@dataclass(frozen=True)
class Phantom:
    """Hold a noise-free scan and its truth.

    Attributes
    ----------
    signals : ndarray, shape (x, y, z, volume)
        Noise-free; the unfiltered b = 0 signal averages 1 over the mask.
    labels : ndarray, shape (x, y, z), uint8
        Tissue with the largest share, 0 outside the mask.
    mask : ndarray, shape (x, y, z), bool
        Where tissue fills at least half of the voxel.
    truth : dict of ndarray, shape (x, y, z)
        ``vb`` [1], ``k`` [1/s], ``kie`` [1/s], ``adc`` [m2/s] for b -> 0; NaN outside the mask. Averages over the tissues of a
        voxel: ``k`` and ``kie`` by vascular fraction, the others by volume.
    affine : ndarray, shape (4, 4)
        Voxel index to millimetres.
    tissues : dict of int to Tissue
        What each label is.
    """

    signals: NDArray[np.float32]
    labels: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    truth: dict[str, NDArray[np.float32]]
    affine: FloatArray
    tissues: dict[int, Tissue]


def tissue_signals(tissues: Sequence[Tissue], protocol: Protocol, *, relaxation: bool = True) -> FloatArray:
    """Return the signal of each pure tissue [tissue, volume] for proton density times 1.

    With `relaxation`, T1 and crushers act, and T2 where the protocol states both echo times (``2cmr``); without, exchange alone
    acts (``2cm``).
    """
    rows = []
    timed = None not in (protocol.echo_time_filter_s, protocol.echo_time_detect_s)
    for tissue in tissues:
        theta = np.array([[tissue.vascular_fraction, tissue.d_i_m2_s, tissue.d_e_m2_s, tissue.k_per_s]])
        if relaxation:
            t2 = (BLOOD_T2_S, tissue.t2_s) if timed else (np.inf, np.inf)
            model = get_model("2cmr", fixed={}, t1_i_s=BLOOD_T1_S, t1_e_s=tissue.t1_s, t2_i_s=t2[0], t2_e_s=t2[1])
        else:
            model = get_model("2cm", fixed={})
        rows.append(tissue.density * model.shape(theta, protocol)[0])
    return np.array(rows)


def shape_labels(size: int = 60) -> NDArray[np.uint8]:
    """Return labels of a small head (1 mm) that needs no data: a white ball in a grey shell, a CSF ball in its middle."""
    axis = np.arange(size) - (size - 1) / 2
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2) / (size / 2)
    labels = np.zeros((size,) * 3, np.uint8)
    for limit, label in ((0.95, 1), (0.75, 2), (0.25, 3)):
        labels[radius <= limit] = label
    return labels


def add_lesion(labels: NDArray[np.uint8], centre: Sequence[float] | None = None, radius: float = 12.0) -> NDArray[np.uint8]:
    """Return `labels` with a ball of label 4 where grey or white matter was.

    Parameters
    ----------
    labels : ndarray, shape (x, y, z), uint8
        1 grey, 2 white, 3 CSF.
    centre : sequence of 3 float, optional
        Voxel indices; default: half way from the middle of the head to its right edge.
    radius : float, optional
        In fine voxels.

    Raises
    ------
    InputError
        If no grey or white matter lies inside.
    """
    inside = np.argwhere(labels[::2, ::2, ::2] > 0) * 2
    if centre is None:
        centre = inside.mean(axis=0) + np.array([0.45 * (inside[:, 0].max() - inside[:, 0].mean()), 0.0, 0.0])
    grids = np.ogrid[tuple(slice(0, n) for n in labels.shape)]
    distance2 = sum((g - c) ** 2 for g, c in zip(grids, centre, strict=True))
    ball = (distance2 <= radius**2) & ((labels == 1) | (labels == 2))
    if not ball.any():
        raise InputError("lesion", got=f"centre {tuple(centre)}, radius {radius} voxels", expected="grey or white matter inside")
    return np.where(ball, np.uint8(LESION_LABEL), labels)


def _fractions(labels: NDArray[np.uint8], values: Sequence[int], factor: int) -> FloatArray:
    """Return the share of each label in blocks of factor^3 fine voxels [x, y, z, label]; the rim is filled with 0."""
    padded = np.pad(labels, [(0, -n % factor) for n in labels.shape])
    nx, ny, nz = (n // factor for n in padded.shape)
    shares = []
    for value in values:
        hits = (padded == value).reshape(nx, factor, ny, factor, nz, factor)
        shares.append(hits.sum(axis=5, dtype=np.uint16).sum(axis=3).sum(axis=1) / factor**3)
    return np.stack(shares, axis=-1)


def build_phantom(
    labels: NDArray[np.uint8],
    affine: FloatArray,
    protocol: Protocol,
    *,
    factor: int = 4,
    tissues: Mapping[int, Tissue] | None = None,
    lesion_k_per_s: float = 5.0,
    relaxation: bool = True,
) -> Phantom:
    """Return the noise-free scan of `labels` on voxels `factor` times as large.

    Parameters
    ----------
    labels : ndarray, shape (x, y, z), uint8
        1 grey, 2 white, 3 CSF, 4 lesion, 0 air.
    affine : ndarray, shape (4, 4)
        Of the fine grid [mm].
    protocol : Protocol
        Which volumes to simulate.
    factor : int, optional
        Fine voxels per large voxel and axis.
    tissues : mapping of int to Tissue, optional
        Replaces :data:`TISSUES`; the lesion is white matter with `lesion_k_per_s` unless given.
    lesion_k_per_s : float, optional
        Exchange rate of the lesion [1/s].
    relaxation : bool, optional
        Let T1, T2 and crushers act (see :func:`tissue_signals`).

    Raises
    ------
    InputError
        If `factor` is < 1 or too large, or a label has no tissue.
    """
    if not 1 <= factor <= min(labels.shape) // 2:
        raise InputError("voxel size", got=f"{factor} times the fine voxel", expected=f"1 to {min(labels.shape) // 2} times")
    known = dict(TISSUES if tissues is None else tissues)
    if LESION_LABEL in labels and LESION_LABEL not in known:
        source = "white matter with raised k (assumed)"
        known[LESION_LABEL] = dataclasses.replace(known[2], name="lesion", k_per_s=lesion_k_per_s, source=source)
    present = [int(v) for v in np.unique(labels) if v]
    if missing := [v for v in present if v not in known]:
        raise InputError("labels", got=f"label {missing[0]}", expected=f"one of {sorted(known)}")
    chosen = [known[v] for v in present]
    share = _fractions(labels, present, factor)
    mask = share.sum(axis=-1) >= 0.5
    pure = tissue_signals(chosen, protocol, relaxation=relaxation)
    signals = share @ pure
    unfiltered = (protocol.filter_b_s_m2 == 0) & (protocol.b_s_m2 == protocol.b_s_m2.min())
    signals /= signals[mask][:, unfiltered].mean()
    shift = np.eye(4)
    shift[:3, :3] *= factor
    shift[:3, 3] = (factor - 1) / 2
    values = np.array(present, np.uint8)[share.argmax(axis=-1)] * mask
    truth = _truth(share, chosen, mask)
    return Phantom(
        signals.astype(np.float32), values.astype(np.uint8), mask, truth, affine @ shift, dict(zip(present, chosen, strict=True))
    )


def _truth(share: FloatArray, tissues: Sequence[Tissue], mask: NDArray[np.bool_]) -> dict[str, NDArray[np.float32]]:
    fraction = np.array([t.vascular_fraction for t in tissues])
    with np.errstate(invalid="ignore", divide="ignore"):
        whole = share / share.sum(axis=-1, keepdims=True)
        vessels = whole * fraction
        vb = vessels.sum(axis=-1)
        by_vessel = vessels / vb[..., None]  # NaN where there is no vessel: no exchange rate is defined
        maps = {
            "vb": vb,
            "k": by_vessel @ np.array([t.k_per_s for t in tissues]),
            "kie": by_vessel @ np.array([t.k_per_s * (1 - t.vascular_fraction) for t in tissues]),
            "adc": whole @ np.array([t.vascular_fraction * t.d_i_m2_s + (1 - t.vascular_fraction) * t.d_e_m2_s for t in tissues]),
        }
    return {name: np.where(mask, values, np.nan).astype(np.float32) for name, values in maps.items()}
