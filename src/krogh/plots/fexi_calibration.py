"""Draw a calibration: where truth falls in the posteriors, and how often intervals cover it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import t as student

from krogh.fexi.calibration import LEVELS, Calibration, Ranks
from krogh.plots.fexi import new_page, save
from krogh.plots.style import NOTICE, house_style, legend_on_top
from krogh.runs.fexi_parameters import shown

__all__ = ["draw_calibration", "draw_ranks"]

_BINS = {"voxels": 10, "regions": 4}
_VOXELS, _REGIONS, _IDEAL = "#0072B2", "#D55E00", "#444444"


def draw_calibration(folder: Path, result: Calibration) -> list[Path]:
    """Write the picture and ``captions.md`` into `folder`; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    figure, caption = draw_ranks(result)
    lines = ["# Pictures of this calibration", "", "## calibration.png", "", caption, "", NOTICE, ""]
    (folder / "captions.md").write_text("\n".join(lines), encoding="utf-8")
    return [save(figure, folder / "calibration.png"), folder / "captions.md"]


def _shares(ranks: Ranks, p: int, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean share of each bin over scans and its standard error, relative to uniform."""
    each = np.array([np.histogram(r[np.isfinite(r)], np.linspace(0, 1, bins + 1))[0] for r in ranks.value[:, :, p]], float)
    each *= bins / np.maximum(each.sum(axis=1, keepdims=True), 1)
    return each.mean(axis=0), each.std(axis=0, ddof=1) / np.sqrt(each.shape[0])


@house_style()
def draw_ranks(result: Calibration) -> tuple[Figure, str]:
    """Return rank histograms (top) and coverage against nominal coverage (bottom), a column per parameter."""
    names, sets = result.model.parameter_names, [("voxels", result.voxels, _VOXELS, "o")]
    if result.regions is not None:
        sets.append(("regions", result.regions, _REGIONS, "^"))
    caption = (
        f"Calibration of {result.estimator} on {result.n_scans} simulated scans of {result.voxels.value.shape[1]:,} voxels at "
        f"SNR {result.snr:g}. Top: posterior probability below the truth; flat where posteriors are right, a hill where "
        "intervals are too wide, a valley where too narrow, a slope where estimates are off; bands hold 95 % of the points "
        "of right posteriors, by the spread over scans. Bottom: share of truths inside central intervals, less the nominal "
        "share, with 95 % intervals over scans. Circles: voxels; triangles: regions. Dashed: right; dotted: 2 points off."
    )
    reach = float(student.ppf(0.975, result.n_scans - 1))
    figure, axes = new_page(3.4 * len(names), 6.2, 2, len(names), f"Calibration of {result.estimator}", caption, legend=len(sets))
    for p, field in enumerate(names):
        top, bottom = axes[p], axes[len(names) + p]
        for i, (label, ranks, colour, marker) in enumerate(sets):
            share, error = _shares(ranks, p, _BINS[label])
            moved = (np.arange(_BINS[label]) + 0.5) / _BINS[label] + 0.012 * (i - 0.5 * (len(sets) - 1))
            half = reach * float(np.sqrt(np.mean(error**2)))
            top.axhspan(1 - half, 1 + half, color=colour, alpha=0.12, linewidth=0)
            top.plot(moved, share, marker, color=colour, markersize=4, label=label)
            found, spread = ranks.coverage()
            at = 100 * np.array(LEVELS) + 1.2 * (i - 0.5 * (len(sets) - 1))
            bottom.errorbar(
                at, 100 * (found[:, p] - LEVELS), 100 * reach * spread[:, p], fmt=marker, color=colour, markersize=4, linewidth=1
            )
        top.axhline(1, color=_IDEAL, linestyle="--", linewidth=1)
        top.set(title=shown(field).label, xlabel="posterior probability below the truth", xlim=(0, 1))
        top.set_ylim(bottom=0)
        for level, style in ((-2, ":"), (0, "--"), (2, ":")):
            bottom.axhline(level, color=_IDEAL, linestyle=style, linewidth=1)
        bottom.set(xlabel="nominal coverage [%]", xticks=[100 * level for level in LEVELS])
    axes[0].set_ylabel("voxels, relative to uniform" if len(sets) == 1 else "voxels or regions,\nrelative to uniform")
    axes[len(names)].set_ylabel("coverage less nominal\n[percentage points]")
    return legend_on_top(figure, axes[0].get_legend_handles_labels()[0]), caption
