"""Write simulated scans with their truth as a dataset that ``krogh fexi fit`` reads back; read lists of tissues."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from krogh.errors import InputError
from krogh.fexi.interface import SignalModel
from krogh.fexi.phantom import Phantom
from krogh.fexi.protocol import Protocol
from krogh.io.bids import Dataset, write_tsv
from krogh.io.fexi_protocol import read_text, write_protocol
from krogh.io.nifti import new_geometry
from krogh.io.provenance import write_json
from krogh.runs.fexi_maps import ParameterMap
from krogh.runs.fexi_parameters import shown, shown_by_name

__all__ = ["read_tissues", "write_phantom", "write_voxels"]

_TRUTH = {
    "vb": ("1", 1.0, "blood water fraction, mean over the tissues of the voxel"),
    "k": ("1/s", 1.0, "exchange rate k_ie + k_ei, mean over the tissues weighted by blood fraction"),
    "kie": ("1/s", 1.0, "exchange rate blood to tissue, mean over the tissues weighted by blood fraction"),
    "adc": ("um2/ms", 1e-9, "apparent diffusion coefficient for b -> 0, f_i D_i + f_e D_e"),
}


def read_tissues(path: Path, model: SignalModel) -> NDArray[np.float64]:
    """Return the tissues of a CSV file [voxel, param], SI; one column per parameter of `model` in the unit shown to users.

    Raises
    ------
    InputError
        If a column is missing or unknown, or an entry is no finite number.
    """
    rows = list(csv.reader(io.StringIO(read_text(path))))
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    if len(rows) < 2:
        raise InputError(path.name, got="no rows", expected="a header line and one tissue per row")
    columns = [shown_by_name(name, f"{path.name}, header", model.parameter_names) for name in rows[0]]
    fields = [column.field for column in columns]
    if missing := [shown(name).name for name in model.parameter_names if name not in fields]:
        raise InputError(
            path.name, got=f"no column {missing[0]}", expected=", ".join(shown(n).name for n in model.parameter_names)
        )
    theta = np.empty((len(rows) - 1, len(fields)))
    for i, row in enumerate(rows[1:]):
        if len(row) != len(columns):
            raise InputError(f"{path.name}, row {i + 1}", got=f"{len(row)} entries", expected=str(len(columns)))
        for j, cell in enumerate(row):
            try:
                value = float(cell)
            except ValueError:
                value = math.nan
            if not math.isfinite(value):
                raise InputError(f"{path.name}, row {i + 1}, {columns[j].name}", got=repr(cell[:40]), expected="a finite number")
            theta[i, model.parameter_names.index(fields[j])] = value * columns[j].si_per_unit
    return theta


def _write_scan(data: Dataset, signals: NDArray[Any], protocol: Protocol, sidecar: Mapping[str, Any]) -> list[Path]:
    image = data.write("dwi", signals, {"SkullStripped": False, **sidecar}, description="krogh simulated FEXI")
    stem = image.with_name(image.name.removesuffix(".nii.gz"))
    b_s_mm2 = protocol.b_s_m2 / 1e6
    stem.with_suffix(".bval").write_text(" ".join(f"{b:g}" for b in b_s_mm2) + "\n", encoding="ascii")
    directions = protocol.directions
    if directions is None:  # the simulated tissue is isotropic: any direction is right
        directions = np.array([[1.0, 0.0, 0.0]]) * (b_s_mm2 > 0)[:, None]
    lines = "".join(" ".join(f"{v:.6g}" for v in axis) + "\n" for axis in directions.T)
    stem.with_suffix(".bvec").write_text(lines, encoding="ascii")
    table = image.with_name(image.name.replace("_dwi.nii.gz", "_fexi.tsv"))
    write_protocol(table, protocol)
    return [image, table]


def write_voxels(
    folder: Path, signals: NDArray[Any], theta: NDArray[Any], model: SignalModel, protocol: Protocol, sidecar: Mapping[str, Any]
) -> list[Path]:
    """Write voxels [voxel, volume] as an image of up to 1,000 voxels a row, and their truth as ``voxels.tsv``.

    Voxel number n of the table lies at index ``(n % width, n // width, 0)``; the rest of the last row is NaN.
    """
    count = signals.shape[0]
    width = min(count, 1000)
    grid = np.full((width, math.ceil(count / width), 1, signals.shape[1]), np.nan, np.float32)
    index = np.arange(count)
    grid[index % width, index // width, 0] = signals
    data = Dataset(folder, "01", new_geometry(np.eye(4)), sidecar)
    data.describe("Simulated FEXI voxels", "A FEXI scan of voxels whose tissue is in voxels.tsv.")
    files = _write_scan(data, grid, protocol, {"Description": "simulated FEXI signals, arbitrary unit", "Isotropic": True})
    mask = np.isfinite(grid[..., 0])
    mask_file = data.write(
        "desc-brain_mask", mask, {"Type": "Brain", "Description": "voxels with a tissue", "SkullStripped": False}, dtype="u1"
    )
    names = [shown(field) for field in model.parameter_names]
    rows = [
        {"voxel": n, **{p.name: float(v / p.si_per_unit) for p, v in zip(names, values, strict=True)}}
        for n, values in enumerate(theta)
    ]
    write_tsv(folder / "voxels.tsv", rows)
    write_json(folder / "voxels.json", {p.name: {"Units": p.unit, "Description": p.words} for p in names})
    return [*files, mask_file, folder / "voxels.tsv"]


def write_phantom(
    folder: Path, phantom: Phantom, signals: NDArray[Any], protocol: Protocol, sidecar: Mapping[str, Any], *,
    fitted: Mapping[str, ParameterMap] | None = None,
) -> list[Path]:  # fmt: skip
    """Write the scan of a phantom, its mask, labels and true maps; return the files.

    `fitted` are maps of the AXR model fitted to the noise-free scan, written as ``desc-noisefree``.
    """
    data = Dataset(folder, "01", new_geometry(phantom.affine), sidecar)
    data.describe("Simulated FEXI head", "A simulated FEXI scan of a digital head; the maps with desc-truth are what went in.")
    files = _write_scan(data, signals, protocol, {"Description": "simulated FEXI signals, arbitrary unit", "Isotropic": True})
    words: dict[str, Any] = {"Description": "tissue that fills most of the voxel", "SkullStripped": False}
    names = {str(value): tissue.name for value, tissue in phantom.tissues.items()}
    inside = {"Description": "voxels at least half full of tissue", "SkullStripped": False, "Type": "Brain"}
    files.append(data.write("desc-brain_mask", phantom.mask, inside, dtype="u1"))
    files.append(data.write("desc-tissue_dseg", phantom.labels, {**words, "LabelMap": names}, dtype="u1"))
    for name, values in phantom.truth.items():
        unit, factor, meaning = _TRUTH[name]
        files.append(data.write_parameter(name, values / factor, {"Units": unit, "Description": meaning}, desc="truth"))
    for name, m in (fitted or {}).items():
        meaning = f"{m.words}, fitted to the scan without noise: what the AXR model gives at infinite SNR"
        files.append(data.write_parameter(name, m.values, {"Units": m.units, "Description": meaning}, desc="noisefree"))
    return files


def tissue_records(phantom: Phantom) -> Sequence[dict[str, Any]]:
    """Return one row per tissue of the phantom, in the units shown to users."""
    return [
        {
            "label": value, "tissue": t.name, "voxels": int((phantom.labels == value).sum()), "f_i": t.vascular_fraction,
            "d_i_um2_ms": t.d_i_m2_s * 1e9, "d_e_um2_ms": t.d_e_m2_s * 1e9, "k_per_s": t.k_per_s, "t1_s": t.t1_s, "t2_s": t.t2_s,
            "source": t.source,
        }
        for value, t in phantom.tissues.items()
    ]  # fmt: skip
