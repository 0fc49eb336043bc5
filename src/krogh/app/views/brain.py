"""Pack the maps of a FEXI fit for the viewer, and describe the curve of the voxel under its cross-hair."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from krogh.app.views.figures import layout
from krogh.errors import InputError
from krogh.io.nifti import Image, read_image

if TYPE_CHECKING:
    from krogh.fexi.interface import SignalModel
    from krogh.runs.fexi_voxel import VoxelCurve

__all__ = ["curve_figure", "fitted_maps", "pack_image", "pack_map", "scan_of"]

_NAME = re.compile(r"_param-([A-Za-z0-9]+)_dwimap\.nii\.gz$")
_TITLES = {
    "axr": "AXR, exchange rate",
    "adc": "ADC",
    "sigma": "sigma, filter efficiency",
    "kie": "k_ie, blood to tissue",
    "ps": "PS of water",
    "p": "P, permeability to water",
    "s0": "S0",
    "rmse": "RMSE of the fit",
    "flag": "how the fit ended",
    "k": "k, exchange rate",
    "fi": "f_i, blood fraction",
    "di": "D_i",
    "de": "D_e",
    "kei": "k_ei, tissue to blood",
}
_MAP = {"s0": "gray", "rmse": "cividis", "flag": "viridis"}


def fitted_maps(folder: Path) -> dict[str, Path]:
    """Return the maps of a result folder by short name, truth and noise-free ones left out."""
    found = {}
    for path in sorted(folder.glob("sub-*/dwi/*_dwimap.nii.gz")):
        match = _NAME.search(path.name)
        if match and "_desc-" not in path.name and not path.is_symlink():
            found[match[1]] = path
    return found


def scan_of(folder: Path) -> Path:
    """Return the scan that a job fitted: uploaded, or simulated in an earlier step.

    Raises
    ------
    InputError
        If it is gone.
    """
    found = [p for pattern in ("scan.nii*", "scan/sub-*/dwi/*_dwi.nii.gz") for p in folder.glob(pattern)]
    if not found:
        raise InputError("scan", got="none in the folder of the run", expected="the scan that was fitted")
    return found[0]


def _upright(values: Any, affine: Any) -> Any:
    from nibabel.orientations import apply_orientation, io_orientation

    return np.asarray(apply_orientation(values, io_orientation(affine)))


def pack_map(path: Path, name: str) -> dict[str, Any]:
    """Return one map for the viewer: values in right, anterior, superior order, limits, unit, colours."""
    image = read_image(path, where=f"map {name}")
    values = image.data[..., 0] if image.data.ndim == 4 else image.data
    base, units = name.removesuffix("Sd"), _units(path)
    title = _TITLES.get(base, base) if base == name else f"SD of {_TITLES.get(base, base).split(',')[0]}"
    unit = {"um2/ms": "µm²/ms", "um/s": "µm/s", "1": "", "arbitrary": "arbitrary"}.get(units, units)
    colours = "magma" if name.endswith("Sd") else _MAP.get(name, "viridis")
    return pack_image(values, image, name, title=title, unit=unit, colours=colours)


def pack_image(values: Any, image: Image, name: str, *, title: str, unit: str, colours: str) -> dict[str, Any]:
    """Return values on the grid of `image` for the viewer; S0 also carries the number of each voxel in the file."""
    import matplotlib as mpl

    upright = _upright(values.astype(np.float32), image.affine)
    index = _upright(np.arange(values.size).reshape(values.shape, order="F"), image.affine) if name == "s0" else None
    finite = upright[np.isfinite(upright)]
    low, high = np.percentile(finite, [1, 90 if name.endswith("Sd") else 99]) if finite.size else (0.0, 1.0)
    low = 0.0 if 0 <= low < 0.4 * high else float(low)
    table = mpl.colormaps[colours](np.linspace(0, 1, 256))[:, :3]
    return {
        "name": name,
        "title": title,
        "unit": unit,
        "low": low,
        "high": float(high) if high > low else low + 1.0,
        "shape": list(upright.shape),
        "edges_mm": [float(e) for e in image.voxel_size_mm],
        "values": _text(upright, "<f4"),
        "index": "" if index is None else _text(index, "<u4"),
        "colours": base64.b64encode((table * 255).round().astype(np.uint8).tobytes()).decode("ascii"),
    }


def _text(values: Any, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values.ravel(order="F"), kind).tobytes()).decode("ascii")


def _units(path: Path) -> str:
    sidecar = path.with_name(path.name.removesuffix(".nii.gz") + ".json")
    try:
        return str(json.loads(sidecar.read_text(encoding="utf-8")).get("Units", ""))[:40]
    except (OSError, ValueError, AttributeError):
        return ""


def curve_figure(folder: Path, result: Path, voxel: int, *, dark: bool = False) -> tuple[dict[str, Any], str]:
    """Return ADC' against mixing time of a voxel (number on the grid of the scan, x fastest) as a figure, and its words."""
    from krogh.io.fexi_protocol import read_protocol
    from krogh.io.run_folder import finite, read_run
    from krogh.runs.fexi_voxel import voxel_curve

    protocol = read_protocol(str(next(result.glob("sub-*/dwi/*_desc-used_fexi.tsv"))))
    image = read_image(scan_of(folder), where="scan")
    flat = image.data.reshape((-1, image.data.shape[3]), order="F")
    if not 0 <= voxel < flat.shape[0]:
        raise InputError("voxel", got=voxel, expected=f"0 to {flat.shape[0] - 1}")
    stored = read_run(result)
    curve = voxel_curve(flat[voxel].astype(np.float64), protocol, finite(stored.record.get("noise_sd")), _model(stored.config))
    t = [float(1e3 * v) for v in curve.fit_time_s]
    data: list[dict[str, Any]] = []
    if curve.low is not None and curve.high is not None:
        band = [*map(float, curve.high), *map(float, curve.low[::-1])]
        data.append(
            {
                "x": [*t, *t[::-1]],
                "y": band,
                "fill": "toself",
                "fillcolor": "rgba(0,114,178,.18)",
                "line": {"width": 0},
                "name": "95 % of the fit",
                "hoverinfo": "skip",
                "type": "scatter",
            }
        )
    data.append(
        {
            "x": t,
            "y": [float(v) for v in curve.fit],
            "name": "fit, after the filter",
            "line": {"color": "#0072B2"},
            "type": "scatter",
        }
    )
    ends = [t[0], t[-1]]
    data.append(
        {
            "x": ends,
            "y": [curve.equilibrium] * 2,
            "name": "fit, no filter",
            "line": {"color": "#8C8C8C", "dash": "dash"},
            "type": "scatter",
        }
    )
    for filtered, name, colour, symbol in (
        (True, "measured, after the filter", "#D55E00", "circle"),
        (False, "measured, no filter", "#8C8C8C", "square"),
    ):
        use = curve.filtered == filtered
        errors = [float(e) if np.isfinite(e) else 0.0 for e in curve.error[use]]
        data.append(
            {
                "x": [float(1e3 * v) for v in curve.mixing_time_s[use]],
                "y": [float(v) for v in curve.measured[use]],
                "mode": "markers",
                "type": "scatter",
                "name": name,
                "error_y": {"type": "data", "array": errors},
                "marker": {"color": colour, "size": 9, "symbol": symbol},
            }
        )
    shape = layout(dark, height=330, xaxis={"title": {"text": "mixing time [ms]"}}, yaxis={"title": {"text": "ADC' [µm²/ms]"}})
    return {"data": data, "layout": shape, "config": {"displayModeBar": False, "responsive": True}}, _words(curve)


def _model(config: Mapping[str, Any]) -> SignalModel:
    from krogh.cli.fexi_model import tissue_model

    words = [[str(w) for w in config.get(key) or []] for key in ("bound", "fix", "relax")]
    return tissue_model(str(config.get("model", "axr")), *words)


def _words(curve: VoxelCurve) -> str:
    from krogh.fexi.interface import Flag

    low, high = curve.rate_interval
    name = f"{curve.rate_name} of this voxel"
    if curve.flag != Flag.OK or not (np.isfinite(low) or np.isfinite(high)):
        return f"{name}: not determined ({curve.flag.sentence if curve.flag != Flag.OK else 'its interval has no end'})."
    ends = (f"{low:.2g}" if np.isfinite(low) else "open", f"{high:.2g}" if np.isfinite(high) else "open")
    return f"{name}: {curve.rate_per_s:.2g} 1/s, 95 % interval {ends[0]} to {ends[1]}; noise only."
