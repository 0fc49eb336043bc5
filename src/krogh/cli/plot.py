"""Run ``krogh plot``: draw a finished run again, from another side or as a movie, without computing anything."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from krogh.cli import options

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from krogh.plots.plane import Plane

_VIEWS = ("section", "profile", "strip", "volume", "movie", "vtk", "all")


def register(app: typer.Typer) -> None:
    """Add ``plot`` to `app`."""
    app.command("plot")(plot)


def plot(
    run: Annotated[Path, typer.Argument(help="Folder of a finished 'krogh simulate'.")],
    view: Annotated[
        str, typer.Option(help="section, profile, strip (depth against time), volume, movie, vtk (for ParaView), or all.")
    ] = "all",
    compound: Annotated[str | None, typer.Option(help="Name in the run.  [default: the first]")] = None,
    scale: Annotated[str, typer.Option(help="Colours: log or linear.")] = "log",
    at: Annotated[
        str | None, typer.Option(help="Plane z of section and movie, e.g. '12 um'; time of a volume, e.g. '10 min'.")
    ] = None,
    plane: Annotated[
        str | None, typer.Option(help="Any plane of a section: 'z=12 um', 'y=5 um', 'x=2 um' (depth) or x=endothelium.")
    ] = None,
    place: Annotated[str | None, typer.Option(help="Place of a profile or strip, 'Y,Z', e.g. '20 um,5 um'.")] = None,
    mp4: Annotated[bool, typer.Option("--mp4", help="A movie as MP4 (extra 'movie') in place of GIF.")] = False,
    html: Annotated[bool, typer.Option("--html", help="A volume to turn by hand, one HTML file (extra 'viz3d').")] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for the pictures.  [default: RUN/pictures]")] = None,
    overwrite: options.Overwrite = False,
    json_: options.Json = False,
) -> None:
    """Draw a finished run: sections, profiles, volumes and movies of a block; the usual pictures of any run.

    \b
    krogh plot RUN --view section --plane x=endothelium
    krogh plot RUN --view profile --place '20 um,5 um'
    krogh plot RUN --view strip --scale linear
    krogh plot RUN --view volume --at '10 min' --html
    krogh plot RUN --view movie --at '12 um' --mp4
    krogh plot RUN --view vtk
    """  # noqa: D301 - the escape keeps the lines apart
    from krogh.errors import UsageError
    from krogh.io.store import open_results

    if view not in _VIEWS:
        raise UsageError("--view", got=repr(view), expected=", ".join(_VIEWS))
    if scale not in ("log", "linear"):
        raise UsageError("--scale", got=repr(scale), expected="log or linear")
    data = open_results(run)
    folder = out or run / "pictures"
    if view == "all":
        from krogh.plots.save import save_figures

        files = save_figures(data, folder)
    else:
        wish = _Wish(compound, scale, at, _plane(plane), place, mp4, html)
        files = _one(data, view, wish, folder, overwrite=overwrite)
    if json_:
        typer.echo(json.dumps({"files": [str(f) for f in files], "notice": "not for diagnosis or dosing"}, indent=2))
    else:
        typer.echo("\n".join(str(f) for f in files))


@dataclass(frozen=True)
class _Wish:
    """What a picture shall show, as given on the command line; only the plane has been read."""

    compound: str | None
    scale: Any
    at: str | None
    plane: Plane | None
    place: str | None
    mp4: bool
    html: bool


def _one(data: xr.Dataset, view: str, wish: _Wish, folder: Path, *, overwrite: bool) -> list[Path]:
    from krogh.errors import OutputError
    from krogh.io.folder import output_errors
    from krogh.plots.save import file_stem

    endings = {"movie": ".mp4" if wish.mp4 else ".gif", "vtk": ".pvd", "volume": ".html" if wish.html else ".png"}
    name = file_stem(wish.compound or str(data.compound.values[0]))
    cut = f"_{wish.plane.axis}_{wish.plane.place}" if wish.plane is not None else ""
    path = folder / f"{view}{cut}_{name}{endings.get(view, '.png')}"
    if path.exists() and not overwrite:
        raise OutputError(str(path), got="a picture of that name", hint="give --overwrite, or another --out")
    with output_errors(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        return _draw(data, view, wish, path)


def _draw(data: xr.Dataset, view: str, wish: _Wish, path: Path) -> list[Path]:
    from krogh.units import parse_quantity

    compound, scale = wish.compound, wish.scale
    if view == "movie":
        from krogh.plots.movie import write_movie

        return [write_movie(data, path, compound, scale=scale, at_m=_length(wish.at, "--at"))]
    if view == "volume" and wish.html:
        from krogh.plots.volume_html import write_volume_page

        return [write_volume_page(data, path, compound, scale=scale)]
    if view == "volume":
        from krogh.plots.volume import render_volume

        at_s = parse_quantity(wish.at, "time", where="--at") if wish.at else None
        return [render_volume(data, path, compound, scale=scale, at_s=at_s)]
    if view == "vtk":
        return _vtk(data, compound, path)
    figure = _figure(data, view, wish)
    figure.savefig(path, metadata={"Title": path.stem, "Description": str(figure.get_label())})
    return [path]


def _figure(data: xr.Dataset, view: str, wish: _Wish) -> Figure:
    """Return a picture that matplotlib draws."""
    compound, scale = wish.compound, wish.scale
    if view in ("profile", "strip"):
        from krogh.plots.plane import draw_strip
        from krogh.plots.profile import draw_profile

        y_m, z_m = _place(wish.place)
        if view == "strip":
            return draw_strip(data, compound, y_m=y_m, z_m=z_m, scale=scale)
        return draw_profile(data, compound, y_m=y_m, z_m=z_m, log=scale == "log")
    if "segment_blood" in data or "field" in data or wish.plane is not None:
        from krogh.plots.plane import Plane, draw_plane

        plane = wish.plane or Plane("z", _length(wish.at, "--at"))
        return draw_plane(data, compound, plane=plane, scale=scale)
    from krogh.plots.section import draw_section

    return draw_section(data, compound)


def _plane(text: str | None) -> Plane | None:
    """Return the plane of ``AXIS=POSITION``."""
    from krogh.errors import UsageError
    from krogh.plots.plane import Plane

    if text is None:
        return None
    axis, equals, where = (part.strip() for part in text.partition("="))
    if axis not in ("x", "y", "z") or not equals or not where:
        raise UsageError("--plane", got=repr(text), expected="'z=12 um', 'y=5 um', 'x=2 um' or x=endothelium")
    if axis == "x" and not where[0].isdigit() and where[0] not in "+-.":
        return Plane(axis, layer=where)
    return Plane(axis, _length(where, "--plane"))


def _length(text: str | None, where: str) -> float | None:
    from krogh.units import parse_quantity

    return parse_quantity(text, "length", where=where) if text else None


def _place(text: str | None) -> tuple[float | None, float | None]:
    from krogh.errors import UsageError

    if text is None:
        return None, None
    parts = text.split(",")
    if len(parts) != 2:
        raise UsageError("--place", got=repr(text), expected="two lengths, e.g. '20 um,5 um'")
    return _length(parts[0].strip(), "--place"), _length(parts[1].strip(), "--place")


def _vtk(data: xr.Dataset, compound: str | None, path: Path) -> list[Path]:
    """Write one grid per frame, and the list of them with their times."""
    import numpy as np

    from krogh.io.vtk import write_rectilinear, write_series
    from krogh.plots.block import block_of

    if "segment_blood" in data:
        return _vtk_network(data, compound, path)

    one = block_of(data, compound)
    start = float(one.x[0]) - 0.5 * float(one["cell_width"][0])
    edges = [start + np.concatenate([[0.0], np.cumsum(one["cell_width"].values)])]
    for axis in ("y", "z"):
        centers = one[axis].values
        inner = 0.5 * (centers[1:] + centers[:-1])
        edges.append(np.concatenate([[0.0], inner, [2 * centers[-1] - (inner[-1] if inner.size else 0.0)]]))
    layers = {n: i for i, n in enumerate(dict.fromkeys(one["layer"].values.astype(str)))}
    layer = np.array([layers[n] for n in one["layer"].values.astype(str)], dtype=np.uint8)
    written = []
    for i in range(one.frame.size):
        field = one["field"].isel(frame=i).transpose("x", "y", "z").values
        fields = {"free_mol_m3": field, "layer": np.broadcast_to(layer[:, None, None], field.shape)}
        written.append(write_rectilinear(path.with_name(f"{path.stem}_{i:03d}.vtr"), (edges[0], edges[1], edges[2]), fields))
    return [*written, write_series(path, written, one.frame.values)]


def _vtk_network(data: xr.Dataset, compound: str | None, path: Path) -> list[Path]:
    """Write the tissue (.vti) and the vessels (.vtp) of every frame, and two lists of them with their times."""
    import numpy as np

    from krogh.io.vtk import write_series, write_uniform, write_vessels
    from krogh.plots.network import network_of

    one = network_of(data, compound)
    spacing = float(one.box_x[1] - one.box_x[0])
    x, y, z = (float(one[n][0]) - 0.5 * spacing for n in ("box_x", "box_y", "box_z"))
    ends = np.stack([one["segment_start"].values, one["segment_end"].values], axis=1).reshape(-1, 3)
    lines = np.arange(len(ends)).reshape(-1, 2)
    written = []
    for i in range(one.frame.size):
        tissue = one["tissue"].isel(frame=i).transpose("box_x", "box_y", "box_z").values
        written.append(write_uniform(path.with_name(f"{path.stem}_{i:03d}.vti"), (x, y, z), spacing, {"free_mol_m3": tissue}))
        fields = {"free_mol_m3": one["segment_blood"].isel(frame=i).values, "radius_m": one["segment_radius"].values}
        written.append(write_vessels(path.with_name(f"{path.stem}_{i:03d}.vtp"), ends, lines, fields))
    series = [write_series(path, written[::2], one.frame.values)]
    series.append(write_series(path.with_name(f"{path.stem}_vessels.pvd"), written[1::2], one.frame.values))
    return [*written, *series]
