"""Draw how a network was trained: loss of the training and score of held-out voxels against the round."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from krogh.fexi.learned.checkpoint import Checkpoint
from krogh.plots.fexi import save
from krogh.plots.style import house_style, legend_on_top, new_figure

__all__ = ["draw_training", "training_figure"]


@house_style()
def training_figure(checkpoint: Checkpoint) -> Figure:
    """Return the learning curve of a checkpoint."""
    loss, score = np.array(checkpoint.training["history"]).T
    rounds, best = np.arange(1, loss.size + 1), int(np.argmin(score))
    caption = (
        f"Training of {checkpoint.estimator} for protocol {checkpoint.protocol_hash}, SNR {checkpoint.snr[0]:.3g} to "
        f"{checkpoint.snr[1]:.3g}: mean loss of each round, and the score that decides which weights are kept (vertical line: "
        f"round {best + 1}). The two should stay together; a score that rises while the loss falls would mean learning by heart."
    )
    figure = new_figure(7.0, 3.2, "Learning curve", caption, legend_rows=1)
    axis = figure.subplots()
    lines = axis.plot(rounds, loss, color="#0072B2", marker="o", ms=3, label="loss of the training")
    lines += axis.plot(rounds, score, color="#D55E00", ls="--", marker="^", ms=3, label="score")
    axis.axvline(best + 1, color="#555555", lw=1, ls=":")
    axis.set_xlabel("round")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_ylabel("loss [dimensionless]")
    return legend_on_top(figure, lines)


def draw_training(path: Path, checkpoint: Checkpoint) -> Path:
    """Write the learning curve; return the file."""
    return save(training_figure(checkpoint), path)
