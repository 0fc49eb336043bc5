"""The page Cross: choose compounds, dose and barrier; watch them cross."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import Request
from nicegui import ui

from krogh.app.jobs import Job, Step, add_job
from krogh.app.pages.cross_result import show_result
from krogh.app.pages.frame import PATIENCE_S, Here, apart, card, frame, here, say
from krogh.app.pages.geometry import files_of_geometry, geometry_fields, settings_of_geometry
from krogh.app.pages.property_card import property_card
from krogh.app.pages.watching import asked, split
from krogh.app.workspace import Workspace
from krogh.errors import InputError, KroghError
from krogh.runs.config import SimulateConfig

__all__ = ["choices", "register", "settings_of"]

#: Words -> settings of the barrier; the page fills the fields below with them.
STATES: dict[str, dict[str, Any]] = {
    "healthy": {},
    "leaky: ten times the open junctions": {"leak_factor": 10.0},
    "30 % of the pericytes": {"pericyte_coverage": 0.3},
    "P-gp blocked": {"efflux": {"P-gp": 0.0}},
    "every pump at a fifth": {"efflux": {"all": 0.2}},
    "after a protein meal": {"amino_acids": 2.0},
}
_EMPTY = "Choose one or more compounds and press Run. Their course through the layers appears here."
_GEOMETRIES = {
    "slab": "layered slab", "cylinder": "Krogh cylinder with flowing blood", "block": "block in three dimensions",
    "network": "network of capillaries in three dimensions",
}  # fmt: skip


def choices(field: str) -> list[str]:
    """Return what a setting may be, as the command line knows it."""
    from typing import get_args

    return list(get_args(SimulateConfig.model_fields[field].annotation))


def settings_of(form: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a simulation that the form describes; what is at its default is left out.

    Raises
    ------
    InputError
        If no compound is chosen.
    """
    names = list(form["compounds"] or [])
    if not names:
        raise InputError("compounds", got="none chosen", expected="at least one")
    doses = {n: d.strip() for n in names if (d := form["doses"].get(n) or "").strip()}
    if doses and len(doses) < len(names):
        from krogh.compounds import get_compound
        from krogh.runs.typical import typical_dose

        doses = {n: doses.get(n) or typical_dose(get_compound(n), form["species"]).describe() for n in names}
    held = {
        "compounds": names,
        "species": form["species"],
        "geometry": form["geometry"],
        "duration": (form["duration"] or "").strip(),
        "leak_factor": form["leak_factor"],
        "pericyte_coverage": form["pericyte_coverage"],
        "amino_acids": form["amino_acids"],
        "efflux": form["efflux"],
        "together": bool(form["together"]),
        "dose": doses or None,
        **settings_of_geometry(form),
    }
    return {k: v for k, v in held.items() if v not in (None, "", {}, False)}


def _start(me: Here, form: dict[str, Any]) -> str:
    """Check the form as the command would, and write the run; return its id."""
    from krogh.io.toml_text import to_toml
    from krogh.runs.config import build_config
    from krogh.runs.simulate import plan

    settings, files = settings_of(form), files_of_geometry(form)
    plan(build_config({**settings, "geometry": "slab"} if files else settings))  # the command reads the tables of a network
    names = settings["compounds"]
    title = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "") + f" ({settings['species']})"
    step = Step(("simulate", "--config", "run.toml", "--no-pictures", "--netcdf"))
    return add_job(me.place, "cross", title, [step], {"run.toml": to_toml(settings), **files}, {"settings": settings})


def register(workspace: Workspace, largest_upload: int) -> None:
    """Add the page."""

    @ui.page("/", response_timeout=PATIENCE_S)
    async def cross(request: Request) -> None:
        me = here(request, workspace)
        job = asked(me, request.query_params.get("run"))
        with frame(me, "/"):
            ui.html("<h1 style='font-size:1.4rem;margin:.8rem 0'>How does a drug cross the barrier?</h1>", sanitize=False)
            split(me, "/", job, _EMPTY, show_result, lambda follow: _form(me, job, largest_upload, follow))


def _form(me: Here, job: Job | None, largest: int, follow: Callable[[str], None]) -> None:
    from krogh.compounds import get_compound, names

    before = dict(job.about.get("settings", {})) if job else {}
    form: dict[str, Any] = {
        "doses": dict(before["dose"]) if isinstance(before.get("dose"), dict) else {},
        "efflux": before.get("efflux", {}),
    }
    options = {n: n + (f" ({', '.join(c.aliases)})" if (c := get_compound(n)).aliases else "") for n in names()}
    with card("Compounds and doses"):
        chosen = ui.select(options, multiple=True, with_input=True, label="Search compounds", value=before.get("compounds", []))
        chosen.classes("w-full").props('use-chips data-testid="compounds" input-debounce=0').bind_value_to(form, "compounds")
        doses, cards = ui.column().classes("w-full gap-1"), ui.column().classes("w-full gap-1")
        _field(form, before, "duration", "Duration, e.g. 24 h", "24 h")
        chosen.on_value_change(lambda: _of_each(form, doses, cards))
    with card("Species and barrier"):
        _select(form, before, "species", "Species", {s: s for s in choices("species")})
        known = {g: _GEOMETRIES.get(g, g) for g in choices("geometry")}
        geometry_fields(me, form, before, _select(form, before, "geometry", "Geometry", known), largest)
        state = ui.select(list(STATES), label="State of the barrier", value=_state_words(before)).classes("w-full")
        state.props('data-testid="state-of-barrier"')
        numbers = {
            key: ui.number(label, value=before.get(key, 1.0), min=0, max=most, step=step)
            .classes("w-full")
            .bind_value_to(form, key)
            for key, label, most, step in (
                ("leak_factor", "Open junctions over healthy", 1000, 1),
                ("pericyte_coverage", "Pericyte coverage, 0 to 1", 1, 0.1),
                ("amino_acids", "Plasma amino acids over fasting", 20, 0.5),
            )
        }
        pumps = ui.label(_pump_words(form["efflux"])).classes("krogh-soft")
        state.on_value_change(lambda: _fill(form, numbers, pumps, state.value))
        ui.switch("Compete for carriers (one problem)", value=before.get("together", False)).bind_value_to(form, "together")

    async def go() -> None:
        button.disable()
        try:
            run_id = await apart(_start, me, form)
        except (KroghError, ValueError) as error:
            say(error)
            return
        finally:
            button.enable()
        follow(run_id)

    button = ui.button("Run", on_click=go).classes("w-full").props('size=lg no-caps data-testid="run-button"')
    _of_each(form, doses, cards)


def _field(form: dict[str, Any], before: dict[str, Any], key: str, label: str, default: str) -> None:
    ui.input(label, value=before.get(key, default)).classes("w-full").props(f'data-testid="{key}"').bind_value_to(form, key)


def _select(form: dict[str, Any], before: dict[str, Any], key: str, label: str, options: dict[str, str]) -> ui.select:
    field = ui.select(options, label=label, value=before.get(key, next(iter(options)))).classes("w-full")
    return field.props(f'data-testid="{key}"').bind_value_to(form, key)


def _state_words(before: dict[str, Any]) -> str | None:
    keys = ("leak_factor", "pericyte_coverage", "efflux", "amino_acids")
    held = {k: before[k] for k in keys if k in before and before[k] not in (1, 1.0, {})}
    return next((words for words, settings in STATES.items() if settings == held), None)


def _pump_words(efflux: dict[str, float]) -> str:
    return "Pumps: " + (", ".join(f"{k} at {100 * v:g} %" for k, v in efflux.items()) if efflux else "all at full activity")


def _fill(form: dict[str, Any], numbers: dict[str, Any], pumps: ui.label, words: str | None) -> None:
    wanted = STATES.get(words or "", {})
    for key, number in numbers.items():
        number.set_value(wanted.get(key, 1.0))
    form["efflux"] = wanted.get("efflux", {})
    pumps.set_text(_pump_words(form["efflux"]))


def _dose_problem(text: str) -> str | None:
    from krogh.blood.dose import parse_dose

    try:
        if text and text.strip():
            parse_dose(text)
    except KroghError as error:
        return str(error)[:160]
    return None


def _of_each(form: dict[str, Any], doses: ui.column, cards: ui.column) -> None:
    """Show one dose field and one card of properties per chosen compound."""
    from krogh.compounds import get_compound
    from krogh.runs.typical import typical_dose

    doses.clear()
    cards.clear()
    for name in list(form.get("compounds") or [])[:24]:
        usual = typical_dose(get_compound(name), "human").describe()
        with doses:
            field = ui.input(f"Dose of {name}", value=form["doses"].get(name, ""), placeholder=usual, validation=_dose_problem)
            field.classes("w-full").props(f'hint="empty: {usual}" persistent-hint dense')
            field.on_value_change(lambda e, name=name: form["doses"].__setitem__(name, e.value))
        with cards:
            property_card(get_compound(name))
