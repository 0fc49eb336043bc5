"""Read NIfTI images without trusting them, and write maps that keep the geometry of the scan.

Every refusal is one :class:`~krogh.errors.InputError`. NaN and infinite voxels are no error: the fit flags them. The guards are
in :mod:`krogh.io.nifti_guard`.
"""

from __future__ import annotations

import gzip
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from krogh.errors import InputError
from krogh.io.nifti_guard import SPARE_BYTES, CheckedHeader, check_header, open_stream, read_errors

__all__ = ["Image", "new_geometry", "read_dwi", "read_image", "read_labels", "read_mask", "write_map"]

_PIECE = 1 << 22
_GEOMETRY = (
    *("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("srow_x", "srow_y", "srow_z", "xyzt_units"),
)


@dataclass(frozen=True)
class Image:
    """Hold an image in memory.

    Attributes
    ----------
    data : ndarray, shape (x, y, z) or (x, y, z, volume), float32
        Scaled values, x fastest in memory.
    affine : ndarray, shape (4, 4)
        Voxel index to millimetres.
    header : nibabel.Nifti1Header
        Header of the file, copied into maps.
    name : str
        File name without folders, for messages.
    """

    data: NDArray[np.float32]
    affine: NDArray[np.float64]
    header: Any
    name: str

    @property
    def voxel_size_mm(self) -> tuple[float, float, float]:
        """Return the edge lengths of a voxel [mm]."""
        edges = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        return float(edges[0]), float(edges[1]), float(edges[2])


def read_image(path: str | Path, *, where: str | None = None) -> Image:
    """Read a ``.nii`` or ``.nii.gz`` file into float32.

    Parameters
    ----------
    path : str or Path
        NIfTI-1 or NIfTI-2, either byte order, whole or real numbers.
    where : str, optional
        Name used in errors; default the file name.

    Returns
    -------
    Image
        Scaled by ``scl_slope`` and ``scl_inter``.

    Raises
    ------
    InputError
        If the file cannot be read whole, or its header is wrong or promises more than the limits.
    """
    path = Path(path)
    where = where or path.name
    with read_errors(where):
        header = check_header(path, where)
        return Image(_scaled(_read_voxels(path, header, where), header), header.affine, header.raw, path.name)


def _read_voxels(path: Path, header: CheckedHeader, where: str) -> NDArray[Any]:
    stored = np.empty(math.prod(header.shape), dtype=header.dtype)
    view = memoryview(stored.view(np.uint8))  # type: ignore[arg-type]
    with open_stream(path) as stream:
        skip = header.offset
        while skip and (piece := stream.read(min(skip, _PIECE))):
            skip -= len(piece)
        done = 0
        while done < header.n_bytes:
            count = stream.readinto(view[done : done + _PIECE])  # type: ignore[attr-defined]
            if not count:
                break
            done += count
        if skip or done < header.n_bytes:
            raise InputError(
                where, got=f"{done} bytes of voxels", expected=f"{header.n_bytes} as its header says", hint="copy the file again"
            )
        spare = 0
        while piece := stream.read(SPARE_BYTES + 1):  # to the end, so that the checksum of gzip is compared
            spare += len(piece)
            if spare > SPARE_BYTES:
                raise InputError(where, got="more data than its header says", hint="header and voxels do not belong together")
    return stored.reshape(header.shape, order="F")


def _scaled(stored: NDArray[Any], header: CheckedHeader) -> NDArray[np.float32]:
    with np.errstate(all="ignore"):  # a signalling NaN or 1e300 becomes NaN or inf and is flagged by the fit
        if header.slope == 1.0 and header.intercept == 0.0:
            return stored.astype(np.float32, order="F", copy=False)
        values = np.empty(stored.shape, dtype=np.float32, order="F")
        for k in range(stored.shape[2]):  # a slice at a time: no float64 copy of the whole
            values[:, :, k] = stored[:, :, k].astype(np.float64) * header.slope + header.intercept
        return values


def read_dwi(path: str | Path) -> Image:
    """Read a 4-D series; a 3-D image or a single volume is refused."""
    image = read_image(path)
    if image.data.ndim != 4:
        expected = "a 4-D series, one volume per row of the protocol"
        raise InputError(image.name, got=f"a 3-D image {image.data.shape}", expected=expected)
    return image


def _same_grid(image: Image, reference: Image, what: str) -> NDArray[np.float32]:
    where, shape = f"{what} {image.name}", image.data.shape
    if image.data.ndim != 3:
        raise InputError(where, got=f"{image.data.ndim} dimensions {shape}", expected="a 3-D image")
    if shape != reference.data.shape[:3]:
        raise InputError(where, got=f"shape {shape}", expected=f"{reference.data.shape[:3]} as {reference.name}")
    corners = np.array([[i, j, k, 1.0] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) * np.array([*image.data.shape, 1.0])
    off_mm = float(np.abs((corners @ (image.affine - reference.affine).T)[:, :3]).max())
    if off_mm > 0.1 * min(reference.voxel_size_mm):
        got = f"a position or orientation {off_mm:.3g} mm off {reference.name}"
        raise InputError(where, got=got, hint="resample it to the grid of the scan")
    return image.data


def read_mask(path: str | Path, reference: Image) -> NDArray[np.bool_]:
    """Read a mask on the grid of `reference`; non-zero and finite is inside.

    Raises
    ------
    InputError
        If shape, orientation or position differ, or no voxel is inside.
    """
    values = _same_grid(read_image(path), reference, "mask")
    mask = np.isfinite(values) & (values != 0)
    if not mask.any():
        raise InputError(f"mask {Path(path).name}", got="no voxel inside", expected="at least one non-zero voxel")
    return mask


def read_labels(path: str | Path, reference: Image) -> NDArray[np.int32]:
    """Read whole-number region labels on the grid of `reference`; 0 is outside.

    Raises
    ------
    InputError
        If the grid differs, a value is no whole number from 0 to 2^24 (which float32 holds exactly), or every label is 0.
    """
    values = _same_grid(read_image(path), reference, "labels")
    if not np.isfinite(values).all() or (values != np.rint(values)).any() or (values < 0).any() or (values > 2**24).any():
        raise InputError(
            f"labels {Path(path).name}", got="values that are no labels", expected="whole numbers from 0 (outside) to 16777216"
        )
    labels = values.astype(np.int32)
    if not labels.any():
        raise InputError(f"labels {Path(path).name}", got="only 0", expected="at least one labelled voxel")
    return labels


def new_geometry(affine: NDArray[np.float64]) -> Any:
    """Return a header for images that come from no file (phantoms): sform and qform set to `affine` [mm], units mm and s."""
    from nibabel.nifti1 import Nifti1Header

    header = Nifti1Header()
    header.set_data_shape((1, 1, 1))
    header.set_qform(affine, code=1)
    header.set_sform(affine, code=1)
    header.set_xyzt_units("mm", "sec")
    return header


def write_map(path: Path, values: NDArray[Any], header: Any, *, description: str = "", dtype: str = "f4") -> None:
    """Write a map with the geometry of `header`; the same values give the same bytes.

    Parameters
    ----------
    path : Path
        A name ending in ``.nii.gz``.
    values : ndarray, shape (x, y, z) or (x, y, z, volume)
        NaN where there is no value.
    header : nibabel.Nifti1Header
        Its affine fields, codes, voxel sizes and units are copied bit for bit; nothing else is.
    description : str, optional
        At most 79 characters.
    dtype : str, optional
        Voxel type as numpy names it; ``"f4"`` for maps, ``"u1"`` or ``"i4"`` for flags and labels.
    """
    fresh = type(header)(endianness="<")
    fresh.set_data_dtype(np.dtype(dtype))
    fresh["dim"][: values.ndim + 1] = (values.ndim, *values.shape)
    fresh["dim"][values.ndim + 1 :] = 1
    fresh["pixdim"][:4] = header["pixdim"][:4]
    fresh["pixdim"][4:] = 1.0
    for name in _GEOMETRY:
        fresh[name] = header[name]
    fresh["vox_offset"] = len(fresh.binaryblock) + 4
    fresh["scl_slope"], fresh["scl_inter"] = 1.0, 0.0
    fresh["descrip"] = description.encode("ascii", "replace")[:79]
    finite = values[np.isfinite(values)].astype(np.float64)
    if finite.size:
        fresh["cal_min"], fresh["cal_max"] = np.percentile(finite, [0.5, 99.5])
    body = np.asarray(values).astype(np.dtype(dtype).newbyteorder("<"), copy=False).tobytes(order="F")
    with path.open("wb") as plain, gzip.GzipFile(filename="", mode="wb", compresslevel=4, fileobj=plain, mtime=0) as stream:
        stream.write(fresh.binaryblock + b"\x00\x00\x00\x00")
        stream.write(body)
