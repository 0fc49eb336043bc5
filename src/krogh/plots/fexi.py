"""Draw the quality pictures of a FEXI fit: maps, ADC' against mixing time per region, histograms and flags.

Every picture has a caption that stands alone. Colours are safe for colour-blind readers; every axis and colour bar has its unit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from krogh.fexi.interface import Flag
from krogh.plots.style import NOTICE, house_style, legend_on_top, legend_rows, new_figure
from krogh.runs.fexi import FexiMaps
from krogh.runs.fexi_parameters import shown
from krogh.runs.fexi_regions import Region

__all__ = ["draw_curve", "draw_histograms", "draw_maps", "draw_quality", "draw_regions", "new_page", "save"]

#: Okabe-Ito colours, one per flag.
FLAG_COLOURS = {
    Flag.OK: "#56B4E9", Flag.MASKED: "#FFFFFF", Flag.NON_FINITE: "#000000", Flag.ON_BOUND: "#E69F00",
    Flag.NOT_CONVERGED: "#D55E00", Flag.LOW_SNR: "#CC79A7", Flag.NOT_IDENTIFIABLE: "#009E73",
    Flag.OUTSIDE_TRAINING: "#0072B2",
}  # fmt: skip
_PANELS = ("s0", "adc", "sigma", "axr", "fi", "de", "di", "k", "axrSd", "kSd", "p", "rmse")
_COLOURS = {"s0": "gray", "rmse": "cividis", "axrSd": "magma", "kSd": "magma"}
#: Map -> (title of its panel, short name for its colour bar).
_TITLES = {
    "s0": ("S0, first series", "S0"),
    "adc": ("ADC", "ADC"),
    "sigma": ("sigma, filter efficiency", "sigma"),
    "axr": ("AXR, exchange rate", "AXR"),
    "fi": ("f_i, blood fraction", "f_i"),
    "de": ("D_e, tissue diffusivity", "D_e"),
    "di": ("D_i, blood diffusivity", "D_i"),
    "k": ("k, exchange rate", "k"),
    "axrSd": ("SD of AXR", "SD of AXR"),
    "kSd": ("SD of k", "SD of k"),
    "p": ("P, permeability to water", "P"),
    "rmse": ("RMSE of the fit", "RMSE"),
}
_MAX_REGIONS = 12


def draw_quality(
    folder: Path, result: FexiMaps, mask: NDArray[np.bool_], affine: NDArray[np.float64], *, title: str
) -> list[Path]:
    """Write the pictures of a fit and ``captions.md`` into `folder`; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {
        "maps.png": draw_maps(result, mask, affine, title=title),
        "regions.png": draw_regions(result, title=title),
        "histograms.png": draw_histograms(result, title=title),
    }
    lines = ["# Pictures of this fit", ""]
    paths = []
    for name, (figure, caption) in pictures.items():
        paths.append(save(figure, folder / name))
        lines += [f"## {name}", "", caption, ""]
    (folder / "captions.md").write_text("\n".join([*lines, NOTICE, ""]), encoding="utf-8")
    return [*paths, folder / "captions.md"]


@house_style()
def save(figure: Figure, path: Path) -> Path:
    """Write `figure` as PNG with its caption inside the file; the same figure gives the same bytes."""
    figure.savefig(path, metadata={"Title": path.stem, "Description": str(figure.get_label()), "Software": "krogh"})
    return path


def new_page(
    width: float, height: float, rows: int, columns: int, title: str, caption: str, *, legend: int = 0
) -> tuple[Figure, list[Axes]]:
    """Return a figure in the house style, `height` inches of it for a grid of axes, and the axes row by row.

    `legend` is the number of entries of a legend under the title, see :func:`krogh.plots.style.legend_on_top`.
    """
    figure = new_figure(width, height, title, caption, legend_rows=legend_rows(legend, width) if legend else 0)
    return figure, [a for row in figure.subplots(rows, columns, squeeze=False) for a in row]


def _upright(values: NDArray[Any], affine: NDArray[np.float64]) -> NDArray[Any]:
    """Return `values` with axes nearest to right, anterior, superior."""
    from nibabel.orientations import apply_orientation, io_orientation

    return np.asarray(apply_orientation(values, io_orientation(affine)))


def _limits(values: NDArray[Any], top: float = 99) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = np.percentile(finite, [1, top])
    if high <= low:
        return float(low) - 0.5, float(high) + 0.5
    return (0.0 if 0 <= low < 0.4 * high else float(low)), float(high)


@house_style()
def draw_maps(result: FexiMaps, mask: NDArray[np.bool_], affine: NDArray[np.float64], *, title: str) -> tuple[Figure, str]:
    """Return the picture of the axial slice with most fitted voxels, one panel per map, and its caption."""
    inside = _upright(mask, affine)
    k = int(inside.sum(axis=(0, 1)).argmax())
    chosen = [name for name in _PANELS if name in result.maps][:7]
    caption = (
        f"Maps of one axial slice (slice {k + 1} of {inside.shape[2]}, the one with most voxels in the mask), model "
        f"{result.model.name}, estimator {result.estimator}. Anterior is up, the left of the head is on the left. White: no "
        "value (outside the mask or failed). Colour bars end at the 1st and 99th percentile of the volume (SD: 90th). "
        "The last panel says how each fit ended."
    )
    rows = 1 if len(chosen) < 4 else 2
    columns = -(-(len(chosen) + 1) // rows)
    aspect = float(np.clip(inside.shape[1] / inside.shape[0], 0.2, 2.0))
    figure, axes = new_page(3.1 * columns, rows * max(2.5 * aspect, 1.4) + 0.5, rows, columns, f"FEXI maps of {title}", caption)
    edges = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    for axis, name in zip(axes, chosen, strict=False):
        m = result.maps[name]
        whole = m.values[..., 0] if m.values.ndim == 4 else m.values
        low, high = _limits(whole, top=90 if name.endswith("Sd") else 99)
        picture = _upright(whole, affine)[:, :, k].T
        drawn = axis.imshow(
            picture, origin="lower", cmap=_COLOURS.get(name, "viridis"), vmin=low, vmax=high, interpolation="nearest"
        )
        bar = figure.colorbar(drawn, ax=axis, shrink=0.85)
        bar.set_label(_unit_label(name, m.units))
        axis.set_title(_TITLES.get(name, (name, name))[0])
    _flag_panel(axes[len(chosen)], _upright(result.maps["flag"].values, affine)[:, :, k].T)
    for axis in axes:
        axis.grid(visible=False)
        axis.spines[:].set_visible(False)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_aspect(float(edges[1] / edges[0]) if np.ptp(edges[:2]) > 1e-6 else "equal")
    for axis in axes[len(chosen) + 1 :]:
        axis.set_visible(False)
    return figure, caption


def _unit_label(name: str, units: str) -> str:
    text = {"um2/ms": "µm²/ms", "um/s": "µm/s", "1": "dimensionless", "arbitrary": "signal, arbitrary unit"}.get(units, units)
    return f"{_TITLES.get(name, (name, name))[1]} [{text}]" if units not in ("arbitrary", "1") else text


def _flag_panel(axis: Axes, flags: NDArray[Any]) -> None:
    order = list(Flag)
    colours = ListedColormap([FLAG_COLOURS[f] for f in order])
    axis.imshow(
        flags,
        origin="lower",
        cmap=colours,
        norm=BoundaryNorm(np.arange(len(order) + 1) - 0.5, len(order)),
        interpolation="nearest",
    )
    present = [f for f in order if f in flags and f != Flag.MASKED]
    axis.legend(
        handles=[Patch(facecolor=FLAG_COLOURS[f], edgecolor="#555555", label=f.name.lower().replace("_", " ")) for f in present],
        fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=2, frameon=False,
    )  # fmt: skip
    axis.set_title("how the fit ended")


@house_style()
def draw_curve(axis: Axes, region: Region) -> Axes:
    """Draw ADC' against the mixing time of one region: measured on the mean signal, and the pooled fit."""
    curve = region.curve
    axis.set_title(f"{region.name} ({region.n_voxels:,} voxels)")
    axis.set_xlabel("mixing time [ms]")
    axis.set_ylabel("ADC' [µm²/ms]")
    if curve is None:
        axis.text(0.5, 0.5, "no pooled fit", ha="center", va="center", transform=axis.transAxes)
        return axis
    axis.axhline(curve.equilibrium, color="#555555", ls="--", lw=1, label="fit, no filter")
    axis.plot(1e3 * curve.fit_time_s, curve.fit, color="#0072B2", lw=1.5, label="fit, after the filter")
    for filtered, marker, colour, label in (
        (False, "s", "#555555", "measured, no filter"),
        (True, "o", "#D55E00", "measured, after the filter"),
    ):
        use = curve.filtered == filtered
        if use.any():
            axis.errorbar(
                1e3 * curve.mixing_time_s[use],
                curve.measured[use],
                yerr=curve.error[use],
                fmt=marker,
                color=colour,
                ms=5,
                capsize=3,
                label=label,
            )
    axis.text(0.98, 0.04, _rate_text(region), transform=axis.transAxes, fontsize=8, ha="right", va="bottom")
    return axis


def _rate_text(region: Region) -> str:
    name = "axr" if "axr" in region.values else "k"
    low, high = region.low.get(name, np.nan), region.high.get(name, np.nan)
    if not (np.isfinite(low) or np.isfinite(high)):
        return f"{name.upper() if name == 'axr' else name} {region.rate:.2g} 1/s"
    ends = f"{low:.2g}" if np.isfinite(low) else "below", f"{high:.2g}" if np.isfinite(high) else "open"
    return f"AXR {region.rate:.2g} 1/s ({ends[0]} to {ends[1]})"


@house_style()
def draw_regions(result: FexiMaps, *, title: str) -> tuple[Figure, str]:
    """Return the picture of ADC' against mixing time with the pooled fit, one panel per region, and its caption."""
    regions = sorted(result.regions, key=lambda r: -r.n_voxels)[:_MAX_REGIONS]
    more = (
        f" The {_MAX_REGIONS} largest of {len(result.regions)} regions are shown." if len(result.regions) > _MAX_REGIONS else ""
    )
    caption = (
        "Apparent diffusion coefficient ADC' against mixing time, one panel per region. Points: from the region's mean signal, "
        "bars 1 SD from the noise. Line: the fit to all voxels together; it may lie off the points where voxels differ. "
        "Dashed: fitted ADC without filter. The speed at which the line returns to the dashed one is the exchange rate, with its "
        f"95 % profile interval.{more}"
    )
    columns = min(3, len(regions))
    rows = -(-len(regions) // columns)
    heading = f"ADC' after the filter, {title}"
    figure, axes = new_page(max(4.2 * columns, 7.5), 3.2 * rows + 0.3, rows, columns, heading, caption, legend=4)
    for axis, region in zip(axes, regions, strict=False):
        draw_curve(axis, region)
    handles = next((h for h in (axis.get_legend_handles_labels()[0] for axis in axes) if h), [])
    if handles:
        legend_on_top(figure, handles)
    for axis in axes[len(regions) :]:
        axis.set_visible(False)
    return figure, caption


@house_style()
def draw_histograms(result: FexiMaps, *, title: str) -> tuple[Figure, str]:
    """Return histograms of the parameters with the share on a bound, the flags, and their caption."""
    flags = result.maps["flag"].values
    names = [shown(n) for n in result.model.parameter_names]
    caption = (
        "Histograms of the fitted parameters over all voxels of the mask, bounds of the search as dotted lines. Orange: voxels "
        "whose fit ended on a bound of any parameter: their value is a limit, not an estimate. Last panel: how the fits ended."
    )
    figure, axes = new_page(3.4 * (len(names) + 1), 3.2, 1, len(names) + 1, f"Distribution over voxels, {title}", caption)
    for axis, p, limits in zip(axes, names, result.model.bounds, strict=False):
        low, high = limits / p.si_per_unit
        values = result.maps[p.name].values
        edges = np.linspace(low, high, 41)
        groups = [values[(flags == f) & np.isfinite(values)] for f in (Flag.OK, Flag.ON_BOUND)]
        rest = values[(flags != Flag.OK) & (flags != Flag.ON_BOUND) & np.isfinite(values)]
        axis.grid(visible=False, axis="x")
        axis.hist([*groups, rest], bins=edges.tolist(), stacked=True, color=["#56B4E9", "#E69F00", "#999999"])
        for edge in (low, high):
            axis.axvline(edge, color="#555555", ls=":", lw=1)
        total = sum(g.size for g in groups) + rest.size
        at = np.concatenate([*groups, rest])
        slack = 1e-5 * (high - low)
        share = float(((at <= low + slack) | (at >= high - slack)).sum()) / max(total, 1)
        axis.set_title(f"{p.label}: {100 * share:.0f} % on its own bound")
        axis.set_xlabel(_unit_label(p.label, p.unit) if p.unit != "1" else f"{p.label} [dimensionless]")
        axis.set_ylabel("voxels")
    _flag_bars(axes[len(names)], result)
    return figure, caption


def _flag_bars(axis: Axes, result: FexiMaps) -> None:
    shares = {f: result.counts[f.name] for f in Flag if f.name in result.counts}
    total = max(sum(shares.values()), 1)
    names = [f.name.lower().replace("_", " ") for f in shares]
    bars = axis.barh(
        names, [100 * n / total for n in shares.values()], color=[FLAG_COLOURS[f] for f in shares], edgecolor="#555555", lw=0.5
    )
    axis.bar_label(bars, labels=[f"{100 * n / total:.1f} %" for n in shares.values()], fontsize=7, padding=2)
    axis.set_xlim(0, 118)
    axis.set_xticks(range(0, 101, 20))
    axis.invert_yaxis()
    axis.set_xlabel("share of voxels [%]")
    axis.set_title("how the fits ended")
