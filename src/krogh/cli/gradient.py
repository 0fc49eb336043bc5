"""Run ``krogh gradient``: on which number of the problem a result depends, and how much."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from krogh.cli import options

if TYPE_CHECKING:
    from krogh.runs.gradient import GradientResult


def register(app: typer.Typer) -> None:
    """Add ``gradient`` to `app`."""
    app.command("gradient")(gradient)


def gradient(
    compounds: Annotated[list[str] | None, typer.Argument(help="Names of compounds; see 'krogh compounds list'.")] = None,
    of: Annotated[str, typer.Option(help="kp_uu, auc, cmax or final.")] = "kp_uu",
    medium: Annotated[str, typer.Option(help="Where: interstitium, neuron, endothelium ...")] = "interstitium",
    product: Annotated[str | None, typer.Option(help="The metric of what is formed, e.g. 'dopamine (from levodopa)'.")] = None,
    top: Annotated[int, typer.Option(help="Rows to print; 0 prints all.", min=0)] = 12,
    species: Annotated[str | None, typer.Option(help="human, rat or mouse.  [default: human]")] = None,
    dose: Annotated[str | None, typer.Option(help="'100 mg oral every 8 h x 3'.")] = None,
    duration: Annotated[str | None, typer.Option(help="How long, e.g. '24 h'.  [default: 24 h]")] = None,
    geometry: Annotated[str | None, typer.Option(help="slab, cylinder, block or network.  [default: slab]")] = None,
    cells: Annotated[int | None, typer.Option(help="Cells across the layers.  [default: 120]")] = None,
    rtol: Annotated[float | None, typer.Option(help="Relative tolerance of a step.  [default: 1e-4]")] = None,
    config: options.Config = None,
    set_: options.Set = None,
    json_: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Rank every number of a simulation by what it does to the result: all derivatives for about the price of two runs."""
    from krogh.io.map_file import read_maps
    from krogh.io.network_file import find_network
    from krogh.io.text_file import read_toml
    from krogh.runs.config import build_config

    base = read_toml(config) if config is not None else {}
    given = {"compounds": compounds or None, "species": species, "dose": dose, "duration": duration, "geometry": geometry,
             "cells": cells, "rtol": rtol}  # fmt: skip
    settings = build_config(base, set_ or (), given)
    from krogh.runs.gradient import gradient as run
    from krogh.runs.simulate import plan

    folder = config.parent if config else Path()
    maps = read_maps(settings.block, folder)
    vessels = find_network(settings.network, folder)
    found = []
    cases = plan(settings, maps=maps, vessels=vessels)
    with options.progress([case.labels[0] for case in cases], quiet=quiet or json_) as show:
        for case in cases:
            label = case.labels[0]
            # steps grow from microseconds to minutes; the way back takes about as long as the way there
            report = partial(_forward, show, label)
            found.append(run(case, settings, metric=of, medium=medium, compound=product, progress=report))
            show(label, 1.0)
    if json_:
        typer.echo(json.dumps({"gradients": [_record(r) for r in found], "notice": "not for diagnosis or dosing"}, indent=2))
        return
    for result in found:
        _print(result, top)


def _forward(show: Callable[[str, float], None], label: str, share: float) -> None:
    show(label, 0.5 * share**0.15)


def _record(result: GradientResult) -> dict[str, object]:
    rows = [{"name": p.name, "value": p.value, "derivative": p.derivative, "elasticity": p.elasticity} for p in result.parameters]
    return {"compound": result.compound, "metric": result.metric, "medium": result.medium, "unit": result.unit,
            "value": result.value, "parameters": rows}  # fmt: skip


def _print(result: GradientResult, top: int) -> None:
    from krogh.cli.tables import print_columns

    unit = "" if result.unit == "1" else f" {result.unit}"
    typer.echo(f"{result.compound}: {result.metric} of the {result.medium} = {result.value:.4g}{unit}")
    shown = result.parameters[: top or None]
    rows = [[p.name, f"{p.value:.3g}", f"{p.elasticity:+.3f}"] for p in shown]
    print_columns({"one number (its unit is in its last word)": 0, "value": 0, "% change per + 1 %": 0}, rows)
    rest = len(result.parameters) - len(shown)
    if rest:
        typer.echo(f"and {rest} more, each below {abs(shown[-1].elasticity):.2g} (--top 0 prints all)")
    typer.echo("Local derivatives at these values, not an uncertainty. Research software: not for diagnosis or dosing.")
