"""Say where a block is solved and with how many digits, before any work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from krogh.errors import UsageError

if TYPE_CHECKING:
    import torch

__all__ = ["DEVICES", "PRECISIONS", "Place", "place_of"]

#: What ``--device`` takes; ``cuda:1`` and the like as well.
DEVICES = ("auto", "cpu", "cuda", "torch-cpu")
PRECISIONS = ("float64", "float32")


@dataclass(frozen=True, slots=True)
class Place:
    """Name a torch device and the precision of the solves through the volume; states, fluxes and ledgers are float64 always."""

    device: str = "cpu"
    precision: str = "float64"

    @property
    def name(self) -> str:
        """Return the device in the words of ``--device``."""
        return "torch-cpu" if self.device == "cpu" else self.device

    @property
    def free_bytes(self) -> float | None:
        """Return nine tenths of what is free on a GPU; None: this is the memory of the processor."""
        import torch

        return None if self.device == "cpu" else 0.9 * torch.cuda.mem_get_info(self.device)[0]

    @property
    def work(self) -> torch.dtype:
        """Return the number type of factors and transforms."""
        import torch

        return torch.float32 if self.precision == "float32" else torch.float64


def place_of(device: str, precision: str = "float64") -> Place | None:
    """Return where torch is to work, or None for the compiled loops of the processor (``auto``, ``cpu``).

    Raises
    ------
    UsageError
        If a name is unknown, there is no such GPU, or float32 is asked for without torch.
    """
    if precision not in PRECISIONS:
        raise UsageError("--precision", got=repr(precision), expected=" or ".join(PRECISIONS))
    if device in ("auto", "cpu"):
        if precision == "float32":
            raise UsageError(
                "--precision",
                got="float32",
                expected="float64 on the processor",
                hint="add --device cuda (or torch-cpu to try it)",
            )
        return None
    if device == "torch-cpu":
        return Place("cpu", precision)
    kind, _, number = device.partition(":")
    if kind != "cuda" or (":" in device and not number.isdigit()):
        raise UsageError("--device", got=repr(device), expected=f"{', '.join(DEVICES[:-1])} or {DEVICES[-1]}")
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(number or 0) >= count:
        seen = "no GPU" if count == 0 else f"{count} GPU{'s' if count > 1 else ''}, numbered from 0"
        raise UsageError("--device", got=device, expected=f"a GPU that torch sees; here it sees {seen}", hint="use --device cpu")
    return Place(device, precision)
