"""Draw the benchmark of estimators: estimate against truth, error against truth, and the curve of one voxel."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from krogh.fexi.benchmark import BenchmarkResult
from krogh.plots.fexi import new_page, save
from krogh.plots.style import NOTICE, house_style, legend_on_top
from krogh.runs.fexi_parameters import shown

__all__ = ["draw_against_truth", "draw_benchmark", "draw_bias", "draw_voxel"]

#: Okabe-Ito, one per estimator, with marker shapes so that colour is not the only difference.
_STYLES = {
    "constant": ("#999999", "s"),
    "nlls": ("#0072B2", "o"),
    "rician": ("#D55E00", "^"),
    "nlls27": ("#CC79A7", "D"),
    "bayes": ("#009E73", "v"),
    "eb": ("#E69F00", "P"),
    "hbayes": ("#000000", "*"),
    "eb:uniform": ("#56B4E9", "x"),
    "npe": ("#CC79A7", "X"),
    "selfsup": ("#7A4B00", "h"),
    "physics": ("#6A3D9A", "<"),
    "supervised": ("#8C8C00", ">"),
}


def draw_benchmark(folder: Path, result: BenchmarkResult) -> list[Path]:
    """Write the three pictures and ``captions.md`` into `folder`; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {"against_truth.png": draw_against_truth(result), "bias.png": draw_bias(result), "voxel.png": draw_voxel(result)}
    lines, paths = ["# Pictures of this benchmark", ""], []
    for name, (figure, caption) in pictures.items():
        paths.append(save(figure, folder / name))
        lines += [f"## {name}", "", caption, ""]
    (folder / "captions.md").write_text("\n".join([*lines, NOTICE, ""]), encoding="utf-8")
    return [*paths, folder / "captions.md"]


def _where(result: BenchmarkResult) -> str:
    test = result.test_set
    return f"{test.truth.shape[0]:,} simulated voxels, {test.protocol.n_volumes} volumes, Rician noise at SNR {test.snr:g}"


def _unit(field: str) -> str:
    p = shown(field)
    return f"[{p.unit.replace('um2', 'µm²')}]" if p.unit != "1" else "[dimensionless]"


@house_style()
def draw_against_truth(result: BenchmarkResult) -> tuple[Figure, str]:
    """Return estimate against truth as densities, one row per parameter and one column per estimator."""
    scores = [s for s in result.scores if s.name != "constant"]
    caption = (
        f"Estimate against truth for {_where(result)}. Darker: more voxels (logarithmic). Dashed: estimate = truth. A cloud "
        "that stays flat means that the data say little about the parameter. nlls27 is slow and ran on fewer voxels."
    )
    figure, axes = new_page(3.0 * max(len(scores), 2), 8.2, 3, len(scores), "Estimate against truth", caption)
    for j, field in enumerate(result.parameter_names):
        p = shown(field)
        low, high = result.test_set.span[j] / p.si_per_unit
        for i, score in enumerate(scores):
            axis = axes[j * len(scores) + i]
            truth, estimate = (a[:, j] / p.si_per_unit for a in (result.test_set.truth[score.rows], score.estimates))
            axis.hexbin(
                truth,
                estimate,
                gridsize=32,
                extent=(low, high, low, high),
                cmap="cividis_r",
                bins="log",
                mincnt=1,
                linewidths=0.1,
            )
            axis.plot([low, high], [low, high], color="#D55E00", ls="--", lw=1)
            axis.set_xlim(low, high)
            axis.set_ylim(low, high)
            axis.set_xlabel(f"true {p.label} {_unit(field)}")
            axis.set_ylabel(f"estimated {p.label} {_unit(field)}")
            if j == 0:
                axis.set_title(f"{score.name} ({score.rows.size:,} voxels)")
    return figure, caption


@house_style()
def draw_bias(result: BenchmarkResult) -> tuple[Figure, str]:
    """Return the mean error against the true value, one panel per parameter."""
    caption = (
        f"Mean error (estimate minus truth) against the true value for {_where(result)}, in 12 bins. "
        "Zero: no bias. An estimator that shrinks to the middle of the range falls from left to right, as the constant guess "
        "does; a small mean squared error alone does not show it. When the true AXR rises by 1 1/s the estimate rises by "
        f"{', '.join(f'{s.name} {result.slope(s, 2):z.2f}' for s in result.scores)} 1/s."
    )
    figure, axes = new_page(12.0, 3.6, 1, 3, "Bias against the true value", caption, legend=5)
    for j, field in enumerate(result.parameter_names):
        p, axis = shown(field), axes[j]
        axis.axhline(0, color="#555555", lw=1, ls=":")
        for score in result.scores:
            if score.rows.size < 1000:
                continue
            colour, marker = _STYLES.get(score.name, ("#56B4E9", "x"))
            curve = score.bias_curve[j] / p.si_per_unit
            axis.plot(curve[:, 0], curve[:, 1], color=colour, marker=marker, ms=4, lw=1.2, label=score.name)
        axis.set_xlabel(f"true {p.label} {_unit(field)}")
        axis.set_ylabel(f"mean error of {p.label} {_unit(field)}")
    if handles := axes[0].get_legend_handles_labels()[0]:
        legend_on_top(figure, handles)
    return figure, caption


@house_style()
def draw_voxel(result: BenchmarkResult, voxel: int | None = None) -> tuple[Figure, str]:
    """Return ADC' against mixing time of one voxel: truth, measured, and fits."""
    if voxel is None:  # a tissue near the middle of what is seen in the brain
        target = np.array([1e-9, 0.3, 3.0])
        scale = np.ptp(result.test_set.prior, axis=1)
        last = min((s.rows.size for s in result.scores), default=0)
        voxel = int(np.square((result.test_set.truth[:last] - target) / scale).sum(axis=1).argmin())
    names = [s.name for s in result.scores if s.name != "constant"]
    curve = result.curve(voxel, names)
    truth = result.test_set.truth[voxel]
    caption = (
        f"One voxel, SNR {result.test_set.snr:g}: true ADC {1e9 * truth[0]:.2f} µm²/ms, sigma {truth[1]:.2f}, AXR {truth[2]:.1f} "
        "1/s. Points: -ln(S_b/S_0)/b of each series with 1 SD of the noise. Lines: truth and fits. Very different exchange rates "
        "pass through the points about equally well."
    )
    figure, axes = new_page(7.5, 4.2, 1, 1, "One voxel of the benchmark", caption)
    _draw_voxel_curves(axes[0], curve, names, result)
    return figure, caption


def _draw_voxel_curves(axis: Axes, curve: dict[str, Any], names: list[str], result: BenchmarkResult) -> None:
    times = 1e3 * curve["mixing_time_s"]
    axis.plot(times, 1e9 * curve["truth"], color="black", lw=2, label="truth")
    dashes = itertools.cycle(("-", "--", ":", "-.", (0, (5, 1)), (0, (1, 1)), (0, (4, 1, 1, 1, 1, 1))))
    for name, dash in zip(names, dashes, strict=False):
        if name in curve:
            axis.plot(times, 1e9 * curve[name], color=_STYLES.get(name, ("#56B4E9", "x"))[0], ls=dash, lw=1.5, label=name)
    t, adc, filter_b = curve["measured"].T
    b = result.test_set.protocol.b_s_m2.max()
    error = np.sqrt(1 + np.exp(2 * b * np.maximum(adc, 0))) / (result.test_set.snr * b)
    for use, marker, colour, label in (
        (filter_b == 0, "s", "#555555", "measured, no filter"),
        (filter_b > 0, "o", "#E69F00", "measured, filtered"),
    ):
        axis.errorbar(1e3 * t[use], 1e9 * adc[use], 1e9 * error[use], fmt=marker, color=colour, capsize=3, label=label, zorder=3)
    axis.set_xlabel("mixing time [ms]")
    axis.set_ylabel("ADC' [µm²/ms]")
    axis.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
