"""Write settings as TOML, so that a run can be repeated from a file; the standard library only reads it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

__all__ = ["to_toml"]


def _key(name: str) -> str:
    plain = name and all(c.isascii() and (c.isalnum() or c in "-_") for c in name)
    return name if plain else _text(name)


def _text(value: str) -> str:
    # JSON escapes are TOML escapes, but for DEL, which TOML wants escaped as well
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else ("nan" if value != value else ("inf" if value > 0 else "-inf"))
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(str(k))} = {_value(v)}" for k, v in value.items() if v is not None) + " }"
    return _text(str(value))


def to_toml(table: Mapping[str, Any], _path: tuple[str, ...] = ()) -> str:
    """Return `table` as TOML: values first, then the tables; entries that are None are left out, as TOML has no such value."""
    held = {str(k): v for k, v in table.items() if v is not None}
    lines = [f"{_key(k)} = {_value(v)}" for k, v in held.items() if not isinstance(v, Mapping)]
    if _path and lines:
        lines.insert(0, "[" + ".".join(map(_key, _path)) + "]")
    text = "".join(line + "\n" for line in lines)
    for k, v in held.items():
        if isinstance(v, Mapping) and v:
            part = to_toml(v, (*_path, k))
            text += ("\n" if text else "") + part
    return text
