"""Read and write Parquet tables (extra ``parquet``)."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from krogh.errors import InputError, UsageError

__all__ = ["parquet_bytes", "read_parquet_text"]

_BATCH = 4096


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise UsageError("Parquet", got="no pyarrow", hint="pip install 'krogh[parquet]', or use CSV") from None
    return pyarrow


def read_parquet_text(path: Path, *, largest: int, most_columns: int = 1000) -> tuple[list[str], Iterator[list[str]]]:
    """Return the names of the columns and the rows, every cell as text; nothing and NaN are empty.

    Raises
    ------
    InputError
        If the file is missing, larger than `largest` bytes or no Parquet table.
    UsageError
        If pyarrow is not installed.
    """
    arrow = _pyarrow()
    if not path.is_file():
        raise InputError(path.name, got="no such file", expected="a Parquet table")
    if path.stat().st_size > largest:
        raise InputError(path.name, got=f"{path.stat().st_size} bytes", expected=f"at most {largest} bytes")
    try:
        table = arrow.parquet.ParquetFile(path)
        names = list(table.schema_arrow.names)
    except (arrow.ArrowException, OSError) as error:
        raise InputError(path.name, got=_short(error), expected="a Parquet table") from None
    if len(names) > most_columns:
        raise InputError(path.name, got=f"{len(names)} columns", expected=f"at most {most_columns}")
    return names, _rows(arrow, table, path)


def _rows(arrow: Any, table: Any, path: Path) -> Iterator[list[str]]:
    try:
        for batch in table.iter_batches(_BATCH):
            for cells in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                yield [_text(c) for c in cells]
    except (arrow.ArrowException, OSError) as error:
        raise InputError(path.name, got=_short(error), expected="a Parquet table that is whole") from None


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:80]


def _text(cell: Any) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    return str(cell)


def parquet_bytes(columns: Sequence[str], records: Sequence[Mapping[str, Any]], about: Mapping[str, str]) -> bytes:
    """Return `records` as a Parquet table; the type of a column is that of its values, `about` goes into its metadata.

    Raises
    ------
    UsageError
        If pyarrow is not installed.
    """
    arrow = _pyarrow()
    arrays = [arrow.array([r.get(c) for r in records], type=_type(arrow, [r.get(c) for r in records])) for c in columns]
    schema = arrow.schema(
        [arrow.field(c, a.type) for c, a in zip(columns, arrays, strict=True)],
        metadata={str(k): str(v) for k, v in about.items()},
    )
    stream = io.BytesIO()
    arrow.parquet.write_table(arrow.Table.from_arrays(arrays, schema=schema), stream, compression="zstd")
    return stream.getvalue()


def _type(arrow: Any, values: Sequence[Any]) -> Any:
    kinds = {type(v) for v in values if v is not None}
    if kinds <= {bool} and kinds:
        return arrow.bool_()
    if kinds <= {int} and kinds:
        return arrow.int64()
    return arrow.float64() if kinds and kinds <= {int, float} else arrow.string()
