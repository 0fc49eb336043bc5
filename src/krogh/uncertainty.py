"""Give Python what ``krogh sensitivity`` gives the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import matplotlib.figure

    from krogh.runs.uncertainty.run import Ensemble
    from krogh.runs.uncertainty.summary import Summary

__all__ = ["SensitivityPlots", "SensitivityResult", "sensitivity"]


@dataclass(frozen=True)
class SensitivityResult:
    """Hold an ensemble and its summary.

    Attributes
    ----------
    ensemble : Ensemble
        What varied, what was held, the rows.
    summary : Summary
        Percentiles, bands, single effects, indices.
    """

    ensemble: Ensemble
    summary: Summary

    @property
    def table(self) -> Any:
        """Return the results at the values and their percentiles as a pandas table."""
        import pandas as pd

        from krogh.runs.uncertainty.summary import PERCENTILES

        columns = {"at_the_values": self.summary.nominal}
        columns |= {f"p{p:02.0f}": v for p, v in zip(PERCENTILES, self.summary.percentiles, strict=True)}
        return pd.DataFrame(columns, index=list(self.ensemble.outputs))

    @property
    def indices(self) -> Any:
        """Return the indices as a pandas table, one row for each result and input."""
        import pandas as pd

        keys = [f.key for f in self.ensemble.factors]
        rows = pd.MultiIndex.from_product([list(self.ensemble.outputs), keys], names=["result", "input"])
        return pd.DataFrame({k: v.T.ravel() for k, v in self.summary.indices.items()}, index=rows)

    @property
    def plot(self) -> SensitivityPlots:
        """Return the pictures: ``result.plot.tornado()``."""
        return SensitivityPlots(self)

    def _repr_html_(self) -> str:
        return str(self.table._repr_html_())


@dataclass(frozen=True)
class SensitivityPlots:
    """Draw a sensitivity study; every method returns a matplotlib figure."""

    result: SensitivityResult

    def tornado(self) -> matplotlib.figure.Figure:
        """Return what each input does alone."""
        from krogh.plots.uncertainty import draw_tornado

        return draw_tornado(self.result.ensemble, self.result.summary)

    def indices(self) -> matplotlib.figure.Figure:
        """Return the indices with their intervals."""
        from krogh.plots.uncertainty import draw_indices

        return draw_indices(self.result.ensemble, self.result.summary)

    def bands(self) -> matplotlib.figure.Figure:
        """Return percentiles over time; there are none for a Morris design."""
        from krogh.errors import InputError
        from krogh.plots.uncertainty import draw_bands

        if not self.result.summary.bands:
            raise InputError("bands", got="a Morris design, whose rows are no draws", hint="use method='lhs' or 'sobol'")
        return draw_bands(self.result.summary.bands, self.result.summary.done)


def sensitivity(
    compound: str,
    *,
    free: Sequence[str] = (),
    method: str = "lhs",
    samples: int = 256,
    seed: int = 0,
    workers: int = 1,
    compound_objects: Mapping[str, Any] | None = None,
    **settings: Any,
) -> SensitivityResult:
    """Say how far a prediction can be trusted, and which input matters most.

    Parameters
    ----------
    compound : str
        A name, as in ``krogh compounds list``.
    free : sequence of str
        What varies: ``"permeability=1..10 nm/s"``, ``"P-gp.vmax=x2"``, ``"physiology"`` ...; everything with a range by default.
    method : {"lhs", "sobol", "morris"}
        Design; the last two need SALib (extra ``sensitivity``).
    samples : int
        N: ``lhs`` takes N runs, ``sobol`` N (k + 2), ``morris`` N (k + 1) for k inputs.
    seed, workers : int
        Of the design; processes.
    compound_objects : mapping of str to Compound, optional
        Own compounds by name.
    **settings
        As in :func:`krogh.simulate`; ``cells`` is 40 by default.

    Raises
    ------
    InputError
        If an input is unknown, has no range and none is given, or the run itself is not possible.

    Examples
    --------
    >>> import krogh
    >>> found = krogh.sensitivity("mannitol", dose="1 uM constant", duration="4 h", free=["permeability=x2"], samples=8)
    >>> round(float(found.indices.rank_correlation["kp_uu", "permeability"]), 2)
    1.0
    """
    from krogh.runs.config import build_config
    from krogh.runs.simulate import plan
    from krogh.runs.uncertainty.run import plan_ensemble, run_ensemble

    config = build_config({}, (), {"compounds": [compound], "cells": 40, **settings})
    case = plan(config, own={k.lower(): v for k, v in (compound_objects or {}).items()})[0]
    ensemble = plan_ensemble(case, config, free, method=method, samples=samples, seed=seed)
    return SensitivityResult(ensemble, run_ensemble(ensemble, workers=workers))
