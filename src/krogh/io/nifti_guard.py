"""Decide from the first bytes of a NIfTI file whether it can be read, before anything is allocated.

What a header claims is not believed: sizes are compared with the file, with fixed limits and with the free memory. This module
reads headers only; :mod:`krogh.io.nifti` reads the voxels.
"""

from __future__ import annotations

import contextlib
import gzip
import math
import os
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from krogh.errors import InputError
from krogh.memory import free_memory_bytes

__all__ = ["MAX_VOXELS", "SPARE_BYTES", "CheckedHeader", "check_header", "open_stream", "read_errors"]

MAX_VOXELS = 2**31
SPARE_BYTES = 1024
MEMORY_SHARE = 0.6
_MAX_GZIP_RATIO = 1100  # deflate cannot do better than 1032:1
_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
_REPAIR = "check the file, or convert it again from the scanner's files"


@dataclass(frozen=True)
class CheckedHeader:
    """Hold what a header says, after it was compared with the file.

    Attributes
    ----------
    shape : tuple of int
        Three or four lengths.
    dtype : numpy.dtype
        As stored, with its byte order.
    offset : int
        First byte of the voxels in the (decompressed) file.
    n_bytes : int
        Bytes of the voxels.
    slope, intercept : float
        ``value = stored * slope + intercept``.
    affine : ndarray, shape (4, 4), float64
        Voxel index to millimetres.
    raw : nibabel.Nifti1Header
        The header itself, for the geometry of maps written later.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    n_bytes: int
    slope: float
    intercept: float
    affine: NDArray[np.float64]
    raw: Any


@contextlib.contextmanager
def read_errors(where: str) -> Iterator[None]:
    """Collapse every way in which reading can fail into one :class:`~krogh.errors.InputError`."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(where, got="no such file") from None
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise InputError(where, got="damaged or cut-off gzip data", hint=_REPAIR) from None
    except MemoryError:
        raise InputError(where, got="more data than the free memory holds", hint="use a machine with more memory") from None
    except OSError as error:
        raise InputError(where, got=error.strerror or str(error) or "an unreadable file") from None
    except Exception as error:  # header maths of nibabel: HeaderDataError, WrapStructError, ValueError, OverflowError
        raise InputError(where, got=f"a damaged NIfTI header ({type(error).__name__})", hint=_REPAIR) from None


@contextlib.contextmanager
def open_stream(path: Path) -> Iterator[IO[bytes]]:
    """Open a regular file, decompressed where it is gzip."""
    if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - follows links; a pipe would hang
        raise InputError(path.name, got="not a regular file", expected="a .nii or .nii.gz file")
    with path.open("rb") as plain:
        compressed = plain.read(2) == b"\x1f\x8b"
        plain.seek(0)
        if not compressed:
            yield plain
            return
        with gzip.GzipFile(fileobj=plain) as stream:
            yield stream  # type: ignore[misc]


def check_header(path: Path, where: str) -> CheckedHeader:
    """Read and judge the header of `path`; nothing larger than it is allocated.

    Raises
    ------
    InputError
        If the file is no single-file NIfTI, or its header is wrong or promises more than the file or the limits allow.
    """
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    with open_stream(path) as stream:
        compressed = isinstance(stream, gzip.GzipFile)
        start = _first_member(path) if compressed else stream.read(540)
    size = path.stat().st_size
    kind = Nifti2Header if start[:4] in (b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c") else Nifti1Header
    length = 540 if kind is Nifti2Header else 348
    known = start[:4] in (b"\x5c\x01\x00\x00", b"\x00\x00\x01\x5c") or kind is Nifti2Header
    magic = start[4:8] if kind is Nifti2Header else start[344:348]
    if len(start) < length or not known:
        raise InputError(where, got="not a NIfTI file", expected="a .nii or .nii.gz file")
    if magic not in (b"n+1\x00", b"n+2\x00"):
        got = "a detached .hdr/.img header" if magic in (b"ni1\x00", b"ni2\x00") else "a file without the NIfTI mark"
        raise InputError(where, got=got, expected="a single-file .nii or .nii.gz")
    header = kind(start[:length], check=False)
    shape, dtype = _shape_and_type(header, where)
    slope, intercept = _scaling(header, where)
    checked = CheckedHeader(
        shape,
        dtype,
        _offset(header, length, where),
        math.prod(shape) * dtype.itemsize,
        slope,
        intercept,
        _affine(header, where),
        header,
    )
    _check_size(checked, size, compressed=compressed, where=where)
    return checked


def _first_member(path: Path) -> bytes:
    """Return the first 540 bytes of the first member of a gzip file: one made of empty members is not followed to its end."""
    with path.open("rb") as plain:
        return zlib.decompressobj(wbits=31).decompress(plain.read(65536), 540)


def _shape_and_type(header: Any, where: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    dims = [int(d) for d in header["dim"]]
    if not 1 <= dims[0] <= 7 or any(d < 1 for d in dims[1 : dims[0] + 1]):
        raise InputError(where, got=f"image lengths {dims[1:]} in {dims[0]} dimensions", expected="lengths >= 1", hint=_REPAIR)
    shape = tuple(dims[1 : dims[0] + 1])
    shape = (*shape, 1, 1)[: max(3, len(shape))][:3] + tuple(d for d in shape[3:] if d > 1)
    if len(shape) > 4:
        raise InputError(where, got=f"{len(shape)} dimensions {shape}", expected="3 or 4 dimensions")
    code = int(header["datatype"])
    if code not in _TYPES:
        raise InputError(where, got=f"voxel type code {code}", expected="whole numbers, float32 or float64")
    dtype = np.dtype(_TYPES[code]).newbyteorder(header.endianness)
    if int(header["bitpix"]) != 8 * dtype.itemsize:
        raise InputError(
            where, got=f"bitpix {int(header['bitpix'])} for {dtype.name} voxels", expected=str(8 * dtype.itemsize), hint=_REPAIR
        )
    if math.prod(shape) > MAX_VOXELS:
        raise InputError(
            where, got=f"a header that claims {math.prod(shape):.3g} voxels", expected=f"at most {MAX_VOXELS}", hint=_REPAIR
        )
    return shape, dtype


def _scaling(header: Any, where: str) -> tuple[float, float]:
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or math.isnan(slope):
        return 1.0, 0.0
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise InputError(where, got=f"scaling {slope} and {intercept}", expected="finite scl_slope and scl_inter", hint=_REPAIR)
    return slope, intercept


def _offset(header: Any, length: int, where: str) -> int:
    value = float(header["vox_offset"])
    if value == 0:
        return length + 4
    if not math.isfinite(value) or value < length + 4 or value != int(value) or value > 2**31:
        raise InputError(where, got=f"vox_offset {value}", expected=f"a whole number >= {length + 4}", hint=_REPAIR)
    return int(value)


def _affine(header: Any, where: str) -> NDArray[np.float64]:
    if int(header["sform_code"]) > 0:
        affine = header.get_sform()
    else:
        plain = header.copy()
        plain["pixdim"][1:4] = np.abs(plain["pixdim"][1:4])
        plain["pixdim"][0] = -1.0 if plain["pixdim"][0] < 0 else 1.0
        affine = plain.get_qform() if int(header["qform_code"]) > 0 else plain.get_base_affine()
    affine = np.asarray(affine, dtype=np.float64)
    lengths = np.sqrt((affine[:3, :3] ** 2).sum(axis=0)) if np.isfinite(affine).all() else np.zeros(3)
    usable = bool(np.all(lengths > 1e-6) and np.all(lengths < 1e6))
    if not usable or abs(np.linalg.det(affine[:3, :3] / lengths)) < 1e-6:
        raise InputError(
            where, got="an orientation matrix that is singular or not finite", expected="a usable qform or sform", hint=_REPAIR
        )
    return affine


def _check_size(header: CheckedHeader, size: int, *, compressed: bool, where: str) -> None:
    need = header.offset + header.n_bytes
    if compressed and need > _MAX_GZIP_RATIO * size:
        raise InputError(where, got=f"a header that claims {need:.3g} bytes in a gzip file of {size}", hint=_REPAIR)
    if compressed and size > 1.02 * need + 65536:
        raise InputError(
            where, got=f"a gzip file of {size} bytes", expected=f"less than the {need} its header says", hint=_REPAIR
        )
    if not compressed and size < need:
        raise InputError(where, got=f"{size} bytes", expected=f"{need} as its header says", hint=_REPAIR)
    if not compressed and size > need + SPARE_BYTES:
        raise InputError(where, got=f"{size} bytes", expected=f"{need} as its header says", hint=_REPAIR)
    # stored bytes, the float32 copy and the working set of a fit
    n_voxels = math.prod(header.shape)
    wanted = header.n_bytes + 4 * n_voxels
    if wanted > MEMORY_SHARE * free_memory_bytes():
        got = f"an image that needs {wanted / 2**30:.1f} GB of memory"
        raise InputError(where, got=got, expected="at most 60 % of what is free", hint="crop it, or free memory")
