"""``krogh fexi crlb | design``: what a protocol can tell, before the scan."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from krogh.cli import options
from krogh.cli.fexi_common import report
from krogh.errors import InputError, OutputError

if TYPE_CHECKING:
    from krogh.fexi.interface import SignalModel

__all__ = ["register"]

_MIXING_TIMES = ["20,200,400", "20,100,400", "20,400", "20,300,600"]
_TISSUES = {"axr": {"adc": 1.0, "sigma": 0.2, "axr": 3.0}, "2cm": {"fi": 0.04, "di": 10.0, "de": 0.8, "k": 3.0}}
Tissue = Annotated[
    list[str] | None, typer.Option("--tissue", help="Value of a parameter, e.g. axr=3 (1/s), adc=1 (um2/ms). Repeatable.")
]
Snr = Annotated[float, typer.Option("--snr", help="SNR of the unfiltered b = 0 volume, one voxel, one average.")]


def register(fexi: typer.Typer) -> None:
    """Add the commands to `fexi`."""
    fexi.command("crlb")(crlb)
    fexi.command("design")(design)


def _tissue(model: SignalModel, given: list[str]) -> dict[str, float]:
    """Return the tissue in SI: the default of the model with `given` values put in."""
    from krogh.runs.fexi_parameters import shown_by_name

    shown_values = {**_TISSUES["axr" if model.name == "axr" else "2cm"]}
    for text in given:
        name, _, value = text.partition("=")
        parameter = shown_by_name(name, "--tissue", model.parameter_names)
        try:
            shown_values[parameter.name] = float(value)
        except ValueError:
            raise InputError("--tissue", got=repr(text), expected="name=number, e.g. axr=3") from None
    tissue = {}
    for field in model.parameter_names:
        parameter = next(p for p in _all_parameters() if p.field == field)
        tissue[field] = shown_values[parameter.name] * parameter.si_per_unit
    return tissue


def _all_parameters() -> tuple[Any, ...]:
    from krogh.runs.fexi_parameters import PARAMETERS

    return PARAMETERS


def _numbers(text: str, where: str) -> list[float]:
    try:
        return [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        raise InputError(where, got=repr(text), expected="numbers separated by commas") from None


def crlb(
    protocol: Annotated[str, typer.Option("--protocol", "-p", help="Protocol file or preset.")] = "human-bbb",
    model: Annotated[str, typer.Option("--model", help="axr, 2cm or 2cmr.")] = "axr",
    tissue: Tissue = None,
    snr: Snr = 50.0,
    cv: Annotated[float, typer.Option("--cv", help="Wanted SD / value, e.g. 0.2.")] = 0.2,
    s0_level: Annotated[
        str, typer.Option("--s0", help="S0 of each series relative to the unfiltered one, e.g. 1,0.8,0.7,0.6.")
    ] = "1",
    as_json: options.Json = False,
) -> None:
    """Print the smallest possible SD of every parameter (Cramer-Rao bound) and the voxels x averages for a wanted CV."""
    import numpy as np

    from krogh.fexi.models import get_model
    from krogh.fexi.precision import crlb as bound
    from krogh.fexi.precision import voxels_needed
    from krogh.io.fexi_protocol import read_protocol
    from krogh.runs.fexi_parameters import shown
    from krogh.runs.fexi_simulate import unfiltered_b0

    plan, chosen = read_protocol(protocol), get_model(model)
    values = _tissue(chosen, tissue or [])
    level = np.array(_numbers(s0_level, "--s0"))
    if level.size not in (1, plan.n_series) or (level <= 0).any():
        raise InputError("--s0", got=s0_level, expected=f"one value > 0, or {plan.n_series}, one per series")
    theta = np.array([[values[name] for name in chosen.parameter_names]])
    # SNR counts on the signal of the unfiltered b = 0 volume, losses included
    level = level / float(chosen.shape(theta, plan)[0, unfiltered_b0(plan)].mean()) if chosen.name != "axr" else level
    rows: list[dict[str, Any]] = []
    for s0 in ("per-series", "known"):
        precision = bound(chosen, plan, values, snr, s0=s0, s0_level=level)
        for name in chosen.parameter_names:
            p = shown(name)
            rows.append({
                "s0": s0, "parameter": p.name, "unit": p.unit, "value": values[name] / p.si_per_unit,
                "sd": precision.sd[name] / p.si_per_unit, "cv": precision.cv(name),
                "voxels_x_averages": voxels_needed(precision, name, cv),
            })  # fmt: skip
    lines = [f"Cramer-Rao bound, one voxel, one average, SNR {snr:g}, {plan.n_volumes} volumes (Gaussian noise)", ""]
    lines.append(f"S0          parameter  value         SD            CV      voxels x averages for CV {100 * cv:g} %")
    for row in rows:
        count = "never" if math.isinf(row["voxels_x_averages"]) else f"{row['voxels_x_averages']:,.0f}"
        unit = "" if row["unit"] == "1" else row["unit"]
        value, sd = (f"{row[key]:.3g} {unit}" for key in ("value", "sd"))
        lines.append(f"{row['s0']:11s} {row['parameter']:9s}  {value:12s}  {sd:12s}  {100 * row['cv']:4.0f} %  {count}")
    report({"protocol": plan.content_hash(), "model": model, "snr": snr, "cv": cv, "bounds": rows}, lines, as_json=as_json)


def design(
    model: Annotated[
        str, typer.Option("--model", help="2cm, 2cmr, or axr (which keeps sigma fixed: compare b and t_m only).")
    ] = "2cm",
    tissue: Tissue = None,
    snr: Snr = 50.0,
    parameter: Annotated[str | None, typer.Option("--parameter", help="What to measure best; default the exchange rate.")] = None,
    filter_b: Annotated[str, typer.Option("--filter-b", help="Filter b to try, s/mm2.")] = "150,250,400,600",
    b: Annotated[str, typer.Option("--b", help="Detection b beside 0 to try, s/mm2.")] = "100,175,250,325,400",
    mixing_times: Annotated[
        list[str] | None, typer.Option("--mixing-times", help="One set of mixing times in ms, e.g. 20,200,400. Repeatable.")
    ] = None,
    volumes: Annotated[int, typer.Option("--volumes", help="Volumes to spend.", min=4)] = 64,
    show: Annotated[int, typer.Option("--show", help="Candidates to print.", min=1)] = 10,
    save: Annotated[Path | None, typer.Option("--save", help="Write the best protocol as this .tsv (and .json).")] = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Search the protocol that measures the exchange rate best for a number of volumes, beside the published one."""
    from krogh.fexi.design import search_design
    from krogh.fexi.models import get_model
    from krogh.runs.fexi_parameters import shown, shown_by_name

    if save is not None and (save.suffix != ".tsv" or (save.exists() and not overwrite)):
        raise OutputError(str(save), got="a file of that name" if save.exists() else "another ending", expected="a new .tsv file")
    chosen = get_model(model)
    default = "axr" if model == "axr" else "k"
    wanted = shown_by_name(parameter or default, "--parameter", chosen.parameter_names)
    sets = [
        [t * 1e-3 for t in _numbers(text, "--mixing-times")]
        for text in mixing_times or ["20,200,400", "20,100,400", "20,400", "20,300,600"]
    ]
    extra: dict[str, Any] = {"echo_time_filter_s": 0.03, "echo_time_detect_s": 0.06} if model == "2cmr" else {}
    found = search_design(
        chosen, _tissue(chosen, tissue or []), snr, parameter=wanted.field, filter_b_s_mm2=_numbers(filter_b, "--filter-b"),
        b_s_mm2=_numbers(b, "--b"), mixing_times_s=sets, n_volumes=volumes, **extra,
    )  # fmt: skip
    rows = [
        {
            "rank": rank, "filter_b_s_mm2": d.settings["filter_b_s_mm2"], "b_s_mm2": d.settings["b_s_mm2"],
            "mixing_times_ms": [round(1e3 * t, 6) for t in d.settings["mixing_times_s"]], "repeats": d.repeats,
            "sd": d.precision.sd[wanted.field] / wanted.si_per_unit,
            "sds": {shown(n).name: sd / shown(n).si_per_unit for n, sd in d.precision.sd.items()},
        }
        for rank, d in enumerate(found, start=1)
    ]  # fmt: skip
    lines = [f"{len(rows)} designs of {volumes} volumes, SNR {snr:g}, smallest possible SD of {wanted.label} ({wanted.unit})", ""]
    lines += ["rank  filter_b  b (s/mm2)  mixing times (ms)      repeats  SD"]
    published = next(
        (r for r in rows if (r["filter_b_s_mm2"], r["b_s_mm2"], r["mixing_times_ms"]) == (250, 250, [20, 200, 400])), None
    )
    for row in [*rows[:show], *([published] if published and published["rank"] > show else [])]:
        times = ", ".join(f"{t:g}" for t in row["mixing_times_ms"])
        note = "  the human-bbb preset" if row is published else ""
        lines.append(
            f"{row['rank']:4d}  {row['filter_b_s_mm2']:8g}  {row['b_s_mm2']:9g}  {times:21s}  {row['repeats']:7.1f}  "
            f"{row['sd']:.3g}{note}"
        )
    if save is not None:
        from krogh.io.fexi_protocol import write_protocol
        from krogh.io.folder import output_errors

        with output_errors(str(save)):
            write_protocol(save, found[0].protocol)
        lines.append(f"best protocol written to {save}")
    report({"designs": rows[: max(show, 50)], "parameter": wanted.name, "unit": wanted.unit}, lines, as_json=as_json)
