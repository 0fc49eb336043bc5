"""Turn the frames of a block or a network into a moving picture: GIF, or MP4 where ffmpeg is at hand."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from krogh.errors import InputError
from krogh.plots.bands import heading, layer_bands, one_compound
from krogh.plots.block import Scale, block_of, colour_norm, draw_frame, plane_index
from krogh.plots.network import frames_of_network
from krogh.plots.scales import concentration_unit, format_duration, log_ticks
from krogh.plots.style import NOTICE, house_style, new_figure

if TYPE_CHECKING:
    import xarray as xr
    from PIL import Image

__all__ = ["write_movie"]


def write_movie(
    ds: xr.Dataset,
    path: Path,
    compound: str | None = None,
    *,
    scale: Scale = "log",
    at_m: float | None = None,
    frame_s: float = 0.4,
) -> Path:
    """Write the section of every frame as one film and return its path; the last frame stays for two seconds.

    Parameters
    ----------
    path : Path
        ``.gif``, or ``.mp4`` (H.264).

    Raises
    ------
    InputError
        If the run has no such compound or no fields, the plane lies outside, or an MP4 is wanted without ``imageio-ffmpeg``.
    """
    from PIL import Image

    film = path.suffix == ".mp4"
    if film and importlib.util.find_spec("imageio_ffmpeg") is None:
        raise InputError(
            "MP4", got="no imageio-ffmpeg", expected="the extra 'movie'", hint="pip install 'krogh[movie]', or leave --mp4 out"
        )
    network = "segment_blood" in ds
    frames = frames_of_network(ds, compound, scale=scale, at_m=at_m) if network else _frames(ds, compound, scale, at_m)
    pictures = []
    for figure in frames:
        target = io.BytesIO()
        figure.savefig(target, format="png", dpi=90)
        pictures.append(Image.open(target).convert("RGB"))
    words = _words(one_compound(ds, compound), "network" if network else "block")
    if film:
        return _film(path, pictures, frame_s, words)
    pictures = [p.quantize(128) for p in pictures]
    times = [int(1000 * frame_s)] * (len(pictures) - 1) + [2000]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=times, loop=0, comment=words.encode())
    return path


def _film(path: Path, pictures: list[Image.Image], frame_s: float, words: str) -> Path:
    """Write an MP4 at ten pictures a second, every frame held for `frame_s`."""
    import imageio_ffmpeg

    per_second = 10
    width, height = (n // 2 * 2 for n in pictures[0].size)  # H.264 wants even numbers
    settings = {"macro_block_size": 2, "codec": "libx264", "quality": 8, "ffmpeg_log_level": "error"}
    output = ["-metadata", f"comment={words}", "-movflags", "+faststart"]
    writer = imageio_ffmpeg.write_frames(str(path), (width, height), fps=per_second, output_params=output, **settings)
    writer.send(None)
    try:
        for i, picture in enumerate(pictures):
            held = 2.0 if i == len(pictures) - 1 else frame_s
            raw = picture.crop((0, 0, width, height)).tobytes()
            for _ in range(max(1, round(held * per_second))):
                writer.send(raw)
    finally:
        writer.close()
    return path


def _words(one: xr.Dataset, geometry: str) -> str:
    return f"Section through the {geometry}: {heading(one)}. {NOTICE}"


def _frames(ds: xr.Dataset, compound: str | None, scale: Scale, at_m: float | None) -> Iterator[Figure]:
    """Yield the section of every frame of a block."""
    one = block_of(ds, compound)
    k = plane_index(one, "z", at_m)
    values = one["field"].isel(z=k).transpose("frame", "x", "y").values
    with house_style():
        for i in range(values.shape[0]):
            yield _frame(one, values, i, k, scale)


def _frame(one: xr.Dataset, values: np.ndarray, i: int, k: int, scale: Scale) -> Figure:
    unit = concentration_unit(float(np.nanmax(values)))
    norm = colour_norm(values / unit.si, scale)
    figure = new_figure(6.4, 4.8, f"{heading(one)}: after {format_duration(float(one.frame[i]))}", (
        f"Free concentration in the plane z = {float(one.z[k]) * 1e6:.3g} µm, blood on the left; each layer is drawn in its "
        "own band with its true thickness below it. Frames are closer after the first dose."
    ))  # fmt: skip
    axis = figure.add_subplot()
    mesh = draw_frame(axis, one, values[i] / unit.si, layer_bands(one), norm)
    bar = figure.colorbar(mesh, ax=axis, extend="min" if scale == "log" else "neither")
    bar.set_label(f"free concentration [{unit.name}]")
    if scale == "log":
        log_ticks(bar.ax.yaxis, float(norm.vmin or 0), float(norm.vmax or 1))
    return figure
