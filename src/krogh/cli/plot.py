"""Run ``krogh plot``: draw a finished run again, from another side or as a movie, without computing anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from krogh.cli import options

if TYPE_CHECKING:
    import xarray as xr

_VIEWS = ("section", "profile", "volume", "movie", "vtk", "all")


def register(app: typer.Typer) -> None:
    """Add ``plot`` to `app`."""
    app.command("plot")(plot)


def plot(
    run: Annotated[Path, typer.Argument(help="Folder of a finished 'krogh simulate'.")],
    view: Annotated[
        str, typer.Option(help="section, profile, volume, movie, vtk (for ParaView), or all: the usual pictures.")
    ] = "all",
    compound: Annotated[str | None, typer.Option(help="Name in the run.  [default: the first]")] = None,
    scale: Annotated[str, typer.Option(help="Colours: log or linear.")] = "log",
    at: Annotated[
        str | None, typer.Option(help="Plane z of section and movie, e.g. '12 um'; time of a volume, e.g. '10 min'.")
    ] = None,
    place: Annotated[str | None, typer.Option(help="Place of a profile, 'Y,Z', e.g. '20 um,5 um'.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for the pictures.  [default: RUN/pictures]")] = None,
    overwrite: options.Overwrite = False,
    json_: options.Json = False,
) -> None:
    """Draw a finished run: sections, profiles, volumes and movies of a block; the usual pictures of any run."""
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
        files = _one(data, view, compound, scale, at, place, folder, overwrite=overwrite)
    if json_:
        typer.echo(json.dumps({"files": [str(f) for f in files], "notice": "not for diagnosis or dosing"}, indent=2))
    else:
        typer.echo("\n".join(str(f) for f in files))


def _one(
    data: xr.Dataset,
    view: str,
    compound: str | None,
    scale: Any,
    at: str | None,
    place: str | None,
    folder: Path,
    *,
    overwrite: bool,
) -> list[Path]:
    from krogh.errors import OutputError
    from krogh.io.folder import output_errors
    from krogh.plots.save import file_stem

    endings = {"movie": ".gif", "vtk": ".vtr"}
    name = file_stem(compound or str(data.compound.values[0]))
    path = folder / f"{view}_{name}{endings.get(view, '.png')}"
    if path.exists() and not overwrite:
        raise OutputError(str(path), got="a picture of that name", hint="give --overwrite, or another --out")
    with output_errors(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        return _draw(data, view, compound, scale, at, place, path)


def _draw(
    data: xr.Dataset, view: str, compound: str | None, scale: Any, at: str | None, place: str | None, path: Path
) -> list[Path]:
    from krogh.units import parse_quantity

    if view == "movie":
        from krogh.plots.movie import write_movie

        return [write_movie(data, path, compound, scale=scale, at_m=_length(at, "--at"))]
    if view == "volume":
        from krogh.plots.volume import render_volume

        at_s = parse_quantity(at, "time", where="--at") if at else None
        return [render_volume(data, path, compound, scale=scale, at_s=at_s)]
    if view == "vtk":
        return _vtk(data, compound, path)
    if view == "profile":
        from krogh.plots.profile import draw_profile

        y_m, z_m = _place(place)
        figure = draw_profile(data, compound, y_m=y_m, z_m=z_m, log=scale == "log")
    elif "field" in data:
        from krogh.plots.block import draw_block

        figure = draw_block(data, compound, scale=scale, at_m=_length(at, "--at"))
    else:
        from krogh.plots.section import draw_section

        figure = draw_section(data, compound)
    figure.savefig(path, metadata={"Title": path.stem, "Description": str(figure.get_label())})
    return [path]


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
    """Write one rectilinear grid per frame; ParaView opens the numbered files as a series."""
    import numpy as np

    from krogh.io.vtk import write_rectilinear
    from krogh.plots.block import block_of

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
    return written
