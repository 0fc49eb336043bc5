"""Write all pictures of a run into a folder as PNG files."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from krogh.plots.comparison import draw_comparison
from krogh.plots.routes import draw_routes
from krogh.plots.section import draw_section
from krogh.plots.timecourse import draw_timecourse

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["file_stem", "save_figures"]


def file_stem(name: str) -> str:
    """Return `name` as a part of a file name: letters, digits, dot, hyphen, underscore; never empty, hidden or longer than 80."""
    return re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII).strip("._-")[:80] or "compound"


def save_figures(ds: xr.Dataset, folder: Path, *, most_sections: int = 24) -> list[Path]:
    """Draw a run and write the pictures into `folder`, which is made if it is missing.

    Parameters
    ----------
    ds : xarray.Dataset
        A run; see :func:`krogh.runs.dataset.build_dataset`.
    folder : Path
        Where they go; pictures of the same name are replaced.
    most_sections : int, optional
        Sections are drawn for so many compounds, in the order of the run.

    Returns
    -------
    list of Path
        ``timecourse.png``, ``section_<compound>.png`` for each compound, ``routes.png``, and ``levodopa_vs_dopamine.png`` when
        the run has both.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    from krogh.errors import OutputError

    names = [str(n) for n in ds.compound.values]
    drawings: dict[str, Callable[[], Figure]] = {"timecourse": lambda: draw_timecourse(ds)}
    for name in names[:most_sections]:
        stem = base = f"section_{file_stem(name)}"
        count = 1
        while stem.lower() in map(str.lower, drawings):
            count += 1
            stem = f"{base}_{count}"
        drawings[stem] = lambda name=name: draw_section(ds, name)  # type: ignore[misc]
    drawings["routes"] = lambda: draw_routes(ds)
    if {"levodopa", "dopamine"} <= set(names):
        drawings["levodopa_vs_dopamine"] = lambda: draw_comparison(ds)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [_write(draw(), folder / f"{stem}.png") for stem, draw in drawings.items()]
    except OSError as error:
        raise OutputError(
            f"pictures in {folder}", got=error.strerror or str(error), hint="choose a folder that you can write"
        ) from None


def _write(figure: Figure, path: Path) -> Path:
    """Write one picture with its caption inside the file."""
    figure.savefig(path, metadata={"Title": path.stem, "Description": str(figure.get_label())})
    figure.clear()
    return path
