"""Keep a simulation: zarr for work, CSV for spreadsheets, netCDF for exchange."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from krogh.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["open_results", "write_netcdf", "write_results", "write_summary_csv", "write_timecourse_csv"]

_CURVES = ("plasma_free", "plasma_total", "endothelium", "interstitium", "neuron", "astrocyte", "brain_total")


def _storable(data: xr.Dataset) -> xr.Dataset:
    """Return `data` with text as fixed-width strings, which every format can hold."""
    out = data.copy()
    for name, variable in data.variables.items():
        if variable.dtype == object:
            out[name] = (variable.dims, variable.values.astype(str), variable.attrs)
    return out


def write_results(data: xr.Dataset, folder: Path) -> Path:
    """Write ``results.zarr`` into `folder` and return its path."""
    import warnings

    path = folder / "results.zarr"
    with warnings.catch_warnings():
        # zarr warns that fixed-width text has no final specification yet; xarray reads it back
        warnings.simplefilter("ignore")
        _storable(data).to_zarr(path, mode="w", consolidated=False)
    return path


def open_results(folder: Path) -> xr.Dataset:
    """Return the data set of a run folder.

    Raises
    ------
    InputError
        If the folder holds no readable results.
    """
    import warnings

    import xarray as xr

    path = folder / "results.zarr"
    if not path.is_dir():
        raise InputError(str(folder), got="no results.zarr", expected="a folder written by 'krogh simulate'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return xr.open_zarr(path, consolidated=False).load()
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                str(path), got=f"unreadable results ({type(error).__name__})", hint="run the simulation again"
            ) from None


def write_netcdf(data: xr.Dataset, folder: Path) -> Path:
    """Write ``results.nc`` (netCDF 3, 64-bit offsets) into `folder` and return its path."""
    path = folder / "results.nc"
    _storable(data).to_netcdf(path, engine="scipy", format="NETCDF3_64BIT")
    return path


def write_timecourse_csv(data: xr.Dataset, folder: Path) -> Path:
    """Write ``timecourse.csv``: one row per compound and time, concentrations in mol/m3 (= mM), units in the header."""
    path = folder / "timecourse.csv"
    curves = [c for c in _CURVES if c in data]
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["compound", "time_s", *(f"{c}_mol_m3" for c in curves)])
        times = data["time"].values
        for name in data["compound"].values:
            columns = [data[c].sel(compound=name).values for c in curves]
            for i, t in enumerate(times):
                writer.writerow([name, repr(float(t)), *(_text(column[i]) for column in columns)])
    return path


def write_summary_csv(data: xr.Dataset, folder: Path) -> Path:
    """Write ``summary.csv``: one row per compound and quantity, with its unit."""
    path = folder / "summary.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["compound", "quantity", "value", "unit", "meaning"])
        for name in data["compound"].values:
            row = data.sel(compound=name)
            for key, variable in row.data_vars.items():
                if variable.ndim == 0:
                    value = variable.item()
                    text = value if isinstance(value, str) else _text(value)
                    writer.writerow([name, key, text, variable.attrs.get("units", ""), variable.attrs.get("long_name", "")])
            for way in ("inward", "outward"):
                for route, amount in zip(data["route"].values, row[f"route_{way}"].values, strict=True):
                    if np.isfinite(amount):
                        writer.writerow(
                            [name, f"{route} {way}", _text(amount), row[f"route_{way}"].attrs["units"], "amount that crossed"]
                        )
    return path


def _text(value: float) -> str:
    """Return a number exactly, and nothing for a value that does not exist."""
    return repr(float(value)) if np.isfinite(value) else ""
