"""The page Screen: a table of molecules, ranked by how much free drug reaches the brain."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import Request
from nicegui import ui

from krogh.app.jobs import Step, add_job
from krogh.app.pages.cross import choices
from krogh.app.pages.frame import PATIENCE_S, Here, apart, card, frame, here, say, table
from krogh.app.pages.screen_result import show_result
from krogh.app.pages.uploads import upload
from krogh.app.pages.watching import asked, split
from krogh.app.workspace import Workspace
from krogh.errors import InputError, KroghError
from krogh.report.page import Table

__all__ = ["register", "screen_step"]

_EMPTY = "Give a table of molecules and press Run. Their ranking appears here, with a picture and a card for each."
_TABLES = (".csv", ".parquet", ".smi", ".smiles", ".txt")
_LONGEST_PASTE = 400_000
_EXAMPLE = """name,smiles,logp,fu_brain,pka_base
caffeine,caffeine,,,
diazepam,diazepam,,,
mannitol,mannitol,,,
propranolol,CC(C)NCC(O)COc1cccc2ccccc12,3.48,0.04,9.5
ethanol,CCO,-0.31,1,
glycerol,OCC(O)CO,-1.76,1,
atenolol,CC(C)NCC(O)COc1ccc(CC(N)=O)cc1,0.16,0.4,9.6
"""


def screen_step(form: dict[str, Any], name: str) -> Step:
    """Return the command that the form describes for the table `name`; a run that broke off goes on where it was."""
    words = ["screen", name, "--dose", form["dose"].strip(), "--duration", form["duration"].strip(), "--species", form["species"]]
    words += ["--plasma-of", form["plasma_of"]] if form["plasma_of"] else []
    return Step((*words, "--fu-brain", f"{float(form['fu_brain']):g}", "--resume"))


def _table(form: dict[str, Any], files: dict[str, Path]) -> tuple[str, str | Path]:
    """Return name and content of the table: pasted text, or a file that was received.

    Raises
    ------
    InputError
        If there is none.
    """
    from krogh.io.molecule_table import names_molecules

    if form["source"] == "paste":
        text = str(form["text"] or "").strip()
        if not text:
            raise InputError("molecules", got="nothing pasted", expected="a table, or a SMILES a line")
        return ("molecules.csv" if names_molecules(text.splitlines()[0]) else "molecules.smi"), text + "\n"
    if not files:
        raise InputError("molecules", got="no file", expected=" or ".join(_TABLES), hint="choose one, or paste a table")
    suffix, path = next(iter(files.items()))
    if suffix == ".parquet":
        return "molecules.parquet", path
    with path.open("rb") as stream:
        first = stream.readline(10_000).decode("utf-8", "replace")
    return ("molecules.csv" if suffix == ".csv" or names_molecules(first) else "molecules.smi"), path


def _check(form: dict[str, Any], files: dict[str, Path]) -> Table:
    """Read the table and the settings as the command would; return the first rows as they were understood."""
    from krogh.compounds.predict.descriptors import require_rdkit
    from krogh.io.molecule_table import read_molecules
    from krogh.runs.screen import ScreenSettings
    from krogh.units import parse_quantity

    require_rdkit()
    name, content = _table(form, files)
    duration = parse_quantity(form["duration"].strip(), "time", where="duration")
    ScreenSettings(form["species"], form["dose"].strip(), duration, form["plasma_of"] or "", float(form["fu_brain"])).check()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / name
        if isinstance(content, Path):
            place.symlink_to(content.resolve())
        else:
            place.write_text(content, encoding="utf-8")
        entries = read_molecules(place)
    shown = [[str(e.row), e.name, e.molecule, e.logp, e.pka_acid, e.pka_base, e.fu_brain, e.fault] for e in entries[:5]]
    shown = [[c[:60] for c in row] for row in shown]
    columns = ("row", "name", "molecule", "logP", "pKa, acid", "pKa, base", "fu,brain", "fault")
    first = f"{len(entries)} rows" + (f"; the first {len(shown)}:" if len(entries) > len(shown) else ":")
    return Table(columns, shown, note=f"{first} as they are understood.")


def _start(me: Here, form: dict[str, Any], files: dict[str, Path]) -> str:
    _check(form, files)
    name, content = _table(form, files)
    title = f"Screen of {form.get('name', 'a table') if form['source'] == 'file' else 'pasted molecules'}, {form['species']}"
    about = {k: v for k, v in form.items() if isinstance(v, (str, int, float))}
    return add_job(me.place, "screen", title, [screen_step(form, name)], {name: content}, {"form": about})


def register(workspace: Workspace, largest_upload: int) -> None:
    """Add the page."""

    @ui.page("/screen", response_timeout=PATIENCE_S)
    async def screen(request: Request) -> None:
        me = here(request, workspace)
        job = asked(me, request.query_params.get("run"))
        with frame(me, "/screen"):
            ui.html("<h1 style='font-size:1.4rem;margin:.8rem 0'>Which of these molecules reach the brain?</h1>", sanitize=False)
            before = dict(job.about.get("form", {})) if job else {}
            split(me, "/screen", job, _EMPTY, show_result, lambda follow: _form(me, before, largest_upload, follow))


def _form(me: Here, before: dict[str, Any], largest: int, follow: Callable[[str], None]) -> None:
    form: dict[str, Any] = {}
    files: dict[str, Path] = {}

    def keep(suffix: str, path: Path, shown: str) -> None:
        files.clear()
        files[suffix] = path
        form["name"] = shown

    with card("Molecules"):
        source = ui.toggle({"file": "A file", "paste": "Paste"}, value=before.get("source", "file")).props(
            'no-caps aria-label="Where the molecules come from"'
        )
        source.bind_value_to(form, "source")
        with ui.column().classes("w-full").bind_visibility_from(source, "value", value="file"):
            upload(me, "Table: .csv, or .smi", _TABLES, largest, keep, name="upload-table")
        with ui.column().classes("w-full").bind_visibility_from(source, "value", value="paste"):
            text = ui.textarea("SMILES or library names", value=before.get("text", "")).classes("w-full")
            text.props(f'data-testid="paste" maxlength={_LONGEST_PASTE} input-class="krogh-mono" debounce=200')
            text.bind_value_to(form, "text")
            ui.button("Fill in an example", on_click=lambda: text.set_value(_EXAMPLE)).props("outline dense no-caps")
        ui.label("Columns: smiles (or name); where known also name, logp, pka_acid, pka_base, fu_brain.").classes("krogh-soft")
        checks = ui.column().classes("w-full")
        ui.button("Check the table", on_click=lambda: check()).props('outline no-caps data-testid="check"')
    with card("Plasma and species"):
        _settings(form, before)

    async def check() -> None:
        checks.clear()
        try:
            found = await apart(_check, dict(form), dict(files))
        except (KroghError, ValueError, TypeError) as error:
            say(error)
            return
        with checks:
            table(found, name="entries")

    async def go() -> None:
        button.disable()
        try:
            run_id = await apart(_start, me, dict(form), dict(files))
        except (KroghError, ValueError, TypeError) as error:
            say(error)
            return
        finally:
            button.enable()
        follow(run_id)

    button = ui.button("Run", on_click=go).classes("w-full").props('size=lg no-caps data-testid="run-button"')


def _settings(form: dict[str, Any], before: dict[str, Any]) -> None:
    from krogh.compounds import get_compound, names

    lends = {n: n for n in names() if get_compound(n).pk}
    dose = ui.input("Free concentration in plasma, or a dose", value=before.get("dose", "1 uM constant")).classes("w-full")
    dose.props('data-testid="dose"').bind_value_to(form, "dose")
    lender = ui.select({"": "none: constant concentration", **lends}, value=before.get("plasma_of", ""), label="Kinetics of")
    lender.classes("w-full").props('data-testid="plasma-of"').bind_value_to(form, "plasma_of")
    duration = ui.input("Duration, e.g. 4 h", value=before.get("duration", "4 h")).classes("w-full")
    duration.props('data-testid="duration"').bind_value_to(form, "duration")
    species = choices("species")
    ui.select(species, label="Species", value=before.get("species", species[0])).classes("w-full").bind_value_to(form, "species")
    bound = ui.number("fu,brain where a row gives none", value=before.get("fu_brain", 1.0), min=1e-4, max=1, step=0.1)
    bound.classes("w-full").bind_value_to(form, "fu_brain")
    ui.label("Passive crossing only: pumps and carriers are not predicted from structure.").classes("krogh-soft")
