"""Read a map over the barrier (a grey picture, or a table of densities), or a volume of tissue."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from krogh.errors import InputError
from krogh.runs.config import BlockConfig

__all__ = ["read_map", "read_maps", "read_volume"]

_PICTURES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")


def read_maps(settings: BlockConfig, folder: Path | None = None) -> dict[str, np.ndarray]:
    """Return the maps and volumes by the name that was given; a file in `folder` (that of the settings file) goes first."""
    found = {}
    for table, read in ((settings.patterns, read_map), (settings.tissue, read_volume)):
        for name in (entry.file for entry in table):
            if name is not None:
                beside = (folder or Path()) / name
                found[name] = read(beside if beside.exists() else Path(name))
    return found


def read_volume(path: Path) -> np.ndarray:
    """Return a three-dimensional image (depth, y, z) of a NPY or NIfTI file; voxel sizes are not used.

    Raises
    ------
    InputError
        If the file is missing, or is neither.
    """
    if not path.is_file():
        raise InputError(str(path), got="no such file", expected="a volume (NPY, NIfTI)")
    if path.name.lower().endswith((".nii", ".nii.gz")):
        from krogh.io.nifti import read_image

        return np.asarray(read_image(path).data, dtype=float)
    try:
        return np.asarray(np.load(path, allow_pickle=False), dtype=float)
    except (ValueError, OSError, EOFError, TypeError) as error:
        raise InputError(str(path), got=" ".join(str(error).split())[:80], expected="numbers in NPY or NIfTI format") from None


def read_map(path: Path) -> np.ndarray:
    """Return a two-dimensional map, rows along y: grey values 0..1 of a picture, or the numbers of a CSV or NPY file.

    Raises
    ------
    InputError
        If the file is missing, or is none of these.
    """
    if not path.is_file():
        raise InputError(str(path), got="no such file", expected="a picture (PNG, TIFF, JPEG) or a map (CSV, NPY)")
    if path.suffix.lower() in _PICTURES:
        return _read_picture(path)
    try:
        values = np.load(path, allow_pickle=False) if path.suffix.lower() == ".npy" else np.loadtxt(path, delimiter=",")
        values = np.atleast_2d(np.asarray(values, dtype=float))
    except (ValueError, OSError, EOFError) as error:
        why = " ".join(str(error).split()).split(";")[0].rstrip(".")
        raise InputError(str(path), got=why[:100], expected="numbers, one row per y cell") from None
    bad = np.argwhere(~(np.isfinite(values) & (values >= 0)))
    if bad.size and values.ndim == 2:
        row, column = bad[0]
        raise InputError(f"{path}, row {row + 1}, column {column + 1}", got=f"{values[row, column]:g}",
                         expected="a finite density >= 0 (1 = as the uniform barrier)")  # fmt: skip
    return values


def _read_picture(path: Path) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            white = 65535.0 if picture.mode.startswith("I") else 255.0
            return np.asarray(picture.convert("F"), dtype=float) / white
    except (UnidentifiedImageError, OSError, ValueError):
        raise InputError(str(path), got="a file that is no picture", expected="PNG, TIFF or JPEG") from None
