"""Read the numbers of a MATLAB 5 ``.mat`` file in pure Python, with every length checked.

The usual reader crashes the process on some damaged files; a protocol from a stranger must not. Read are real numeric arrays and
scalar structs of them, one level deep; anything else (text, cells, objects) is passed over.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from krogh.errors import InputError

__all__ = ["read_mat"]

MAX_FILE_BYTES = 4_000_000
MAX_VARIABLE_BYTES = 64_000_000
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_MATRIX, _COMPRESSED = 14, 15
_STRUCT, _NUMERIC = 2, range(6, 16)
_MAX_FIELDS = 1000

Variables = dict[str, Any]


def read_mat(path: Path) -> Variables:
    """Return numeric variables as flat float64 arrays, and structs as dictionaries of such arrays.

    Raises
    ------
    InputError
        If the file is missing, too large, MATLAB 7.3 (HDF5), or damaged.
    """
    if not path.is_file():
        raise InputError(path.name, got="no such file")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise InputError(path.name, got=f"{path.stat().st_size} bytes", expected=f"a protocol of at most {MAX_FILE_BYTES}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(path.name, got=error.strerror or "an unreadable file") from None
    if content[:8] == b"\x89HDF\r\n\x1a\n" or content[124:128] in (b"\x00\x02IM", b"\x02\x00MI"):
        raise InputError(path.name, got="a MATLAB 7.3 file", expected="MATLAB 5", hint="save it with save(..., '-v7')")
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None:
        raise InputError(path.name, got="no MATLAB file", expected="a MATLAB 5 .mat file")
    found: Variables = {}
    try:
        for kind, data in _elements(content[128:], order):
            body = _inflate(data) if kind == _COMPRESSED else data
            inner = _elements(body, order) if kind == _COMPRESSED else iter([(kind, data)])
            for inner_kind, inner_data in inner:
                if inner_kind == _MATRIX:
                    name, value = _matrix(inner_data, order, depth=0)
                    if value is not None:
                        found[name] = value
    except (ValueError, struct.error, zlib.error, MemoryError, OverflowError):
        raise InputError(path.name, got="a damaged .mat file", hint="save it again") from None
    return found


def _inflate(data: bytes) -> bytes:
    machine = zlib.decompressobj()
    body = machine.decompress(data, MAX_VARIABLE_BYTES)
    if machine.unconsumed_tail:
        raise ValueError("too large")
    return body


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yield type and bytes of the elements in `data`."""
    at = 0
    while at + 8 <= len(data):
        first, size = struct.unpack_from(f"{order}II", data, at)
        if first >> 16:  # small element: size and type share a word, four bytes of data follow
            size, first = first >> 16, first & 0xFFFF
            if size > 4:
                raise ValueError("small element")
            yield first, data[at + 4 : at + 4 + size]
            at += 8
            continue
        if size > len(data) - at - 8:
            raise ValueError("element beyond the end")
        yield first, data[at + 8 : at + 8 + size]
        at += 8 + size + (0 if first == _COMPRESSED else -size % 8)


def _matrix(data: bytes, order: str, *, depth: int) -> tuple[str, Any]:
    """Return name and value of a matrix element; value None where it is of no use here."""
    parts = _elements(data, order)
    try:
        (_, flags), (_, dims), (_, name_bytes) = next(parts), next(parts), next(parts)
    except StopIteration:  # an empty matrix
        return "", None
    kind = int(np.frombuffer(flags, f"{order}u4", 1)[0]) & 0xFF
    is_complex = bool(int(np.frombuffer(flags, f"{order}u4", 1)[0]) & 0x800)
    shape = np.frombuffer(dims, f"{order}i4")
    name = name_bytes.decode("latin-1")
    if kind in _NUMERIC and not is_complex:
        return name, _numbers(next(parts, (5, b"")), order, int(np.prod(shape, dtype=np.int64)))
    if kind == _STRUCT and depth == 0 and int(np.prod(shape, dtype=np.int64)) == 1:
        return name, _fields(parts, order)
    return name, None


def _fields(parts: Iterator[tuple[int, bytes]], order: str) -> Variables:
    width = int(_numbers(next(parts, (5, b"")), order, 1)[0])
    names = next(parts, (1, b""))[1]
    if width < 1 or len(names) // width > _MAX_FIELDS:
        raise ValueError("field names")
    labels = [names[i : i + width].split(b"\0")[0].decode("latin-1") for i in range(0, len(names), width)]
    fields: Variables = {}
    for label, (kind, body) in zip(labels, parts, strict=False):
        value = _matrix(body, order, depth=1)[1] if kind == _MATRIX else None
        if value is not None:
            fields[label] = value
    return fields


def _numbers(element: tuple[int, bytes], order: str, count: int) -> NDArray[np.float64]:
    kind, data = element
    if kind not in _NUMBERS:
        raise ValueError("no numbers")
    values = np.frombuffer(data, f"{order}{_NUMBERS[kind]}").astype(np.float64)
    if values.size != count:
        raise ValueError("count")
    return values
