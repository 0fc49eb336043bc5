"""Read and write the table of a FEXI scan: TSV with JSON, three FSL-like text files, md-dmri ``xps`` files, or a preset's name.

The keys and columns are listed in ``docs/reference/fexi-files.md``. What makes a protocol possible or not is decided by
:class:`krogh.fexi.protocol.Protocol`; here a refusal names the file, the row and the column.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import numpy as np

from krogh.errors import InputError, nearest
from krogh.fexi.presets import PRESETS, preset
from krogh.fexi.protocol import Protocol
from krogh.io.provenance import write_json

__all__ = ["COLUMNS", "KEYS", "describe_rows", "read_protocol", "write_protocol"]

MAX_TEXT_BYTES = 10_000_000
#: Column -> (field of Protocol, power of ten to SI, unit in the file).
COLUMNS: dict[str, tuple[str, int, str]] = {
    "filter_b": ("filter_b_s_m2", 6, "s/mm2"),
    "b": ("b_s_m2", 6, "s/mm2"),
    "mixing_time": ("mixing_time_s", 0, "s"),
    "series": ("series", 0, "a whole number"),
    "average": ("average", 0, "a whole number"),
    "crusher_moment": ("crusher_q_rad_m", 0, "rad/m"),
    **{
        f"{name}_{axis}": (field, 0, "1")
        for name, field in (("dir", "directions"), ("filter_dir", "filter_directions"))
        for axis in "xyz"
    },
}
#: JSON key -> (field of Protocol, power of ten to SI, unit in the file, largest likely value).
KEYS: dict[str, tuple[str, int, str, float]] = {
    "EchoTimeFilter": ("echo_time_filter_s", 0, "s", 1.0),
    "EchoTimeDetect": ("echo_time_detect_s", 0, "s", 1.0),
    "CrusherMoment": ("crusher_q_rad_m", 0, "rad/m", 1e7),
    "CrusherBPerSecond": ("crusher_b_per_second_s_m2_s", 6, "s/mm2 per s", 1e6),
    "CrusherDuration": ("crusher_duration_s", 0, "s", 1.0),
    "SliceThickness": ("slice_thickness_m", -3, "mm", 1e3),
    "MagneticFieldStrength": ("field_strength_t", 0, "T", 50.0),
    "SmallDelta": ("small_delta_s", 0, "s", 1.0),
    "BigDelta": ("big_delta_s", 0, "s", 1.0),
}
_REQUIRED = ("filter_b", "b", "mixing_time")
_FSL = {".bf": "filter_b", ".bval": "b", ".tm": "mixing_time"}


def read_protocol(source: str | Path) -> Protocol:
    """Return the protocol in a file, or the preset of that name.

    Parameters
    ----------
    source : str or Path
        ``P.tsv`` (a ``P.json`` beside it is read too); one of ``P.bf``, ``P.bval``, ``P.tm`` (the other two are looked for beside
        it); an md-dmri ``xps`` ``.mat`` file; or a preset such as ``human-bbb`` or ``bbb-crusher-5mm``.

    Raises
    ------
    InputError
        If there is no such file or preset, or the table is no possible FEXI protocol.
    """
    path = Path(source)
    if path.suffix.lower() not in (".tsv", ".mat", *_FSL):
        if not path.exists():
            return _preset(str(source))
        raise InputError(
            f"protocol {path.name}", got=f"a name ending in {path.suffix or 'nothing'}", expected=".tsv, .bf/.bval/.tm or .mat"
        )
    try:
        if path.suffix.lower() == ".tsv":
            return Protocol(**_from_tsv(path))
        if path.suffix.lower() == ".mat":
            from krogh.io.fexi_xps import read_xps

            return read_xps(path)
        return Protocol(**_from_fsl(path))
    except InputError as error:
        text = str(error)
        raise InputError(text if path.stem in text else f"{path.name}: {text}") from None


def _preset(name: str) -> Protocol:
    try:
        return preset(name)
    except InputError:
        hint = nearest(name, PRESETS) + ", or give a .tsv file"
        raise InputError("protocol", got=f"no file and no preset named '{name}'", hint=hint) from None


def read_text(path: Path) -> str:
    """Return the text of a small file, or say in one line why not."""
    try:
        if not path.is_file():
            hint = "the .bf, .bval and .tm files lie side by side" if path.suffix in _FSL else None
            raise InputError(path.name, got="no such file", hint=hint)
        if path.stat().st_size > MAX_TEXT_BYTES:
            raise InputError(path.name, got=f"{path.stat().st_size} bytes", expected=f"at most {MAX_TEXT_BYTES}")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = "no UTF-8 text" if isinstance(error, ValueError) else getattr(error, "strerror", None) or "an unreadable file"
        raise InputError(path.name, got=reason) from None


def _number(text: str, power: int, where: str, unit: str) -> float:
    try:
        value = float(Decimal(text.strip()).scaleb(power))
    except (InvalidOperation, ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise InputError(where, got=repr(text[:40]), expected=f"a number in {unit}")
    return value


def _column(texts: Sequence[str], column: str, file: str, what: str = "row") -> np.ndarray[Any, np.dtype[np.float64]]:
    _, power, unit = COLUMNS[column]
    values = [_number(t, power, f"{file}, {what} {i}, {column}", unit) for i, t in enumerate(texts, start=1)]
    for i, value in enumerate(values, start=1):
        if column == "mixing_time" and value > 10:
            got, hint = f"{value:g} s", "looks like ms: divide by 1000"
            raise InputError(f"{file}, {what} {i}, mixing_time", got=got, expected="at most 10 s", hint=hint)
        if value < 0 and "dir" not in column:
            raise InputError(f"{file}, {what} {i}, {column}", got=f"{value:g}", expected=f"a number >= 0 in {unit}")
    return np.array(values)


def _from_tsv(path: Path) -> dict[str, Any]:
    rows = [line.split("\t") for line in read_text(path).splitlines() if line.strip()]
    if len(rows) < 2:
        raise InputError(path.name, got="no rows", expected="a header line and one row per volume")
    header = [name.strip() for name in rows[0]]
    for name in header:
        if name not in COLUMNS:
            hint = "columns are separated by tabs" if len(header) == 1 else nearest(name, COLUMNS)
            raise InputError(path.name, got=f"the column {name[:40]!r}", expected="a known column", hint=hint)
    if len(set(header)) < len(header):
        raise InputError(path.name, got="a column twice", expected="each column once")
    if missing := [name for name in _REQUIRED if name not in header]:
        raise InputError(path.name, got=f"no column {', '.join(missing)}", expected=", ".join(_REQUIRED))
    for i, row in enumerate(rows[1:], start=1):
        if len(row) != len(header):
            raise InputError(f"{path.name}, row {i}", got=f"{len(row)} entries", expected=f"{len(header)}, separated by tabs")
    columns = {name: _column([row[j] for row in rows[1:]], name, path.name) for j, name in enumerate(header)}
    fields = _fields(columns, path.name)
    sidecar = path.with_suffix(".json")
    if sidecar.exists():
        extra = _from_json(sidecar)
        if clash := [key for key in extra if key in fields]:
            raise InputError(
                sidecar.name, got="CrusherMoment and a column crusher_moment", expected="one of the two", hint=clash[0]
            )
        fields |= extra
    return fields


def _fields(columns: dict[str, Any], file: str) -> dict[str, Any]:
    fields: dict[str, Any] = {COLUMNS[name][0]: values for name, values in columns.items() if "dir" not in name}
    for prefix, field in (("dir", "directions"), ("filter_dir", "filter_directions")):
        names = [f"{prefix}_{axis}" for axis in "xyz"]
        found = [name for name in names if name in columns]
        if found and len(found) < 3:
            raise InputError(file, got=f"only {', '.join(found)}", expected=", ".join(names))
        if found:
            fields[field] = np.stack([columns[name] for name in names], axis=1)
    return fields


def _from_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        line = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise InputError(
            f"{path.name}{line}", got="text that is no JSON", expected='an object such as {"EchoTimeFilter": 0.03}'
        ) from None
    if not isinstance(content, dict):
        raise InputError(path.name, got=f"a {type(content).__name__}", expected="an object of keys and values")
    fields: dict[str, Any] = {}
    for key, value in content.items():
        if key == "RequireB0":
            if not isinstance(value, bool):
                raise InputError(f"{path.name}, RequireB0", got=repr(value)[:40], expected="true or false")
            fields["require_b0"] = value
        elif key in KEYS:
            field, power, unit, limit = KEYS[key]
            usable = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= limit
            if not usable:
                hint = f"is it in {unit}?" if isinstance(value, (int, float)) and not isinstance(value, bool) else None
                raise InputError(
                    f"{path.name}, {key}", got=repr(value)[:40], expected=f"a number from 0 to {limit:g} in {unit}", hint=hint
                )
            fields[field] = _number(repr(value), power, f"{path.name}, {key}", unit)
        elif close := difflib.get_close_matches(key, [*KEYS, "RequireB0"], n=1, cutoff=0.85):
            raise InputError(f"{path.name}, {key[:40]}", got="an unknown key", hint=f"did you mean {close[0]}?")
    return fields


def _from_fsl(path: Path) -> dict[str, Any]:
    columns = {}
    for suffix, name in _FSL.items():
        file = path.with_suffix(suffix)
        columns[name] = _column(read_text(file).split(), name, file.name, what="entry")
    counts = {name: values.size for name, values in columns.items()}
    if len(set(counts.values())) > 1:
        got = ", ".join(f"{count} entries in {path.stem}{s}" for s, count in zip(_FSL, counts.values(), strict=True))
        raise InputError(f"protocol {path.stem}", got=got, expected="one per volume in each")
    fields = _fields(columns, path.stem)
    sidecar = path.with_suffix(".json")
    return fields | (_from_json(sidecar) if sidecar.exists() else {})


def _shift(value: float, power: int) -> str:
    """Return `value` times 10**power in digits that read back to the same float."""
    return f"{Decimal(repr(float(value))).scaleb(power).normalize():f}"


def write_protocol(path: Path, protocol: Protocol) -> None:
    """Write `protocol` as ``path`` (.tsv) and the JSON beside it; reading them back gives an equal protocol."""
    columns: dict[str, Iterable[str]] = {}
    for name, (field, power, _) in COLUMNS.items():
        values = getattr(protocol, field)
        if "dir" in name:
            values = None if values is None else values[:, "xyz".index(name[-1])]
        if isinstance(values, np.ndarray):
            columns[name] = [_shift(v, -power) for v in values.tolist()]
    rows = zip(*columns.values(), strict=True)
    path.write_text("\t".join(columns) + "\n" + "".join("\t".join(r) + "\n" for r in rows), encoding="utf-8")
    content: dict[str, Any] = {}
    for key, (field, power, _, _) in KEYS.items():
        value = getattr(protocol, field)
        if isinstance(value, (int, float)):
            content[key] = float(_shift(value, -power))
    if not protocol.require_b0:
        content["RequireB0"] = False
    for name, (_, _, unit) in COLUMNS.items():
        if name in columns:
            content.setdefault("Columns", {})[name] = unit
    write_json(path.with_suffix(".json"), content)


def describe_rows(protocol: Protocol) -> list[dict[str, float]]:
    """Return one dictionary per volume in file units, for tables and ``--json``."""
    return [
        {
            "volume": i + 1,
            "filter_b_s_mm2": float(_shift(protocol.filter_b_s_m2[i], -6)),
            "b_s_mm2": float(_shift(protocol.b_s_m2[i], -6)),
            "mixing_time_s": float(protocol.mixing_time_s[i]),
            "series": int(protocol.series[i]),
            "average": int(protocol.average[i]),
            "crusher_b_s_mm2": float(protocol.crusher_b_s_m2[i]) / 1e6,
        }
        for i in range(protocol.n_volumes)
    ]
