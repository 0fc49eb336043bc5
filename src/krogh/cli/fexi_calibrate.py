"""``krogh fexi calibrate``: how often the intervals of an estimator hold the truth, for this protocol and this SNR."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from krogh.cli import options
from krogh.cli.fexi_common import progress_printer, report
from krogh.cli.fexi_model import Bound, Fix, Model, Relax, tissue_model
from krogh.errors import UsageError
from krogh.fexi.estimators import NETWORKS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from krogh.fexi.calibration import Calibration, Draw
    from krogh.fexi.interface import SignalModel
    from krogh.fexi.learned.checkpoint import Checkpoint
    from krogh.fexi.learned.prior import MixturePrior

__all__ = ["register"]

_ESTIMATORS = ("nlls", "rician", "eb", *NETWORKS)
_AHEAD = ("npe", "supervised")  # trained before there is a scan


def register(fexi: typer.Typer) -> None:
    """Add the command to `fexi`."""
    fexi.command("calibrate")(calibrate)


def calibrate(
    protocol: Annotated[str, typer.Argument(help="A protocol file or a preset's name.")] = "human-bbb",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for table, ranks and picture; default: print.")] = None,
    estimator: Annotated[str, typer.Option("--estimator", "-e", help=f"{', '.join(_ESTIMATORS)}.")] = "eb",
    weights: Annotated[
        Path | None, typer.Option("--weights", help="A network of krogh fexi train or fit; npe and supervised need one.")
    ] = None,
    model: Model = "axr",
    bound: Bound = None,
    fix: Fix = None,
    relax: Relax = None,
    snr: Annotated[float, typer.Option("--snr", help="SNR of the unfiltered b = 0 volume.")] = 50.0,
    tissues: Annotated[
        str | None,
        typer.Option(
            "--tissues",
            help="weights (the prior of --weights, default there), two-tissues (default of axr), tissue, uniform "
            "(with --uniform), or the prior.json of a fit.",
        ),
    ] = None,
    uniform: Annotated[
        list[str] | None, typer.Option("--uniform", help="Range of a parameter: adc=0.7:1 (um2/ms), axr=1:5 (1/s). Repeatable.")
    ] = None,
    scans: Annotated[int, typer.Option("--scans", help="Scans to simulate.", min=6)] = 20,
    voxels: Annotated[int, typer.Option("--voxels", help="Voxels of each scan.", min=50)] = 1000,
    regions: Annotated[int, typer.Option("--regions", help="Equal regions of each scan; 0: none.", min=0)] = 4,
    threads: options.Threads = 0,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Simulate scans of known tissue, fit them, and print how often the intervals hold the truth."""
    import os

    from krogh.fexi.calibration import calibrate as run
    from krogh.io.fexi_protocol import read_protocol
    from krogh.io.folder import check_output

    started = datetime.now(UTC)
    if out is not None:
        check_output(out, overwrite=overwrite)
    plan, tissue = read_protocol(protocol), tissue_model(model, bound or [], fix or [], relax or [])
    settings = _settings(estimator, weights, tissue)
    name = tissues or ("weights" if settings else "two-tissues" if model == "axr" else "tissue")
    draw, words = _tissues(name, uniform or [], tissue, settings.get("weights"))
    result = run(
        tissue, plan, draw, settings=settings, snr=snr, estimator=estimator, scans=scans, voxels=voxels, regions=regions,
        seed=seed, threads=threads or os.cpu_count() or 1, progress=progress_printer("scans fitted", quiet=quiet),
    )  # fmt: skip
    rows = _rows(result)
    config = {
        "protocol": plan.as_dict(), "estimator": estimator, "model": model, "snr": snr, "tissues": words,
        "uniform": uniform or [], "scans": scans, "voxels": voxels, "regions": regions, "seed": seed,
    }  # fmt: skip
    lines = _lines(result, rows, words)
    payload: dict[str, Any] = {"calibration": rows, "config": config}
    if out is not None:
        payload["files"] = _write(out, result, rows, config, [Path(name), Path(protocol)], started, overwrite=overwrite)
        lines += ["", f"written to {out}:", *(f"  {name}" for name in payload["files"])]
    report(payload, lines, as_json=as_json)


def _settings(estimator: str, weights: Path | None, model: SignalModel) -> dict[str, Any]:
    """Return the settings of `estimator`; refuse what it cannot do."""
    if estimator not in _ESTIMATORS:
        raise UsageError("--estimator", got=estimator, expected=f"one of {', '.join(_ESTIMATORS)}")
    if estimator in ("rician", "physics") and model.name != "axr":
        raise UsageError("--model", got=f"{model.name} with {estimator}", expected="axr, the only model that it knows")
    if weights is None:
        if estimator in _AHEAD:
            hint = f"krogh fexi train {estimator} --protocol ..., then --weights"
            raise UsageError("--weights", got="none", expected=f"a network, for {estimator}", hint=hint)
        return {}
    from krogh.io.weights import read_weights

    found = read_weights(weights)
    if found.estimator != estimator:
        raise UsageError("--weights", got=f"a network of {found.estimator}", expected=f"--estimator {found.estimator}")
    return {"weights": found}


def _of_weights(weights: Checkpoint | None) -> tuple[Draw, str]:
    """Return what draws from the prior of a network; voxels of one tissue label stand together."""
    priors = [] if weights is None else [p.predictive for _, p in sorted(weights.priors.items())]
    if weights is not None and weights.prior is not None:
        priors = [weights.prior]
    if not priors:
        raise UsageError("--tissues", got="weights", expected="a network that was trained under a prior", hint="name the tissues")
    return _of_priors(priors), "the prior of the network"


def _of_priors(priors: list[MixturePrior]) -> Draw:
    import numpy as np

    def draw(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        return np.concatenate(
            [p.draw(len(part), rng) for p, part in zip(priors, np.array_split(range(n), len(priors)), strict=True)]
        )

    return draw


def _tissues(name: str, uniform: list[str], model: SignalModel, weights: Checkpoint | None) -> tuple[Draw, str]:
    """Return what draws the tissues of a scan, and what they are."""
    from krogh.cli.fexi_simulate import parse_range

    if (name == "uniform") != bool(uniform):
        raise UsageError("--tissues", got=f"{name} and {len(uniform)} --uniform", expected="--tissues uniform with --uniform")
    if name == "uniform":
        from krogh.runs.fexi_simulate import draw_parameters

        ranges = dict(parse_range(text) for text in uniform)
        return lambda n, rng: draw_parameters(model, ranges, n, rng), f"uniform {', '.join(uniform)}"
    if name == "weights":
        return _of_weights(weights)
    if name == "tissue":
        from krogh.fexi.learned.tissue import named_prior

        return named_prior("tissue", model).draw, "tissue as assumed for brain at low filter b"
    if name == "two-tissues" and model.name == "axr":
        from krogh.fexi.benchmark_tissues import TWO_TISSUES

        return lambda n, rng: TWO_TISSUES.draw(n, rng)[0], "two tissues: AXR 3.0 +- 0.9 and 1.5 +- 0.6 1/s"
    path = Path(name)
    if not path.is_file():
        expected = "weights, two-tissues (model axr), tissue, uniform, or the prior.json of a fit"
        raise UsageError("--tissues", got=repr(name), expected=expected)
    from krogh.io.fexi_prior import read_priors

    return _of_priors(list(read_priors(path, model).values())), f"the prior of {path.name}"


def _rows(result: Calibration) -> list[dict[str, Any]]:
    from krogh.fexi.calibration import LEVELS
    from krogh.runs.fexi_parameters import shown

    rows = []
    for what, ranks in (("voxels", result.voxels), ("regions", result.regions)):
        if ranks is None:
            continue
        (cover, _), (low, high), p_values = ranks.coverage(), ranks.coverage_interval(), ranks.p_values()
        for j, field in enumerate(result.model.parameter_names):
            row: dict[str, Any] = {"of": what, "parameter": shown(field).name, "p_uniform": float(p_values[j])}
            for i, level in enumerate(LEVELS):
                for key, values in (("cover", cover), ("low", low), ("high", high)):
                    row[f"{key}_{100 * level:.0f}"] = float(values[i, j])
            rows.append(row)
    return rows


def _ends(row: dict[str, Any], level: int) -> str:
    return f"({100 * row[f'low_{level}']:.0f} .. {100 * row[f'high_{level}']:.0f})"


def _lines(result: Calibration, rows: list[dict[str, Any]], words: str) -> list[str]:
    n = result.voxels.value.shape[1]
    lines = [
        f"{result.estimator}: {result.n_scans} simulated scans of {n:,} voxels, SNR {result.snr:g}, {words}, seed {result.seed}",
        "",
        "of       parameter  50 % intervals        80 % intervals        95 % intervals        p (ranks uniform)",
    ]
    for row in rows:
        cells = "  ".join(f"{100 * row[f'cover_{k}']:5.1f} {_ends(row, k):14s}" for k in (50, 80, 95))
        lines.append(f"{row['of']:7s}  {row['parameter']:9s}  {cells}  {row['p_uniform']:8.3g}")
    wrong = [f"{row['parameter']} of {row['of']}" for row in rows if row["p_uniform"] < 0.01]
    verdict = f"not uniform (p < 0.01): {', '.join(wrong)}" if wrong else "no sign of a wrong interval (all p >= 0.01)"
    return [
        *lines, "", f"{verdict}.",
        "Per cent of the truths inside, in brackets 95 % intervals of that over scans,",
        "which are counted: voxels of a scan share its errors.",
        "Research software: not for diagnosis or dosing.",
    ]  # fmt: skip


def _write(
    out: Path, result: Calibration, rows: list[dict[str, Any]], config: dict[str, Any], inputs: list[Path], started: datetime,
    *, overwrite: bool,
) -> list[str]:  # fmt: skip
    from krogh.io.bids import write_tsv
    from krogh.io.folder import output_folder
    from krogh.io.provenance import write_json, write_run_record
    from krogh.plots.fexi_calibration import draw_calibration

    with output_folder(out, overwrite=overwrite) as scratch:
        write_tsv(scratch / "calibration.tsv", rows)
        ranks = {"voxels": result.voxels.value.round(6).tolist()}
        if result.regions is not None:
            ranks["regions"] = result.regions.value.round(6).tolist()
        write_json(scratch / "calibration.json", {"calibration": rows, "axes": "scan, unit, parameter", "ranks": ranks})
        files = [scratch / "calibration.tsv", scratch / "calibration.json", *draw_calibration(scratch / "figures", result)]
        real = [path for path in inputs if path.is_file()]
        write_run_record(scratch, command=options.started_with.get(), config=config, inputs=real, started=started)
        return [str(path.relative_to(scratch)) for path in files]
