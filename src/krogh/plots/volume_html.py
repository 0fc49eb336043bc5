"""Turn a block or a network into one HTML file to be turned by hand, with a slider of time; it needs no network."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from krogh.errors import InputError
from krogh.plots.bands import heading, layer_bands
from krogh.plots.block import Scale, block_of
from krogh.plots.network import network_of
from krogh.plots.scales import concentration_unit, format_duration
from krogh.transport.network.vessels import crosswise

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["write_volume_page"]

_MOST_CELLS = 32  # along an axis: a browser draws these smoothly
_MOST_FRAMES = 12
_SIDES = 8
_FLAT = {"ambient": 1.0, "diffuse": 0.0, "specular": 0.0}  # a colour is a concentration, not a shadow
_NOTICE = "Research software: not for diagnosis or dosing."


def write_volume_page(ds: xr.Dataset, path: Path, compound: str | None = None, *, scale: Scale = "log") -> Path:
    """Write a page with the volume and return its path; it holds everything it needs, about 5 MB.

    A block: three slices through the layers, each layer stretched to its band, and two iso-surfaces of the last layers. A
    network: vessels as tubes in the colour of their blood, and two iso-surfaces of the tissue. Fields are thinned to 32 cells
    along an axis and 12 times.

    Parameters
    ----------
    ds : xarray.Dataset
        A run with ``geometry = "block"`` or ``"network"``.
    path : Path
        HTML file to write.
    compound : str, optional
        Its name in the run; the first by default.
    scale : {"log", "linear"}
        Colours.

    Raises
    ------
    InputError
        If the run has no fields, or plotly is not installed.
    """
    one = network_of(ds, compound) if "segment_blood" in ds else block_of(ds, compound)
    if importlib.util.find_spec("plotly") is None:
        raise InputError(
            "interactive volume",
            got="no plotly",
            expected="the extra 'viz3d'",
            hint="pip install 'krogh[viz3d]', or --view section",
        )
    import plotly.graph_objects as go

    frames = _evenly(one.frame.size, _MOST_FRAMES)
    build = _network if "segment_blood" in one else _block
    traces, axes, words = build(one, frames, scale)
    names = [format_duration(float(one.frame[i])) for i in frames]
    start = len(frames) // 2
    figure = go.Figure(
        data=traces(start),
        frames=[go.Frame(data=_changing(go, traces(n)), name=name) for n, name in enumerate(names)],
        layout={
            "title": {"text": f"{heading(one)}<br><sub>{words}<br>{_NOTICE}</sub>", "x": 0.02},
            "scene": {**axes, "camera": {"eye": {"x": -1.5, "y": -1.5, "z": 1.0}}}, "margin": {"l": 0, "r": 0, "t": 95, "b": 20},
            "font": {"family": "sans-serif", "size": 13},
            "sliders": [_slider(names, start)],
        },
    )  # fmt: skip
    config = {"displaylogo": False, "responsive": True}
    page = figure.to_html(include_plotlyjs=True, full_html=True, config=config, auto_play=False)
    title = f"<head><title>{path.stem}</title>"
    path.write_text(page.replace("<head>", title, 1), encoding="utf-8")
    return path


def _changing(go: Any, traces: list[Any]) -> list[Any]:
    """Return what a frame changes of its traces; shapes are in the page once."""
    kept = {"surface": ("surfacecolor",), "isosurface": ("value", "isomin", "isomax", "visible"), "mesh3d": ("intensity",)}
    kinds = {"surface": go.Surface, "isosurface": go.Isosurface, "mesh3d": go.Mesh3d}
    return [kinds[t.type](**{name: t[name] for name in kept[t.type]}) for t in traces if t.type in kept]


def _slider(names: list[str], start: int) -> dict[str, Any]:
    still = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    steps = [{"label": n, "method": "animate", "args": [[n], still]} for n in names]
    return {
        "active": start,
        "steps": steps,
        "currentvalue": {"prefix": "after "},
        "x": 0.05,
        "len": 0.85,
        "pad": {"t": 10, "b": 10},
    }


def _evenly(count: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def _colours(values: np.ndarray, scale: Scale) -> tuple[np.ndarray, float, float, dict[str, Any]]:
    """Return values as colours (log10 where asked for), their limits, and the ticks of the bar."""
    high = float(np.nanmax(values)) or 1.0
    if scale == "linear":
        return values, 0.0, high, {}
    low = max(high / 3e3, float(np.nanmin(values)))
    low = min(low, 0.5 * high)
    ends = np.log10(low), np.log10(high)
    ticks = np.arange(np.ceil(ends[0]), np.floor(ends[1]) + 1)
    if ticks.size < 2:
        ticks = np.linspace(*ends, 4)
    bar = {"tickvals": list(ticks), "ticktext": [f"{10**t:.3g}" for t in ticks]}
    return np.log10(np.maximum(values, low)), float(ends[0]), float(ends[1]), bar


def _block(one: xr.Dataset, frames: np.ndarray, scale: Scale) -> tuple[Any, dict[str, Any], str]:
    import plotly.graph_objects as go

    values = one["field"].isel(frame=frames).transpose("frame", "x", "y", "z").values.astype(float)
    unit = concentration_unit(float(values.max()))
    bands = layer_bands(one)
    span = bands[-1].edges[-1]
    y_um, z_um = one.y.values * 1e6, one.z.values * 1e6
    depth = np.linspace(0.0, span, 4 * _MOST_CELLS + 1)[:-1] + span / (8 * _MOST_CELLS)
    edges = np.concatenate([bands[0].edges, *(b.edges[1:] for b in bands[1:])])
    cells = np.clip(np.searchsorted(edges, depth) - 1, 0, values.shape[1] - 1)
    stretch = 1.3 * max(float(y_um[-1]), float(z_um[-1])) / span
    keep_y, keep_z = _evenly(y_um.size, _MOST_CELLS), _evenly(z_um.size, _MOST_CELLS)
    shown, low, high, ticks = _colours(values[:, cells][:, :, keep_y][..., keep_z] / unit.si, scale)
    x, y, z = depth * stretch, y_um[keep_y], z_um[keep_z]
    style = {"cmin": low, "cmax": high, "colorscale": "Viridis"}
    bar = {"title": {"text": f"free [{unit.name}]"}, "len": 0.7, **ticks}
    tissue = x > bands[-1].edges[0] * stretch

    def sheet(n: int, axis: int, index: int, *, bar_too: bool = False) -> Any:
        grids = np.meshgrid(*(g if a != axis else g[[index]] for a, g in enumerate((x, y, z))), indexing="ij")
        flat = [np.squeeze(g, axis) for g in grids]
        colour = np.take(shown[n], index, axis=axis)
        return go.Surface(x=flat[0], y=flat[1], z=flat[2], surfacecolor=colour.astype(np.float32), showscale=bar_too,
                          colorbar=bar if bar_too else None, hoverinfo="skip", opacity=0.85 if axis == 0 else 1.0, lighting=_FLAT,
                          **style)  # fmt: skip

    def surfaces(n: int) -> Any:
        part = shown[n][tissue]
        levels = np.quantile(part, [0.33, 0.67])
        grids = np.meshgrid(x[tissue], y, z, indexing="ij")
        flat = float(levels[1] - levels[0]) <= 1e-6 * max(1e-30, abs(float(levels[1])))
        return _isosurface(go, grids, part, levels, visible=not flat)

    names = [b.name for b in bands]
    inner = bands[names.index("basement membrane") if "basement membrane" in names else len(bands) // 2]
    front = int(np.abs(depth - inner.middle).argmin())  # where a leak shows first

    def traces(n: int) -> list[Any]:
        return [
            sheet(n, 2, 0, bar_too=True),
            sheet(n, 1, y.size - 1),
            sheet(n, 0, front),
            surfaces(n),
            *_faces(go, one, stretch, y, z),
        ]

    text = (
        f"Layers are stretched, with their true thickness. Slices: two sides and the {inner.name}.<br>White surfaces: a third "
        "and two thirds of the tissue. Orange: what was drawn on the barrier."
    )
    axes = {
        "xaxis": {"title": "", "tickvals": [b.middle * stretch for b in bands],
                  "ticktext": [f"{b.name} {b.size}" for b in bands]},
        "yaxis": {"title": "y [µm]"}, "zaxis": {"title": "z [µm]"}, "aspectmode": "data",
    }  # fmt: skip
    return traces, axes, text


def _isosurface(go: Any, grids: Any, values: np.ndarray, levels: np.ndarray, *, visible: bool) -> Any:
    x, y, z = (g.ravel().astype(np.float32) for g in grids)
    return go.Isosurface(
        x=x, y=y, z=z, value=values.ravel().astype(np.float32), isomin=float(levels[0]), isomax=float(levels[1]),
        surface={"count": 2}, opacity=0.4, caps={a: {"show": False} for a in "xyz"}, showscale=False, hoverinfo="skip",
        colorscale=[[0, "white"], [1, "white"]], visible=visible,
    )  # fmt: skip


def _faces(go: Any, one: xr.Dataset, stretch: float, y: np.ndarray, z: np.ndarray) -> list[Any]:
    """Return the faces between layers as black rectangles, and what maps mark as orange lines in front of the blood."""
    bands = layer_bands(one)
    low_y, high_y, low_z, high_z = float(y[0]), float(y[-1]), float(z[0]), float(z[-1])
    xs: list[float | None] = []
    ys: list[float | None] = []
    zs: list[float | None] = []
    for at in [bands[0].edges[0], *(b.edges[-1] for b in bands)]:
        xs += [float(at) * stretch] * 5 + [None]
        ys += [low_y, high_y, high_y, low_y, low_y, None]
        zs += [low_z, low_z, high_z, high_z, low_z, None]
    style = {"mode": "lines", "hoverinfo": "skip", "showlegend": False}
    found = [go.Scatter3d(x=xs, y=ys, z=zs, line={"color": "black", "width": 3}, **style)]
    for marked in _marks(one):
        at = np.full(len(marked), float(bands[0].edges[0]) * stretch)
        found.append(go.Scatter3d(x=at, y=marked[:, 0], z=marked[:, 1], line={"color": "#D55E00", "width": 6}, **style))
    return found


def _marks(one: xr.Dataset) -> list[np.ndarray]:
    """Return the outlines (y, z) [um] of what the maps of the routes mark."""
    from contourpy import contour_generator

    found: list[np.ndarray] = []
    for name in (str(n) for n in one.data_vars if str(n).startswith("density_")):
        density = one[name].values
        low, high = float(density.min()), float(density.max())
        if high > low and min(density.shape) > 1:
            lines = contour_generator(one.z.values * 1e6, one.y.values * 1e6, density).lines(0.5 * (low + high))
            found += [np.asarray(line)[:, ::-1] for line in lines]
    return found


def _network(one: xr.Dataset, frames: np.ndarray, scale: Scale) -> tuple[Any, dict[str, Any], str]:
    import plotly.graph_objects as go

    start, end = (one[n].values * 1e6 for n in ("segment_start", "segment_end"))
    blood = one["segment_blood"].isel(frame=frames).transpose("frame", "segment").values.astype(float)
    tissue = one["tissue"].isel(frame=frames).transpose("frame", "box_x", "box_y", "box_z").values.astype(float)
    unit = concentration_unit(float(blood.max()))
    shown, low, high, ticks = _colours(blood / unit.si, scale)
    points, corners = _tubes(start, end, one["segment_radius"].values * 1e6)
    keep = [_evenly(n, _MOST_CELLS) for n in tissue.shape[1:]]
    grids = np.meshgrid(*(one[f"box_{a}"].values[k] * 1e6 for a, k in zip("xyz", keep, strict=True)), indexing="ij")
    bar = {"title": {"text": f"blood, free [{unit.name}]"}, "len": 0.7, **ticks}

    def traces(n: int) -> list[Any]:
        colour = np.repeat(shown[n], 2 * _SIDES).astype(np.float32)
        tubes = go.Mesh3d(
            x=points[:, 0], y=points[:, 1], z=points[:, 2], i=corners[:, 0], j=corners[:, 1], k=corners[:, 2], intensity=colour,
            cmin=low, cmax=high, colorscale="Plasma", colorbar=bar, hoverinfo="skip", flatshading=False,
        )  # fmt: skip
        part = tissue[n][np.ix_(*keep)]
        levels = np.quantile(part, [0.5, 0.9])
        flat = float(levels[1]) <= 1.001 * float(levels[0])
        surface = _isosurface(go, grids, part / unit.si, levels / unit.si, visible=not flat)
        surface.update(opacity=0.2, colorscale=[[0, "lightblue"], [1, "steelblue"]])
        return [tubes, surface]

    axes = {f"{a}axis": {"title": f"{a} [µm]"} for a in "xyz"} | {"aspectmode": "data"}
    return (
        traces,
        axes,
        "Tubes: vessels with their radius, in the colour of their blood. Surfaces: median and upper tenth of the tissue.",
    )


def _tubes(start: np.ndarray, end: np.ndarray, radius: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the points (m 2 sides, 3) and triangles (m 2 sides, 3) of one open tube per segment."""
    m = len(start)
    first, second = crosswise(start, end)
    angle = 2 * np.pi * np.arange(_SIDES) / _SIDES
    ring = np.cos(angle)[:, None] * first[:, None] + np.sin(angle)[:, None] * second[:, None]
    ring = ring * radius[:, None, None]
    points = np.stack([start[:, None] + ring, end[:, None] + ring], axis=1).reshape(-1, 3)
    k = np.arange(_SIDES)
    after = (k + 1) % _SIDES
    one = np.concatenate([np.stack([k, after, k + _SIDES], 1), np.stack([after, after + _SIDES, k + _SIDES], 1)])
    corners = (one[None] + (np.arange(m) * 2 * _SIDES)[:, None, None]).reshape(-1, 3)
    return points.astype(np.float32), corners
