"""``krogh fexi benchmark``: what each estimator makes of the origin experiment, beside the bound and the floor."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from krogh.cli import options
from krogh.cli.fexi_common import progress_printer, report

if TYPE_CHECKING:
    from krogh.fexi.benchmark import BenchmarkResult, TestSet

__all__ = ["register"]


def register(fexi: typer.Typer) -> None:
    """Add the command to `fexi`."""
    fexi.command("benchmark")(benchmark)


def benchmark(
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the table and the pictures; default: print only.")
    ] = None,
    estimators: Annotated[
        str, typer.Option("--estimators", help="Which, separated by commas.")
    ] = "constant,nlls,rician,nlls27,bayes",
    scenario: Annotated[
        str, typer.Option("--scenario", help="origin (uniform ranges) or two-tissues (a distribution nobody is told).")
    ] = "origin",
    voxels: Annotated[int, typer.Option("--voxels", help="Voxels of the test set.", min=100)] = 10_000,
    snr: Annotated[float, typer.Option("--snr", help="SNR of the unfiltered b = 0 volume.")] = 50.0,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of a training, e.g. npe.rounds=10. Repeatable.")
    ] = None,
    slow: Annotated[int, typer.Option("--slow-voxels", help="Voxels for nlls27.", min=10)] = 100,
    threads: options.Threads = 0,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Run estimators on the origin experiment, or on two tissues, and print error, bias and spread beside bound and floor."""
    import os

    from krogh.fexi.benchmark import benchmark as run
    from krogh.io.folder import check_output

    started = datetime.now(UTC)
    if out is not None:
        check_output(out, overwrite=overwrite)
    names = [name.strip() for name in estimators.split(",") if name.strip()]
    _check_names(names)
    progress = progress_printer("estimators", quiet=quiet)
    limits = {"nlls27": slow, "bayes": 4000}
    result = run(
        names,
        test_set=_test_set(scenario, voxels, snr, seed),
        limits=limits,
        options=_options(set_ or []),
        threads=threads or os.cpu_count() or 1,
        progress=progress,
    )
    rows = _score_rows(result)
    lines = _score_lines(result, rows)
    config = {"scenario": scenario, "estimators": names, "voxels": voxels, "snr": snr, "seed": seed, "set": set_ or []}
    payload: dict[str, Any] = {"scores": rows, "tissues": _tissue_rows(result), "config": config}
    if out is not None:
        payload["files"] = _write_benchmark(out, result, rows, config, started, overwrite=overwrite)
        lines += ["", f"written to {out}:", *(f"  {name}" for name in payload["files"])]
    report(payload, lines, as_json=as_json)


def _test_set(scenario: str, voxels: int, snr: float, seed: int) -> TestSet:
    from krogh.errors import UsageError
    from krogh.fexi.benchmark import draw_test_set
    from krogh.fexi.benchmark_tissues import draw_two_tissues

    draw = {"origin": draw_test_set, "two-tissues": draw_two_tissues}.get(scenario)
    if draw is None:
        raise UsageError("--scenario", got=repr(scenario), expected="origin or two-tissues")
    return draw(voxels, snr=snr, seed=seed)


def _options(texts: list[str]) -> dict[str, dict[str, Any]]:
    from krogh.runs.fexi_train import parse_settings

    by_name: dict[str, list[str]] = {}
    for text in texts:
        name, _, rest = text.partition(".")
        by_name.setdefault(name, []).append(rest)
    return {name: {"training": parse_settings(name, rest)} for name, rest in by_name.items()}


def _check_names(names: Iterable[str]) -> None:
    from krogh.errors import UsageError, nearest
    from krogh.fexi.estimators import ESTIMATORS

    known = [*(n for n in ESTIMATORS if n != "pooled"), "constant", "bayes"]
    for name in names:
        base, _, variant = name.partition(":")
        if base not in known or variant not in ("", "uniform"):
            raise UsageError("--estimators", got=repr(name), expected="a voxel-wise estimator", hint=nearest(name, known))


def _score_rows(result: BenchmarkResult) -> list[dict[str, Any]]:
    from krogh.runs.fexi_parameters import shown

    rows = []
    for score in result.scores:
        for j, field in enumerate(result.parameter_names):
            p = shown(field)
            u = p.si_per_unit
            rows.append({
                "estimator": score.name, "parameter": p.name, "unit": p.unit, "voxels": int(score.rows.size),
                "mse": float(score.mse[j] / u**2), "bias": float(score.bias[j] / u), "variance": float(score.variance[j] / u**2),
                "correlation": float(score.correlation[j]), "slope": result.slope(score, j),
                "share_on_bound": float(score.share_on_bound),
                "seconds_per_voxel": float(score.seconds_per_voxel), "crlb_sd_median": float(result.crlb_sd[j] / u),
                "population_variance": float(result.population_variance[j] / u**2),
            })  # fmt: skip
    return rows


def _shrinkage_line(rows: list[dict[str, Any]]) -> str:
    """Say in words how much each estimator draws AXR to the middle."""
    parts = [f"{r['estimator']} {r['slope']:z.2f}" for r in rows if r["parameter"] == "axr"]
    return (
        f"Shrinkage: when the true AXR rises by 1 1/s the estimate rises by {', '.join(parts)} 1/s (1: none; 0: a constant). "
        "A small error that comes from a small rise says more about the prior than about the tissue."
    )


def _score_lines(result: BenchmarkResult, rows: list[dict[str, Any]]) -> list[str]:
    test = result.test_set
    lines = [
        f"{test.truth.shape[0]:,} voxels, {test.words}, {test.protocol.n_volumes} "
        f"volumes, S0 = 1 known, Rician noise, SNR {test.snr:g}, seed {test.seed}",
        "",
        "estimator  voxels   MSE: ADC   sigma     AXR   bias: ADC   sigma     AXR   variance: AXR   r(AXR)  on bound  ms/voxel",
    ]
    for name in dict.fromkeys(row["estimator"] for row in rows):
        adc, sigma, axr = (row for row in rows if row["estimator"] == name)
        lines.append(
            f"{name:9s}  {axr['voxels']:6d}  {adc['mse']:9.4f} {sigma['mse']:7.4f} {axr['mse']:7.2f}  "
            f"{adc['bias']:+10.4f} {sigma['bias']:+7.4f} {axr['bias']:+7.2f}  {axr['variance']:14.2f}  "
            f"{axr['correlation']:7.2f}  {100 * axr['share_on_bound']:6.0f} %  "
            f"{1e3 * axr['seconds_per_voxel']:8.4f}"
        )
    axr = rows[2]
    lines += [
        "",
        "variance: spread over repeated noise at a fixed truth, averaged over truths (not the spread of the truth).",
        f"Cramer-Rao SD of AXR for an unbiased estimator, median over voxels: {axr['crlb_sd_median']:.2f} 1/s "
        f"(variance {axr['crlb_sd_median'] ** 2:.1f}); variance of the true AXR: {axr['population_variance']:.1f}.",
    ]
    lines.append(_shrinkage_line(rows))
    lines += _tissue_lines(result)
    if any(row["estimator"] == "bayes" for row in rows) and test.density is None:
        floor = next(r for r in rows if r["estimator"] == "bayes" and r["parameter"] == "axr")["mse"]
        lines.append(
            f"No estimator can have an AXR MSE below {floor:.1f} on this set (posterior mean under the true prior). "
            "A published 0.331 for least squares cannot come from such data."
        )
    return lines


def _tissue_rows(result: BenchmarkResult) -> list[dict[str, Any]]:
    """Return RMSE of AXR, its ratio to the oracle and the mean error of the scan and of each tissue [1/s]."""
    import numpy as np

    test = result.test_set
    rows: list[dict[str, Any]] = []
    if test.tissue is None:
        return rows
    for score in result.scores:
        error = (score.estimates - test.truth[score.rows])[:, 2]
        oracle = next((s for s in result.scores if s.name == "bayes"), None)
        rows.append({
            "estimator": score.name, "voxels": int(score.rows.size), "rmse_axr": float(np.sqrt(score.mse[2])),
            "ratio_to_oracle": None if oracle is None else float(np.sqrt(score.mse[2] / np.square(
                (oracle.estimates - test.truth[oracle.rows])[np.isin(oracle.rows, score.rows), 2]).mean())),
            "mean_error": float(error.mean()),
            "mean_error_by_tissue": [float(error[test.tissue[score.rows] == t].mean()) for t in np.unique(test.tissue)],
        })  # fmt: skip
    return rows


def _tissue_lines(result: BenchmarkResult) -> list[str]:
    rows = _tissue_rows(result)
    if not rows:
        return []
    lines = ["", "AXR (1/s)    RMSE   / oracle   mean error   of tissue 1   of tissue 2"]
    for row in rows:
        ratio = "-" if row["ratio_to_oracle"] is None else f"{row['ratio_to_oracle']:.3f}"
        tissues = "   ".join(f"{error:+11.3f}" for error in row["mean_error_by_tissue"])
        lines.append(f"{row['estimator']:10s} {row['rmse_axr']:6.3f}   {ratio:>8s}   {row['mean_error']:+10.3f}   {tissues}")
    return [
        *lines, "",
        "bayes is the posterior mean under the true distribution (oracle), which no estimator here is told. Its mean error in a "
        "tissue is not 0: voxels alone cannot tell the tissues apart, so every posterior mean draws them together.",
    ]  # fmt: skip


def _write_benchmark(
    out: Path, result: BenchmarkResult, rows: list[dict[str, Any]], config: dict[str, Any], started: datetime, *, overwrite: bool
) -> list[str]:
    from krogh.io.bids import write_tsv
    from krogh.io.folder import output_folder
    from krogh.io.provenance import write_run_record
    from krogh.plots.fexi_benchmark import draw_benchmark

    with output_folder(out, overwrite=overwrite) as scratch:
        write_tsv(scratch / "scores.tsv", rows)
        files = [scratch / "scores.tsv", *draw_benchmark(scratch / "figures", result)]
        write_run_record(scratch, command=options.started_with.get(), config=config, started=started)
        return [str(path.relative_to(scratch)) for path in files]
