"""Share between the inferences how they print numbers and refuse what the data do not hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from krogh.runs.judged import Judged

__all__ = ["interval_text", "plain", "refuse", "shown_number"]


def shown_number(value: float | None, blank: str = "-") -> str:
    """Return a number to three digits, or what a blank one means: "below" and "above" are open ends of an interval."""
    return {"below": "no lower end", "above": "no upper end"}.get(blank, blank) if value is None else f"{value:.3g}"


def interval_text(row: dict[str, Any]) -> str:
    """Return an interval of :func:`krogh.runs.infer_tables.estimate_rows`."""
    return f"{shown_number(row['low'], 'below')} to {shown_number(row['high'], 'above')}"


def plain(value: Any) -> Any:
    """Return `value` with NaN as null, which JSON has not."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return None if isinstance(value, float) and value != value else value


def refuse(result: Judged) -> None:
    """Raise: the question has no answer in these data.

    Raises
    ------
    ConvergenceError
        Names the parameters and what the data hold instead.
    """
    from krogh.errors import ConvergenceError
    from krogh.runs.infer_tables import combination_rows, combination_text

    held = "; ".join(combination_text(r) for r in combination_rows(result))
    it, one = ("it", "it") if len(result.unheld) == 1 else ("them", "one of them")
    raise ConvergenceError(
        ", ".join(result.unheld), got=f"data that hold only {held}" if held else f"data that do not hold {it}",
        hint=f"leave {one} out of --free, give it a --prior, or use --unheld fix; everything that was found is in --out",
    )  # fmt: skip
