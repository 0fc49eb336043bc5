"""Give notebook users one object per run: the data set, a table, and pictures that draw themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import matplotlib.figure
    import xarray as xr

    from krogh.runs.simulate import GroupResult

__all__ = ["SimulationResult", "simulate"]


@dataclass(frozen=True)
class SimulationResult:
    """Hold a finished simulation.

    Attributes
    ----------
    dataset : xarray.Dataset
        Everything, with units; see :func:`krogh.runs.dataset.build_dataset`.
    groups : tuple of GroupResult
        The solutions behind it.
    """

    dataset: xr.Dataset
    groups: tuple[GroupResult, ...]

    @property
    def table(self) -> Any:
        """Return the summary as a pandas table, one row a compound."""
        scalars = [name for name, v in self.dataset.data_vars.items() if v.dims == ("compound",)]
        return self.dataset[scalars].to_dataframe()

    @property
    def plot(self) -> Plots:
        """Return the pictures: ``result.plot.timecourse()``."""
        return Plots(self.dataset)

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


@dataclass(frozen=True)
class Plots:
    """Draw a simulation; every method returns a matplotlib figure."""

    dataset: xr.Dataset

    def timecourse(self) -> matplotlib.figure.Figure:
        """Return plasma, interstitium and neurons over time."""
        from krogh.plots.timecourse import draw_timecourse

        return draw_timecourse(self.dataset)

    def section(self, compound: str | None = None) -> matplotlib.figure.Figure:
        """Return the layers from lumen to neuron over time."""
        from krogh.plots.section import draw_section

        return draw_section(self.dataset, compound)

    def routes(self) -> matplotlib.figure.Figure:
        """Return how much came and went by each route."""
        from krogh.plots.routes import draw_routes

        return draw_routes(self.dataset)


def simulate(
    *compounds: str,
    compound_objects: Mapping[str, Any] | None = None,
    plasma: tuple[Any, Any] | None = None,
    progress: Callable[[str, float], None] | None = None,
    device: str = "auto",
    precision: str = "float64",
    **settings: Any,
) -> SimulationResult:
    """Simulate compounds crossing the blood-brain barrier.

    Parameters
    ----------
    *compounds : str
        Names, as in ``krogh compounds list``.
    compound_objects : mapping of str to Compound, optional
        Own compounds by name; they go before the library's.
    plasma : (t_s, total_mol_m3), optional
        A measured plasma curve in place of a dose.
    progress : callable, optional
        Called with the name and the share done.
    device, precision : str
        Where a block is solved and with how many digits: see ``--device`` and ``--precision``.
    **settings
        Any field of :class:`krogh.runs.config.SimulateConfig`: ``dose="100 mg oral"``, ``species="rat"``,
        ``geometry="cylinder"`` ...

    Returns
    -------
    SimulationResult
        Data set, table and pictures.

    Raises
    ------
    InputError
        If anything that the run needs is unknown, blank or out of range.
    ConvergenceError
        If the solver cannot go on.

    Examples
    --------
    >>> import krogh
    >>> result = krogh.simulate("caffeine", dose="100 mg oral", duration="2 h", cells=40)
    >>> round(float(result.dataset.kp_uu_steady.item()), 2)
    1.0
    """
    from krogh.io.map_file import read_maps
    from krogh.io.network_file import find_network
    from krogh.runs.config import build_config
    from krogh.runs.dataset import build_dataset
    from krogh.runs.simulate import plan, run_case
    from krogh.transport.block.device.place import place_of

    place = place_of(device, precision)
    config = build_config({}, (), {"compounds": list(compounds), **settings})
    own = {k.lower(): v for k, v in (compound_objects or {}).items()}
    cases = plan(config, own=own, plasma=plasma, maps=read_maps(config.block),
                 vessels=find_network(config.network))  # fmt: skip
    groups = []
    for case in cases:
        report = None if progress is None else (lambda share, name=case.labels[0]: progress(name, share))
        groups.append(run_case(case, config, progress=report, place=place))
    return SimulationResult(build_dataset(groups, {"title": "krogh simulation", "species": config.species}), tuple(groups))
