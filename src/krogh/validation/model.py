"""Run the model for one comparison, without files or pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from krogh.runs.config import build_config
from krogh.runs.simulate import GroupResult, plan, run_case

__all__ = ["run_one"]


def run_one(
    name: str, *, own: Mapping[str, Any] | None = None, plasma: tuple[Any, Any] | None = None, **settings: Any
) -> GroupResult:
    """Return the run of one compound.

    Parameters
    ----------
    name : str
        Compound.
    own : mapping of str to Compound, optional
        Compounds that go before the library's.
    plasma : (t_s, total_mol_m3), optional
        A plasma curve in place of a dose.
    **settings
        Fields of :class:`krogh.runs.config.SimulateConfig`.
    """
    config = build_config({}, (), {"compounds": [name], **settings})
    held = {k.lower(): v for k, v in (own or {}).items()}
    return run_case(plan(config, own=held, plasma=plasma)[0], config)
