"""Give notebook users one object per inference: a table, the verdicts, and pictures that draw themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import matplotlib.figure

    from krogh.inference.observations import Observations
    from krogh.runs.infer import Inference

__all__ = ["InferenceResult", "infer"]


@dataclass(frozen=True)
class InferenceResult:
    """Hold a finished inference.

    Attributes
    ----------
    inference : Inference
        Fit, profiles, posterior and verdicts; see :class:`krogh.runs.infer.Inference`.
    """

    inference: Inference

    @property
    def table(self) -> Any:
        """Return estimates, intervals and verdicts as a pandas table, one row a parameter."""
        import pandas as pd

        from krogh.runs.infer_tables import estimate_rows

        return pd.DataFrame(estimate_rows(self.inference)).set_index("parameter")

    @property
    def combinations(self) -> Any:
        """Return what the data hold of the parameters that they do not, as a pandas table."""
        import pandas as pd

        from krogh.runs.infer_tables import combination_rows

        return pd.DataFrame(combination_rows(self.inference), columns=["combination", "unit", "estimate", "low", "high"])

    @property
    def plot(self) -> InferencePlots:
        """Return the pictures: ``result.plot.fit()``."""
        return InferencePlots(self.inference)

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


@dataclass(frozen=True)
class InferencePlots:
    """Draw an inference; every method returns a matplotlib figure."""

    inference: Inference

    def fit(self) -> matplotlib.figure.Figure:
        """Return data, fit, bands and residuals."""
        from krogh.plots.inference import draw_fit

        return draw_fit(self.inference)

    def profiles(self) -> matplotlib.figure.Figure:
        """Return the profile likelihoods."""
        from krogh.plots.inference import draw_profiles

        return draw_profiles(self.inference)

    def corner(self) -> matplotlib.figure.Figure:
        """Return the distribution of every parameter and every pair."""
        from krogh.plots.corner import draw_corner

        return draw_corner(self.inference)


def infer(
    data: str | Path | Sequence[str | Path] | Observations,
    compound: str,
    free: Sequence[str],
    *,
    datasets: Mapping[str, Mapping[str, Any]] | None = None,
    priors: Mapping[str, tuple[float, float]] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    cv: float | None = None,
    plasma: tuple[Any, Any] | None = None,
    compound_objects: Mapping[str, Any] | None = None,
    posterior: bool = True,
    joint: float | None = None,
    level: float = 0.95,
    seed: int = 0,
    **settings: Any,
) -> InferenceResult:
    """Infer parameters of a compound from observations.

    Parameters
    ----------
    data : path, paths or Observations
        CSV files as ``krogh infer`` takes them, or the rows themselves.
    compound : str
        Name, as in ``krogh compounds list``.
    free : sequence of str
        Unknowns, e.g. ``["P", "Vmax"]``.
    datasets : mapping, optional
        Settings of single data sets, by the name in the column ``dataset``; ``plasma`` among them is a curve of its own.
    priors, bounds : mapping, optional
        Name -> (median, SD of the logarithm), name -> (low, high); SI.
    cv : float, optional
        Relative SD of values without their own error.
    plasma : (t_s, total_mol_m3), optional
        A measured plasma curve in place of a dose.
    compound_objects : mapping of str to Compound, optional
        Own compounds; they go before the library's.
    posterior, joint, level, seed
        See :func:`krogh.runs.infer.infer`.
    **settings
        Any field of :class:`krogh.runs.config.InferConfig`: ``species="rat"``, ``dose="4 mg/kg iv"``,
        ``solver="compartments"`` ...

    Returns
    -------
    InferenceResult
        Table, verdicts and pictures. Parameters that the data do not hold have no estimate.

    Raises
    ------
    InputError
        If data or settings are wrong.
    ConvergenceError
        If the fit finds no minimum.
    """
    from krogh.inference.observations import Observations
    from krogh.io.observations import read_observations
    from krogh.runs.config import InferConfig, build_config
    from krogh.runs.infer import build_experiment
    from krogh.runs.infer import infer as run
    from krogh.validation.lumbar import READERS

    own = {k.lower(): v for k, v in (compound_objects or {}).items()}
    base = {"cells": 40, "compounds": [compound], **settings}
    tables = dict(datasets or {})

    def experiment(name: str) -> Any:
        table = dict(tables.get(name, {}))
        curve = table.pop("plasma", None if "dose" in table else plasma)
        return build_experiment(
            name, build_config({**base, **table}, kind=InferConfig), own=own, plasma=curve, readers=READERS
        )  # fmt: skip

    if not isinstance(data, Observations):
        paths = [Path(p) for p in ([data] if isinstance(data, str | Path) else data)]
        mass = experiment("").subject.compound.molar_mass_kg_mol
        data = read_observations(paths, mass.value if mass else None, cv=cv)
    experiments = {name: experiment(name) for name in dict.fromkeys(data.dataset)}
    return InferenceResult(
        run(experiments, data, free, priors=priors, bounds=bounds, posterior=posterior, joint=joint, level=level, seed=seed)
    )  # fmt: skip
