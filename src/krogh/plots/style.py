"""Give every picture of a simulation the same look: colours, fonts, title, legend and caption.

Pictures are built from :class:`matplotlib.figure.Figure` with the Agg canvas alone, so drawing never touches a user's back end.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

__all__ = ["CURVES", "GREY", "MAP", "NOTICE", "Curve", "Picture", "house_style", "legend_on_top", "legend_rows", "new_figure"]

NOTICE = "Research software: not for diagnosis or dosing."
#: Perceptually uniform and safe for colour-blind readers.
MAP = "viridis"
GREY = "#555555"
_RC: Any = {
    "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": 9, "axes.titlesize": 10, "axes.labelsize": 9,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "legend.fontsize": 8.5, "legend.frameon": False, "figure.dpi": 100,
    "savefig.dpi": 150, "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8, "lines.linewidth": 1.6,
    "axes.grid": True, "axes.grid.which": "major", "grid.color": "#E4E4E4", "grid.linewidth": 0.6, "axes.axisbelow": True,
    "axes.unicode_minus": True, "figure.facecolor": "white", "axes.titlelocation": "left", "mathtext.default": "regular",
    "lines.solid_capstyle": "butt", "axes.formatter.use_mathtext": True,
}  # fmt: skip
_CHARACTERS_PER_INCH, _LINE_IN, _TITLE_IN, _LEGEND_IN = 17.0, 0.16, 0.42, 0.25


@dataclass(frozen=True, slots=True)
class Curve:
    """Say how one variable of the data set is drawn wherever it appears: Okabe-Ito colour, dash and name with its matrix."""

    variable: str
    label: str
    colour: str
    dash: Any = "-"
    width: float = 1.7
    zorder: float = 2.0


#: In the order of the path from blood to cell. Widths fall from back to front, so that curves which coincide are all seen.
CURVES = (
    Curve("plasma_total", "plasma, total", "#5F5F5F", (0, (5, 2)), 1.3, 2.1),
    Curve("plasma_free", "plasma, free", "#D55E00", "-", 3.4),
    Curve("endothelium", "endothelium, free", "#F0A830", "-", 2.5, 2.2),
    Curve("interstitium", "interstitium, free", "#0072B2", "-", 1.6, 2.3),
    Curve("neuron", "neurons, free", "#00B283", (0, (2.2, 2.2)), 1.8, 2.4),
)


@contextmanager
def house_style() -> Iterator[None]:
    """Draw with the package's style, and leave the user's settings as they were."""
    with mpl.rc_context(_RC):
        yield


class Picture(Figure):
    """Keep the package's style when it is saved, and show itself in a notebook although pyplot is not used."""

    def savefig(self, fname: Any, *args: Any, **kwargs: Any) -> None:
        """Write the picture; see :meth:`matplotlib.figure.Figure.savefig`."""
        with house_style():
            super().savefig(fname, *args, **kwargs)

    def _repr_png_(self) -> bytes:
        target = io.BytesIO()
        self.savefig(target, format="png", dpi=100)
        return target.getvalue()


def new_figure(width_in: float, height_in: float, title: str, caption: str, *, legend_rows: int = 0) -> Figure:
    """Return a figure with title, a caption that stands alone, the notice, and room for a legend under the title.

    `height_in` is the height of the axes' region; title, legend and caption are added to it.
    """
    lines = [*textwrap.wrap(caption, int(width_in * _CHARACTERS_PER_INCH)), NOTICE]
    foot = _LINE_IN * len(lines) + 0.14
    head = _TITLE_IN + _LEGEND_IN * legend_rows
    total = head + height_in + foot
    inside = (0.005, foot / total, 0.99, height_in / total)
    figure = Picture(figsize=(width_in, total), layout=ConstrainedLayoutEngine(rect=inside, w_pad=0.06, h_pad=0.06))
    FigureCanvasAgg(figure)
    figure.text(0.012, 1 - 0.12 / total, title, fontsize=12, fontweight="bold", va="top", gid="title")
    step = _LINE_IN / total
    for i, line in enumerate(lines):
        style: dict[str, Any] = {"style": "italic", "color": GREY} if line is lines[-1] else {}
        figure.text(0.012, (foot - 0.04) / total - i * step, line, fontsize=8, va="top", gid="caption", **style)
    figure.set_label(" ".join([title + ".", caption, NOTICE]))
    return figure


def legend_on_top(figure: Figure, handles: list[Any]) -> Figure:
    """Put one legend for all panels under the title, in as many rows as :func:`legend_rows` says."""
    width, height = figure.get_size_inches()
    columns = -(-len(handles) // legend_rows(len(handles), width))
    figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0.012, 1 - (_TITLE_IN - 0.03) / height),
        handlelength=2.6, columnspacing=1.6, ncols=columns, borderaxespad=0.0, borderpad=0.0,
    )  # fmt: skip
    return figure


def legend_rows(entries: int, width_in: float) -> int:
    """Return how many rows a legend of so many entries takes."""
    return -(-entries // max(1, int(width_in / 1.75)))
