"""Predict permeability from structure, from a molecular dynamics profile or from an assay: ``krogh predict``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from krogh.cli.options import Json
from krogh.cli.tables import print_columns

if TYPE_CHECKING:
    from krogh.compounds.predict import StructurePrediction

_COLUMNS = {
    "molecule": 0, "log10 PS [mL/s/g] (90 %)": 0, "P intrinsic": 0, "logP": 80, "logBB (90 %)": 100, "BBB+": 0, "CNS MPO": 120,
    "trust": 0,
}  # fmt: skip
_NOTICE = "not for diagnosis or dosing"
_WHAT = (
    "PS and P are intrinsic: neutral species, without pumps, carriers, binding and flow limit. logBB is total brain over blood;\n"
    "BBB+ is the chance of that label in B3DB. Research software: not for diagnosis or dosing."
)


def register(app: typer.Typer) -> None:
    """Add ``krogh predict`` to `app`."""
    group = typer.Typer(help="Predict permeability from structure, a membrane profile or an assay.", no_args_is_help=True)
    group.command("structure")(structure)
    group.command("profile")(profile)
    group.command("assay")(assay)
    app.add_typer(group, name="predict")


def structure(
    molecules: Annotated[list[str], typer.Argument(help="SMILES, or names of the library.")],
    logp: Annotated[float | None, typer.Option(help="Measured logP of a single molecule: narrows the interval.")] = None,
    equations: Annotated[bool, typer.Option("--equations", help="Show every published equation beside it.")] = False,
    as_json: Json = False,
) -> None:
    """Predict the intrinsic permeability, logBB and BBB+ of structures, with 90 % intervals and what they rest on."""
    from krogh.compounds.predict import predict_structures, read_molecule
    from krogh.errors import UsageError

    if logp is not None and len(molecules) != 1:
        raise UsageError("--logp", got=f"{len(molecules)} molecules", expected="one", hint="a table: krogh screen FILE.csv")
    found = predict_structures([read_molecule(text, logp=logp, where=f"'{text[:40]}'") for text in molecules])
    if as_json:
        typer.echo(json.dumps({"predictions": [p.record() for p in found], "notice": _NOTICE}, indent=2))
        return
    print_columns(_COLUMNS, [_row(p) for p in found])
    if equations:
        typer.echo("")
        _print_equations(found)
    typer.echo(_WHAT)


def _row(p: StructurePrediction) -> list[str]:
    from krogh.units import format_quantity

    v, b, d = p.permeability, p.penetration, p.molecule.descriptors
    logp = f"{p.molecule.logp:.2f} measured" if p.molecule.logp is not None else f"{d.logp_calculated:.2f} calculated"
    trust = [*d.notes] + ([f"outside: {v.reason}"] if not v.inside else [])
    trust += [] if b.inside else [f"logBB, BBB+: nothing similar ({b.similarity:.2f})"]
    return [
        p.molecule.label, f"{v.log10_ps:.2f} ({v.low:.2f} to {v.high:.2f})",
        format_quantity(v.permeability.p_m_s.value, "permeability"), logp,
        f"{b.log_bb:.2f} ({b.log_bb_low:.2f} to {b.log_bb_high:.2f})",
        f"{100 * b.probability:.0f} %", f"{p.mpo:.1f} of {p.mpo_terms}", "; ".join(trust) or "inside",
    ]  # fmt: skip


def _print_equations(found: list[StructurePrediction]) -> None:
    from krogh.compounds.predict import EQUATIONS

    columns = {"molecule": 0, "equation": 0, "gives": 0, "log10": 0, "RMSE": 0, "n": 0, "status": 100, "made for": 140}
    rows = [
        [p.molecule.label, e.name, e.quantity + ("" if e.quantity == "logBB" else " [m/s]"), f"{p.equations[e.name]:.2f}",
         "-" if e.error != e.error else f"{e.error:.2f}", str(e.n), e.status, e.domain]
        for p in found for e in EQUATIONS
    ]  # fmt: skip
    print_columns(columns, rows)


def profile(
    file: Annotated[Path, typer.Argument(help="CSV: 'z [nm],dG [kJ/mol]' and, if known, 'D [cm2/s]'.")],
    diffusivity: Annotated[str | None, typer.Option(help="Where the file has none, e.g. '1e-5 cm2/s'.")] = None,
    temperature: Annotated[float, typer.Option(help="Temperature of the simulation [K].", min=1)] = 310.15,
    as_json: Json = False,
) -> None:
    """Integrate a free-energy profile of a membrane to its permeability, and to that of the endothelium (two membranes)."""
    from krogh.compounds.predict import barrier_from_membrane, profile_permeability
    from krogh.errors import UsageError
    from krogh.io.membrane_profile import read_membrane_profile
    from krogh.units import parse_quantity

    z, energy, local = read_membrane_profile(file)
    if (local is None) == (diffusivity is None):
        got = "none" if local is None else "one beside the column of the file"
        raise UsageError("--diffusivity", got=got, expected="a diffusivity in the file or here")
    d = local if local is not None else parse_quantity(str(diffusivity), "diffusivity", where="--diffusivity")
    membrane = profile_permeability(z, energy, d, temperature_k=temperature)
    whole = barrier_from_membrane(membrane, file.name).p_m_s.value
    ends = max(abs(float(energy[0])), abs(float(energy[-1]))) / 1e3
    record = {"membrane_m_s": membrane, "barrier_m_s": whole, "basis": "intrinsic"}
    _show(record, as_json, {"one membrane": membrane, "endothelium (two in series), intrinsic": whole})
    if ends > 1.0 and not as_json:
        typer.echo(f"note: the profile ends {ends:.1f} kJ/mol away from 0: is it referred to water on both sides?")


def assay(
    apparent: Annotated[str, typer.Argument(help="Apparent permeability, e.g. '12e-6 cm/s'.")],
    mass: Annotated[float, typer.Option(help="Molar mass [g/mol], for the diffusivity in water.", min=1)],
    water: Annotated[
        str, typer.Option(help="Unstirred water of both sides together: stirred PAMPA '100 um', unstirred '1.5 mm'.")
    ],
    leak: Annotated[
        str | None, typer.Option(help="Paracellular permeability, e.g. that of mannitol in the same monolayer.")
    ] = None,
    bare_filter: Annotated[str | None, typer.Option("--filter", help="Permeability of the bare filter.")] = None,
    neutral: Annotated[float, typer.Option(help="Neutral share at the pH of the assay.", min=1e-12, max=1.0)] = 1.0,
    as_json: Json = False,
) -> None:
    """Take unstirred water, filter, leak and charge out of a PAMPA or monolayer permeability."""
    import math

    from krogh.compounds import leicns_diffusivity
    from krogh.compounds.predict import assay_permeability
    from krogh.units import parse_quantity

    def velocity(text: str | None, where: str, default: float) -> float:
        return default if text is None else parse_quantity(text, "permeability", where=where)

    result = assay_permeability(
        velocity(apparent, "apparent permeability", 0.0), diffusivity_m2_s=leicns_diffusivity(mass * 1e-3).value,
        water_m=parse_quantity(water, "length", where="--water"), filter_m_s=velocity(bare_filter, "--filter", math.inf),
        leak_m_s=velocity(leak, "--leak", 0.0), neutral_fraction=neutral,
    )  # fmt: skip
    record = {"apparent_m_s": result.apparent, "membrane_m_s": result.membrane, "intrinsic_m_s": result.intrinsic,
              "share_of_water": result.share_of_water}  # fmt: skip
    _show(record, as_json, {"membrane at the pH of the assay": result.membrane, "intrinsic (neutral species)": result.intrinsic})
    if not as_json:
        typer.echo(
            f"{100 * result.share_of_water:.0f} % of the resistance was water and filter. An assay membrane is not the barrier:"
        )
        typer.echo("in-situ perfusion is on average 1.7 log10 above PAMPA-BBB.")


def _show(record: dict[str, Any], as_json: bool, lines: dict[str, float]) -> None:
    from krogh.units import format_quantity

    if as_json:
        typer.echo(json.dumps({**record, "notice": _NOTICE}, indent=2))
        return
    for name, value in lines.items():
        typer.echo(f"{name}: {format_quantity(value, 'permeability')}")
