"""The page Measure: a scan, or a digital head; the fit; maps on the brain with their uncertainty."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import Request
from nicegui import ui

from krogh.app.jobs import Step, add_job
from krogh.app.pages.frame import PATIENCE_S, Here, apart, card, frame, here, say, table
from krogh.app.pages.measure_result import show_result, show_volumes
from krogh.app.pages.uploads import upload
from krogh.app.pages.watching import asked, split
from krogh.app.views.scan import checks_table, protocol_of, protocol_table, volume_names
from krogh.app.workspace import Place, Workspace
from krogh.errors import InputError, KroghError
from krogh.report.page import Table

__all__ = ["fit_steps", "register"]

_EMPTY = "Take the digital head or your own scan, and press Run. Maps with their uncertainty appear here."
_IMAGE = (".nii.gz", ".nii")
_PROTOCOL = (".tsv", ".mat", ".bf", ".bval", ".tm", ".json")
_PARTS = {
    "scan": ("Scan, 4-D NIfTI", _IMAGE),
    "protocol": ("Protocol: .tsv or .mat, or .bf, .bval and .tm", _PROTOCOL),
    "mask": ("Mask (optional)", _IMAGE),
    "regions": ("Regions, label image (optional)", _IMAGE),
}


def _head_steps(form: dict[str, Any]) -> list[Step]:
    words = [
        "fexi",
        "simulate",
        "--phantom",
        str(form["phantom"]),
        "--voxel",
        f"{int(form['voxel'])} mm",
        "--snr",
        f"{float(form['snr']):g}",
    ]
    words += ["--seed", str(int(form["seed"])), "--protocol", str(form["preset"]), *(["--lesion"] if form["lesion"] else [])]
    return [Step(tuple(words), "scan")]


def fit_steps(form: dict[str, Any], files: dict[str, Path]) -> list[Step]:
    """Return the commands that the form describes: the head first where one is simulated, then the fit.

    Raises
    ------
    InputError
        If scan or protocol is missing.
    """
    place = "scan/sub-01/dwi/sub-01_"
    if form["source"] == "head":
        steps = _head_steps(form)
        words = [
            "fexi",
            "fit",
            f"{place}dwi.nii.gz",
            "--protocol",
            f"{place}fexi.tsv",
            "--mask",
            f"{place}desc-brain_mask.nii.gz",
        ]
        words += ["--roi", f"{place}desc-tissue_dseg.nii.gz"]
    else:
        steps = []
        scan = next((n for n in files if n.startswith("scan.")), None)
        protocol = next((n for e in (".tsv", ".mat", ".bf") for n in files if n == f"protocol{e}"), None)
        if scan is None:
            raise InputError("scan", got="no file", expected="a 4-D NIfTI", hint="choose one, or take the digital head")
        words = ["fexi", "fit", scan, "--protocol", protocol or str(form["preset"])]
        for part, option in (("mask", "--mask"), ("regions", "--roi")):
            name = next((n for n in files if n.startswith(f"{part}.")), None)
            words += [option, name] if name else []
    words += [
        "--estimator",
        form["estimator"],
        "--model",
        form["model"],
        "--vb",
        f"{float(form['vb']):g} %",
        "--radius",
        f"{float(form['radius']):g} um",
    ]
    return [*steps, Step(tuple(words))]


def _scan(form: dict[str, Any], files: dict[str, Path]) -> Path | None:
    return next((p for n, p in files.items() if n.startswith("scan.")), None) if form["source"] == "files" else None


def _check(form: dict[str, Any], files: dict[str, Path]) -> list[Table]:
    """Read protocol and scan as the command would; return what was found, and the checks where there is a scan."""
    plan = protocol_of(str(form["preset"]), files if form["source"] == "files" else {})
    scan = _scan(form, files)
    found = [protocol_table(plan, scan)]
    return [checks_table(plan, scan), *found] if scan is not None else found


def _start(place: Place, form: dict[str, Any], files: dict[str, Path]) -> str:
    _check(form, files)
    head = form["source"] == "head"
    title = (
        f"FEXI of the digital head ({form['phantom']}, SNR {float(form['snr']):g})"
        if head
        else f"FEXI of {form.get('scan name', 'a scan')}"
    )
    about = {k: v for k, v in form.items() if isinstance(v, (str, int, float, bool))}
    return add_job(place, "measure", title, fit_steps(form, files), {} if head else files, {"form": about})


def register(workspace: Workspace, largest_upload: int) -> None:
    """Add the page."""

    @ui.page("/measure", response_timeout=PATIENCE_S)
    async def measure(request: Request) -> None:
        me = here(request, workspace)
        job = asked(me, request.query_params.get("run"))
        with frame(me, "/measure"):
            ui.html("<h1 style='font-size:1.4rem;margin:.8rem 0'>How fast does water cross the barrier?</h1>", sanitize=False)
            before = dict(job.about.get("form", {})) if job else {}
            split(me, "/measure", job, _EMPTY, show_result, lambda follow: _form(me, before, largest_upload, follow))


def _phantoms() -> dict[str, str]:
    from krogh.io.asldro import brain_file

    try:
        brain_file()
    except (KroghError, OSError):
        return {"shapes": "geometric head"}
    return {"shapes": "geometric head", "brain": "digital brain"}


def _form(me: Here, before: dict[str, Any], largest: int, follow: Callable[[str], None]) -> None:
    from krogh.fexi.estimators import ESTIMATORS
    from krogh.fexi.models import MODELS
    from krogh.fexi.presets import PRESETS

    form: dict[str, Any] = {}
    files: dict[str, Path] = {}
    with card("Scan"):
        source = ui.toggle({"head": "Digital head", "files": "My files"}, value="head").props(
            'no-caps aria-label="Where the scan comes from"'
        )
        source.bind_value_to(form, "source")
        with ui.column().classes("w-full").bind_visibility_from(source, "value", value="head"):
            _select(form, before, "phantom", "Head", _phantoms())
            for key, label, value, low, high in (
                ("voxel", "Voxel [mm]", 5, 1, 20),
                ("snr", "SNR at b = 0", 50, 1, 100_000),
                ("seed", "Seed", 1, 0, 2**31),
            ):
                ui.number(label, value=before.get(key, value), min=low, max=high).classes("w-full").bind_value_to(form, key)
            ui.switch("A lesion of raised exchange", value=before.get("lesion", True)).bind_value_to(form, "lesion")
        with ui.column().classes("w-full").bind_visibility_from(source, "value", value="files"):
            for part, (label, allowed) in _PARTS.items():
                _upload(me, form, files, part, label, allowed, largest)
        _select(form, before, "preset", "Protocol preset (where no file is given)", {p: p for p in PRESETS}, "human-bbb")
        checks = ui.column().classes("w-full")

        async def check() -> None:
            checks.clear()
            try:
                found = await apart(_check, form, files)
            except KroghError as error:
                say(error)
                return
            with checks:
                for k, one in enumerate(reversed(found)):
                    table(one, name="checks" if k else "protocol")
                if scan := _scan(form, files):
                    plan = protocol_of(str(form["preset"]), files)
                    show_volumes(f"/uploads/{scan.name}", volume_names(plan))

        ui.button("Check scan and protocol", on_click=check).props('outline no-caps data-testid="check"')
    with card("Fit"):
        _select(
            form, before, "estimator", "Estimator", {n: f"{n}: {words}" for n, (_, words) in ESTIMATORS.items() if n != "pooled"}
        )
        models = {n: n for n in MODELS}
        _select(form, before, "model", "Signal model", models)
        for key, label, value in (("vb", "Blood fraction [%], stated", 4), ("radius", "Capillary radius [um], stated", 3)):
            ui.number(label, value=before.get(key, value), min=0.1, max=50).classes("w-full").bind_value_to(form, key)
        ui.label("Regions are pooled fits with profile intervals, whatever the estimator of the voxels.").classes("krogh-soft")

    async def go() -> None:
        button.disable()
        try:
            run_id = await apart(_start, me.place, dict(form), dict(files))
        except (KroghError, ValueError, TypeError) as error:
            say(error)
            return
        finally:
            button.enable()
        follow(run_id)

    button = ui.button("Run", on_click=go).classes("w-full").props('size=lg no-caps data-testid="run-button"')


def _select(
    form: dict[str, Any], before: dict[str, Any], key: str, label: str, options: dict[str, str], default: str | None = None
) -> None:
    value = before.get(key, default)
    value = value if value in options else next(iter(options))
    ui.select(options, label=label, value=value).classes("w-full").props(f'data-testid="{key}"').bind_value_to(form, key)


def _upload(
    me: Here, form: dict[str, Any], files: dict[str, Path], part: str, label: str, allowed: tuple[str, ...], largest: int
) -> None:
    def keep(suffix: str, path: Path, shown: str) -> None:
        if part != "protocol":
            for old in [n for n in files if n.startswith(f"{part}.")]:
                files.pop(old)
        files[f"{part}{suffix}"] = path
        form[f"{part} name"] = shown

    upload(me, label, allowed, largest, keep, multiple=part == "protocol", name=f"upload-{part}")
