"""``krogh fexi infer``: tissue with intervals from the signals of a region or a voxel, and what the protocol cannot tell."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from krogh.cli import options
from krogh.cli.fexi_common import report
from krogh.cli.fexi_model import Bound, Fix, Relax
from krogh.errors import UsageError

if TYPE_CHECKING:
    from krogh.cli.fexi_infer_settings import FexiSettings
    from krogh.runs.infer_fexi import FexiInference

__all__ = ["register"]


def register(fexi: typer.Typer) -> None:
    """Add the command to `fexi`."""
    fexi.command("infer")(infer)


def infer(
    signals: Annotated[list[Path], typer.Argument(help="CSV or TSV: signal, and where they apply region, volume, sd.")],
    protocol: Annotated[
        str | None, typer.Option("--protocol", "-p", help="Protocol: a .tsv, .bf/.bval/.tm or .mat file, or a preset.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="axr, 2cm or 2cmr.  [default: axr]")] = None,
    free: Annotated[
        str | None, typer.Option("--free", help="Unknowns: adc,sigma,axr or fi,di,de,k.  [default: all but di]")
    ] = None,
    only: Annotated[list[str] | None, typer.Option("--only", help="Curves to take; default: all. Repeatable.")] = None,
    out: options.Out = Path("inference"),
    bound: Bound = None,
    fix: Fix = None,
    relax: Relax = None,
    prior: Annotated[list[str] | None, typer.Option("--prior", help="NAME='MEDIAN, FOLD', e.g. axr='3, 2'. Repeatable.")] = None,
    noise_sd: Annotated[float | None, typer.Option("--noise-sd", help="Noise SD of a signal, in its unit.")] = None,
    snr: Annotated[float | None, typer.Option("--snr", help="Unfiltered b = 0 signal over noise SD.")] = None,
    likelihood: Annotated[
        str | None, typer.Option("--likelihood", help="gaussian, or rician (magnitudes below SNR 10).  [default: gaussian]")
    ] = None,
    unheld: Annotated[
        str, typer.Option("--unheld", help="What the data do not hold: refuse it, or fix it at a typical value.")
    ] = "refuse",
    level: Annotated[float, typer.Option("--level", help="Of the intervals.", min=0.5, max=0.999)] = 0.95,
    v_b: Annotated[str | None, typer.Option("--vb", help="Blood volume fraction for k_ie, PS and P.  [default: 4 %]")] = None,
    radius: Annotated[str | None, typer.Option("--radius", help="Capillary radius for P.  [default: 3 um]")] = None,
    posterior: Annotated[bool, typer.Option("--posterior/--no-posterior", help="Sample the posterior (extra infer).")] = True,
    pictures: Annotated[bool, typer.Option("--pictures/--no-pictures", help="Draw the pictures.")] = True,
    config: options.Config = None,
    seed: options.Seed = 0,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    overwrite: options.Overwrite = False,
    dry_run: options.DryRun = False,
) -> None:
    """Infer ADC, sigma and AXR, or the pools of 2cm and 2cmr, from FEXI signals, with intervals and what cannot be told.

    Several curves (column 'region') share the tissue; every series of every curve has its own S0. A parameter that the data do
    not hold is refused, with the combination that they do hold. Tables [dataset.NAME] of --config give a curve its own protocol
    or noise.
    """
    from krogh.cli.fexi_infer_settings import read_fexi_settings
    from krogh.io.folder import check_output
    from krogh.runs.infer_fexi import infer_fexi
    from krogh.runs.infer_fexi_tables import permeability_rows

    started = datetime.now(UTC)
    if unheld not in ("refuse", "fix"):
        raise UsageError("--unheld", got=repr(unheld), expected="refuse or fix")
    given = {"protocol": protocol, "model": model, "free": free, "bound": bound, "fix": fix, "relax": relax, "prior": prior,
             "noise_sd": noise_sd, "snr": snr, "likelihood": likelihood, "only": only, "vb": v_b, "radius": radius}  # fmt: skip
    s = read_fexi_settings(signals, given, config)
    if dry_run:
        typer.echo(f"would fit {', '.join(s.free)} to {len(s.data.t_s)} signals of {', '.join(s.scans)}")
        return
    check_output(out, overwrite=overwrite)
    result = infer_fexi(
        s.scans, s.data, s.free, priors=s.priors, bounds=s.bounds, unheld="fix" if unheld == "fix" else "report", level=level,
        posterior=posterior, seed=seed, notes=s.notes,
    )  # fmt: skip
    permeability = permeability_rows(result, s.blood_fraction, s.radius_m)
    files = _save(out, result, permeability, s, started, overwrite=overwrite, pictures=pictures)
    _show(result, permeability, out, files, as_json=as_json, quiet=quiet)
    if result.unheld:
        from krogh.cli.infer_report import refuse

        refuse(result)


def _save(
    out: Path, result: FexiInference, permeability: list[dict[str, Any]], s: FexiSettings, started: datetime,
    *, overwrite: bool, pictures: bool,
) -> list[str]:  # fmt: skip
    from krogh.io.fexi_inference_files import write_fexi_inference
    from krogh.io.folder import output_folder
    from krogh.io.provenance import write_run_record

    with output_folder(out, overwrite=overwrite) as folder:
        paths = write_fexi_inference(result, permeability, folder)
        if pictures:
            from krogh.plots.corner import draw_corner
            from krogh.plots.fexi_inference import draw_fexi_fit
            from krogh.plots.inference import draw_profiles

            for name, figure in (
                ("fit", draw_fexi_fit(result)), ("profiles", draw_profiles(result)), ("corner", draw_corner(result)),
            ):  # fmt: skip
                path = folder / f"{name}.png"
                figure.savefig(path, metadata={"Title": name, "Description": str(figure.get_label())})
                paths.append(path)
        command = options.started_with.get()
        write_run_record(folder, command=command, config=dict(s.config), inputs=s.inputs, started=started,
                         extra={"notes": list(result.notes)})  # fmt: skip
    return [p.name for p in paths] + ["run.json"]


def _show(
    result: FexiInference, permeability: list[dict[str, Any]], out: Path, files: list[str], *, as_json: bool, quiet: bool
) -> None:
    from krogh.cli.infer_report import interval_text, shown_number
    from krogh.cli.tables import print_columns
    from krogh.io.fexi_inference_files import fexi_inference_record
    from krogh.runs.infer_tables import combination_rows, combination_text, estimate_rows

    if as_json:
        report({"out": str(out), "files": files, **fexi_inference_record(result, permeability)}, [], as_json=True)
        return
    if not quiet:
        columns = {"parameter": 0, "estimate": 0, f"{100 * result.level:g} % interval": 0, "unit": 0, "": 0}
        rows = [
            [r["parameter"], shown_number(r["estimate"]),
             interval_text(r), r["unit"], r["verdict"]]
            for r in estimate_rows(result)
        ]  # fmt: skip
        rows += [
            [r["quantity"], f"{r['estimate']:.3g}", f"{r['low']:.3g} to {r['high']:.3g}", r["unit"], "from the exchange rate"]
            for r in permeability
        ]
        print_columns(columns, rows)
        for row in combination_rows(result):
            typer.echo(f"the data hold {combination_text(row)}")
        misfit = f"chi2 {result.fit.chi2:.1f} for {result.fit.dof} degrees of freedom (p {result.fit.p_value:.2g})"
        typer.echo(f"{len(result.data.t_s)} signals; {misfit if result.fit.dof > 0 else 'too few for a test of the model'}")
        if result.posterior is not None:
            p = result.posterior
            typer.echo(f"posterior: {len(p.x)} samples worth {p.effective:.0f} independent ones, R-hat {p.r_hat:.3f}")
        for n in result.further[:1]:
            way = "after the filter" if n.filter_b_s_m2 else "without a filter"
            typer.echo(
                f"most would be learned from b = 0 and {n.b_s_m2 * 1e-6:.0f} s/mm2 {way} at a mixing time of "
                f"{1e3 * n.mixing_time_s:.0f} ms (next_series.csv)"
            )
        for note in result.notes:
            typer.echo(f"note: {note}")
        typer.echo("")
    typer.echo(f"{out}/: " + ", ".join(files))
    if not quiet:
        typer.echo("Profile-likelihood intervals. Research software: not for diagnosis or dosing.")
