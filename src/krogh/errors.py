"""Say in one line what is wrong, where, what was expected and what to do next.

Every error that a user can cause is a :class:`KroghError`; its class owns the exit code of the command line. Anything else that
reaches the top is a bug of ours (exit code 1).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "ConvergenceError",
    "InputError",
    "InterruptedRunError",
    "KroghError",
    "OutputError",
    "PartialFailureError",
    "UsageError",
    "nearest",
]


class KroghError(Exception):
    """Report a problem as ``where: got X, expected Y; hint``.

    Parameters
    ----------
    where : str
        The input, file, row or option that is wrong, in the user's words.
    got : object, optional
        What was found there.
    expected : str, optional
        What would have been accepted, with its unit.
    hint : str, optional
        What to do next.

    Notes
    -----
    The message is always one line: line breaks in any part are replaced by spaces.
    """

    exit_code = 1

    def __init__(self, where: str, *, got: object = None, expected: str | None = None, hint: str | None = None) -> None:
        self.where, self.got, self.expected, self.hint = where, got, expected, hint
        parts = []
        if got is not None:
            parts.append(f"got {got}")
        if expected is not None:
            parts.append(f"expected {expected}")
        message = where + (": " + ", ".join(parts) if parts else "")
        super().__init__(" ".join((message + (f"; {hint}" if hint else "")).split()))


class UsageError(KroghError):
    """Report a wrong option or combination of options (exit code 2)."""

    exit_code = 2


class InputError(KroghError):
    """Report input that is missing, malformed, of the wrong shape or in the wrong unit (exit code 3)."""

    exit_code = 3


class ConvergenceError(KroghError):
    """Report a solver or fit that did not converge where it must (exit code 4)."""

    exit_code = 4


class OutputError(KroghError):
    """Report output that exists already, or cannot be written (exit code 5)."""

    exit_code = 5


class PartialFailureError(KroghError):
    """Report a run that finished with more failures than allowed (exit code 6)."""

    exit_code = 6


class InterruptedRunError(KroghError):
    """Report a run stopped by the user (exit code 130)."""

    exit_code = 130


def nearest(name: str, names: Iterable[str], count: int = 3) -> str:
    """Return a hint naming the entries most like `name`, for "unknown X" errors."""
    pool = {n.lower(): n for n in names}
    close = difflib.get_close_matches(name.lower(), list(pool), n=count, cutoff=0.5)
    if not close:
        return "available: " + ", ".join(sorted(pool.values())[:8]) + (", ..." if len(pool) > 8 else "")
    return "did you mean " + " or ".join(pool[c] for c in close) + "?"
