"""Write fields for ParaView: rectilinear (VTR) and uniform grids (VTI), vessels (VTP), series in time (PVD), as plain XML."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

from krogh.io.folder import output_errors

__all__ = ["write_rectilinear", "write_series", "write_uniform", "write_vessels"]


def _array(name: str, values: np.ndarray, components: int = 1) -> str:
    """Return one array as XML: base64 of its length in bytes and its bytes."""
    kinds = {"f": ("Float32", np.float32), "i": ("Int64", np.int64), "u": ("UInt8", np.uint8)}
    kind, dtype = kinds[values.dtype.kind]
    raw = np.ascontiguousarray(values, dtype=dtype).tobytes()
    text = base64.b64encode(np.uint32(len(raw)).tobytes() + raw).decode()
    return (
        f'<DataArray type="{kind}" Name={quoteattr(name)} NumberOfComponents="{components}" format="binary">{text}</DataArray>\n'
    )


def _file(kind: str, body: str) -> str:
    head = f'<?xml version="1.0"?>\n<VTKFile type="{kind}" version="0.1" byte_order="LittleEndian" header_type="UInt32">\n'
    return head + body + "</VTKFile>\n"


def _cells(fields: Mapping[str, np.ndarray]) -> str:
    """Return fields (nx, ny, nz) as cell data; VTK runs x fastest."""
    return (
        "<CellData>\n" + "".join(_array(n, np.asarray(v).transpose(2, 1, 0).ravel()) for n, v in fields.items()) + "</CellData>\n"
    )


def write_rectilinear(path: Path, edges: tuple[np.ndarray, np.ndarray, np.ndarray], fields: Mapping[str, np.ndarray]) -> Path:
    """Write cell fields (nx, ny, nz) on a grid with these cell edges as ``.vtr``.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    extent = " ".join(f"0 {e.size - 1}" for e in edges)
    coordinates = "".join(_array(n, np.asarray(e, dtype=np.float32)) for n, e in zip("xyz", edges, strict=True))
    body = (
        f'<RectilinearGrid WholeExtent="{extent}"><Piece Extent="{extent}">\n{_cells(fields)}'
        f"<Coordinates>\n{coordinates}</Coordinates>\n</Piece></RectilinearGrid>\n"
    )
    return _write(path, _file("RectilinearGrid", body))


def write_uniform(path: Path, origin: tuple[float, float, float], spacing: float, fields: Mapping[str, np.ndarray]) -> Path:
    """Write cell fields (nx, ny, nz) on equal cubes as ``.vti``."""
    shape = next(iter(fields.values())).shape
    extent = " ".join(f"0 {n}" for n in shape)
    start = " ".join(f"{v:.9g}" for v in origin)
    body = (
        f'<ImageData WholeExtent="{extent}" Origin="{start}" Spacing="{spacing:.9g} {spacing:.9g} {spacing:.9g}">'
        f'<Piece Extent="{extent}">\n{_cells(fields)}</Piece></ImageData>\n'
    )
    return _write(path, _file("ImageData", body))


def write_vessels(path: Path, points: np.ndarray, segments: np.ndarray, fields: Mapping[str, np.ndarray]) -> Path:
    """Write segments (m, 2) between points (n, 3) with their cell fields (m,) as ``.vtp`` (ParaView: Tube filter)."""
    m = segments.shape[0]
    cells = "<CellData>\n" + "".join(_array(n, np.asarray(v, dtype=np.float32)) for n, v in fields.items()) + "</CellData>\n"
    body = (
        f'<PolyData><Piece NumberOfPoints="{len(points)}" NumberOfVerts="0" NumberOfLines="{m}" NumberOfStrips="0" '
        f'NumberOfPolys="0">\n'
        f"{cells}<Points>\n{_array('points', np.asarray(points, dtype=np.float32).ravel(), 3)}</Points>\n"
        f"<Lines>\n{_array('connectivity', segments.astype(np.int64).ravel())}"
        f"{_array('offsets', 2 * np.arange(1, m + 1))}</Lines>\n</Piece></PolyData>\n"
    )
    return _write(path, _file("PolyData", body))


def write_series(path: Path, files: Sequence[Path], times_s: Sequence[float]) -> Path:
    """Write the list of files with their times [s] as ``.pvd``, which ParaView opens as one series.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    rows = "".join(
        f'<DataSet timestep="{t:.9g}" part="0" file={quoteattr(f.name)}/>\n' for f, t in zip(files, times_s, strict=True)
    )
    return _write(path, _file("Collection", f"<Collection>\n{rows}</Collection>\n"))


def _write(path: Path, text: str) -> Path:
    with output_errors(str(path)):
        path.write_text(text, encoding="ascii")
    return path
