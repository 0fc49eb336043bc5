"""What smoothing over neighbours gives: error and coverage without and with it, at an edge, in a lesion, in voxels out of place.

A small head of grey and white matter on 3 mm voxels (`krogh.fexi.phantom.shape_labels`): the tissues differ in AXR (3.0 and 1.8
1/s) across a sharp edge, vary smoothly within (a Gaussian random field of 20 mm FWHM, not the one that is assumed) and from voxel
to voxel; a lesion of 1 cm has twice the AXR of white matter. S0 is free. ``run()`` takes about two minutes of processor time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation, gaussian_filter

from krogh.fexi.estimators import eb
from krogh.fexi.learned.neighbours import neighbours_of
from krogh.fexi.models.axr import AxrModel
from krogh.fexi.noise import add_noise
from krogh.fexi.phantom import add_lesion, shape_labels
from krogh.fexi.presets import preset

VOXEL_M, PROTOCOL = 3e-3, preset("human-bbb")
_MEAN = {1: (0.95e-9, 0.22, 3.0), 2: (0.80e-9, 0.17, 1.8), 4: (0.80e-9, 0.17, 3.6)}
_SMOOTH, _OWN = (0.08, 0.15, 0.35), (0.04, 0.08, 0.12)  # SD of the logarithms of ADC, sigma, AXR: shared and of each voxel
_UNIT = np.array([1e9, 1.0, 1.0])


@dataclass(frozen=True)
class Head:
    """Hold places [voxel, 3], truth [voxel, param], signals [voxel, volume], and which voxels are at the edge, in the lesion."""

    index: np.ndarray
    truth: np.ndarray
    signals: np.ndarray
    places: dict[str, np.ndarray]


def make_head(size: int, snr: float, seed: int, *, fwhm_m: float = 20e-3) -> Head:
    """Return a head `size` voxels wide."""
    rng = np.random.default_rng([seed, 11])
    labels = add_lesion(np.where(shape_labels(size) == 3, 0, shape_labels(size)).astype(np.uint8), radius=5e-3 / VOXEL_M)
    mask = labels > 0
    label, truth = labels[mask], np.empty((int(mask.sum()), 3))
    for p in range(3):
        field = gaussian_filter(rng.standard_normal(mask.shape), fwhm_m / 2.355 / VOXEL_M, mode="wrap")
        spread = _SMOOTH[p] * field[mask] / field.std() + _OWN[p] * rng.standard_normal(label.size)
        middle = np.choose(label, [0.0, _MEAN[1][p], _MEAN[2][p], 0.0, _MEAN[4][p]])
        truth[:, p] = middle * np.exp(spread - 0.5 * (_SMOOTH[p] ** 2 + _OWN[p] ** 2))
    signals = add_noise(AxrModel().shape(truth, PROTOCOL), 1 / snr, rng)
    edge = (binary_dilation(labels == 1) & (labels == 2)) | (binary_dilation(labels == 2) & (labels == 1))
    places = {"all": np.ones(label.size, bool), "edge": edge[mask], "lesion": label == 4}
    return Head(np.argwhere(mask), truth, signals, places)


def _rows(head: Head, found: object) -> dict[str, np.ndarray]:
    """Return RMSE and mean error of the parameters, and the share inside of 50, 80, 95 % intervals, by place [5, param]."""
    error, q = found.theta() - head.truth, found.extra["quantiles"]
    inside = [(q[:, :, a] < head.truth) & (head.truth < q[:, :, b]) for a, b in ((2, 4), (1, 5), (0, 6))]
    return {
        name: np.array([np.sqrt((error[at] ** 2).mean(0)) * _UNIT, error[at].mean(0) * _UNIT,
                        *(100 * i[at].mean(0) for i in inside)])
        for name, at in head.places.items()
    }  # fmt: skip


def compare(head: Head, snr: float, lengths_m: tuple[float, ...]) -> tuple[dict[str, dict[str, np.ndarray]], list[str]]:
    """Return the rows of :func:`_rows` without and with smoothing, all under one learned prior, and what was learned."""
    common = {"noise_sd": 1 / snr}
    smooth = {f"{1e3 * f:g} mm": neighbours_of(head.index, f, [VOXEL_M] * 3) for f in lengths_m}
    first = next(iter(smooth.values()))
    known = {**common, **eb.prepare(AxrModel(), PROTOCOL, head.signals, smooth=first, **common)}
    out, notes = {"none": _rows(head, eb.fit(AxrModel(), PROTOCOL, head.signals, **known))}, []
    for name, near in smooth.items():
        start = time.process_time()
        found = eb.fit(AxrModel(), PROTOCOL, head.signals, smooth=near, **known)
        used = time.process_time() - start
        out[name] = _rows(head, found)
        notes.append(f"{found.notes[-1]}; {found.extra['sharing'][0].gained:+.3f} ln p per voxel; {used:.0f} CPU s")
    return out, notes


def _print(snr: float, size: int, seeds: int, lengths_m: tuple[float, ...]) -> None:
    heads = [make_head(size, snr, seed) for seed in range(seeds)]
    found = [compare(head, snr, lengths_m) for head in heads]
    print(f"fexi smooth, SNR {snr:g}: {seeds} heads of {heads[0].truth.shape[0]:,} voxels of 3 mm", flush=True)
    for _, notes in found:
        print(*(f"  {note}" for note in notes), sep="\n")
    for place in heads[0].places:
        for name in found[0][0]:
            r = np.mean([f[0][name][place] for f in found], axis=0)
            r[0] = np.sqrt(np.mean([f[0][name][place][0] ** 2 for f in found], axis=0))
            print(
                f"  {place:6s} smoothing {name:5s}: RMSE of ADC {r[0, 0]:.3f}, sigma {r[0, 1]:.3f}, AXR {r[0, 2]:.2f}; mean "
                f"error of AXR {r[1, 2]:+.2f}; 50/80/95 % intervals hold of ADC {r[2, 0]:.0f} {r[3, 0]:.0f} {r[4, 0]:.0f}, sigma "
                f"{r[2, 1]:.0f} {r[3, 1]:.0f} {r[4, 1]:.0f}, AXR {r[2, 2]:.0f} {r[3, 2]:.0f} {r[4, 2]:.0f} %",
                flush=True,
            )


def _shuffled(snr: float = 50.0) -> None:
    """Print the same for voxels whose places were exchanged at random: nothing is shared, and nothing may change."""
    head = make_head(16, snr, 0)
    order = np.random.default_rng(1).permutation(head.truth.shape[0])
    mixed = Head(head.index, head.truth[order], head.signals[order], {"all": head.places["all"]})
    rows, notes = compare(mixed, snr, (12e-3,))
    change = {name: "/".join(f"{v:.3f}" for v in r["all"][0]) for name, r in rows.items()}
    print(f"fexi smooth, places exchanged: RMSE of ADC/sigma/AXR {change['none']} without, {change['12 mm']} with; {notes[0]}")


def run() -> None:
    """Print one line per SNR, place and smoothing length."""
    _print(50.0, 28, 1, (6e-3, 12e-3))
    _print(200.0, 18, 1, (6e-3, 12e-3))
    _shuffled()


if __name__ == "__main__":
    run()
