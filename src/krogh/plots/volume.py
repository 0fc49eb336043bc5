"""Render a volume off-screen with pyvista in a process of its own: a driver that crashes becomes one line."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from krogh.errors import ConvergenceError, InputError
from krogh.plots.bands import heading, layer_bands
from krogh.plots.block import Scale, block_of, chosen_frames, colour_norm
from krogh.plots.network import network_of
from krogh.plots.scales import concentration_unit, format_duration

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["render_volume"]

_SECONDS = 240


def render_volume(
    ds: xr.Dataset, path: Path, compound: str | None = None, *, scale: Scale = "log", at_s: float | None = None
) -> Path:
    """Write a picture of the whole block at one time and return its path.

    Layers are stretched as in the sections, one quarter is cut away; iso-surfaces of the tissue are drawn at thirds of its range.

    Parameters
    ----------
    ds : xarray.Dataset
        A run with ``geometry = "block"``.
    path : Path
        PNG to write.
    at_s : float, optional
        Time [s]; by default on the rise to the interstitium's peak.

    Raises
    ------
    InputError
        If the run has no fields, or pyvista is not installed.
    ConvergenceError
        If the renderer fails or takes too long.
    """
    one = network_of(ds, compound) if "segment_blood" in ds else block_of(ds, compound)
    if importlib.util.find_spec("pyvista") is None:
        raise InputError(
            "volume picture", got="no pyvista", expected="the extra 'viz3d'", hint="pip install 'krogh[viz3d]', or --view section"
        )
    frames = one.frame.values
    i = chosen_frames(one)[1 if frames.size > 1 else 0] if at_s is None else int(np.abs(frames - at_s).argmin())
    if "segment_blood" in one:
        _network(one, i, path, scale)
        return path
    field = one["field"].isel(frame=i).transpose("x", "y", "z").values.astype(float)
    unit = concentration_unit(float(field.max()))
    low, high = _limits(field / unit.si, scale)
    edges, names = _stretched(one)
    bands = layer_bands(one)
    words: dict[str, Any] = {
        "title": f"{heading(one)}, after {format_duration(float(frames[i]))}", "bar": f"free [{unit.name}]",
        "log": scale == "log", "limits": [low, high], "layers": names, "out": str(path),
        "faces": [float(b.edges[-1] * edges[-1] / bands[-1].edges[-1]) for b in bands[:-1]],
        "levels": _levels(field[field.shape[0] // 2 :] / unit.si, [0.33, 0.67]),
    }  # fmt: skip
    wide = " x ".join(f"{_edges(one, a)[-1]:.3g}" for a in "yz")
    marks = any(str(n).startswith("density_") for n in one.data_vars)
    words["caption"] = (
        f"A block of {wide} µm along the barrier, blood in front, one quarter cut away. Every layer is stretched to its own "
        "band, its true thickness at its name; white lines are the faces.\n"
        f"Colours: free concentration{', logarithmic' if words['log'] else ''}."
        f"{_surfaces('White', words['levels'], unit.name)}{' Orange: the edge of what the map marks.' if marks else ''}"
    )
    arrays = {"x": edges, "y": _edges(one, "y"), "z": _edges(one, "z"), "field": field / unit.si}
    arrays |= {str(n): one[n].values for n in one.data_vars if str(n).startswith("density_")}
    run_renderer(words, arrays)
    return path


def _network(one: xr.Dataset, i: int, path: Path, scale: Scale) -> None:
    """Render vessels as tubes coloured by their blood, and iso-surfaces of the tissue."""
    tissue = one["tissue"].isel(frame=i).transpose("box_x", "box_y", "box_z").values.astype(float)
    blood = one["segment_blood"].isel(frame=i).values.astype(float)
    unit = concentration_unit(float(blood.max()))
    low, high = _limits(blood / unit.si, scale)
    origin = np.array([float(one[n][0] - 0.5 * (one[n][1] - one[n][0])) for n in ("box_x", "box_y", "box_z")])
    ends = np.stack([one["segment_start"].values, one["segment_end"].values], axis=1).reshape(-1, 3)
    words: dict[str, Any] = {
        "title": f"{heading(one)}, after {format_duration(float(one.frame[i]))}", "bar": f"blood, free [{unit.name}]",
        "log": scale == "log", "limits": [low, high], "spacing": float(one.box_x[1] - one.box_x[0]) * 1e6, "out": str(path),
        "levels": _levels(tissue / unit.si, [0.5, 0.9]),
    }  # fmt: skip
    wide = " x ".join(f"{n * words['spacing']:.3g}" for n in tissue.shape)
    words["caption"] = (
        f"A box of {wide} µm. Vessels are tubes of their true radius, coloured by the free concentration in their plasma"
        f"{', logarithmic' if words['log'] else ''}.\nTissue:{_surfaces('light-blue', words['levels'], unit.name)}"
    )
    arrays = {"points": (ends - origin) * 1e6, "segments": np.arange(len(ends)).reshape(-1, 2), "blood": blood / unit.si,
              "radius": one["segment_radius"].values * 1e6, "field": tissue / unit.si}  # fmt: skip
    run_renderer(words, arrays)


def _limits(values: np.ndarray, scale: Scale) -> tuple[float, float]:
    """Return the range of colours: that of the field itself, at least 5 % wide, at most three and a half decades."""
    norm = colour_norm(values, scale)
    high = float(norm.vmax or 1.0)
    low = min(max(float(norm.vmin or 0.0), float(values.min())), 0.95 * high)
    return (low, high) if scale == "log" else (min(float(values.min()), 0.95 * high), high)


def _levels(values: np.ndarray, shares: list[float]) -> list[float]:
    """Return the values of the surfaces, at shares of the sorted cells; none where everything is the same."""
    found = np.unique(np.quantile(values, shares))
    return [float(v) for v in found] if found[-1] > 1.001 * found[0] else []


def _surfaces(colour: str, levels: list[float], unit: str) -> str:
    """Say what the surfaces are."""
    if not levels:
        return " the concentration is the same everywhere: no surfaces." if colour.islower() else ""
    return f" {colour} surfaces are where it is {' and '.join(f'{v:.3g}' for v in levels)} {unit}."


def run_renderer(words: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Run the renderer in a child process on arrays that it reads from a scratch file."""
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "scene.npz"
        np.savez(source, words=np.array(json.dumps(words)), **arrays)  # type: ignore[arg-type]
        command = [sys.executable, "-m", "krogh.plots.render", str(source)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise ConvergenceError("volume picture", got=f"no answer in {_SECONDS} s", hint="use --view section") from None
    if done.returncode != 0 or not Path(words["out"]).is_file():
        lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
        why = lines[-1] if lines else f"exit status {done.returncode}"
        raise ConvergenceError(
            "volume picture", got=f"the renderer failed ({why[:120]})", hint="use --view section, or --view vtk for ParaView"
        )


def _stretched(one: xr.Dataset) -> tuple[np.ndarray, list[list[Any]]]:
    """Return x edges [um on the scale of y], every layer stretched to its band, and the names with their places."""
    bands = layer_bands(one)
    scale = float(_edges(one, "y")[-1]) / bands[-1].edges[-1]
    edges = np.concatenate([bands[0].edges[:1], *(b.edges[1:] for b in bands)]) * scale
    return edges, [[f"{b.name} {b.size}".replace("µ", "u"), float(b.middle * scale)] for b in bands]


def _edges(one: xr.Dataset, axis: str) -> np.ndarray:
    centers = one[axis].values * 1e6
    inner = 0.5 * (centers[1:] + centers[:-1])
    end = 2 * centers[-1] - inner[-1] if inner.size else 2 * centers[0]
    return np.concatenate([[0.0], inner, [end]])
