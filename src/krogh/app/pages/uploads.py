"""Take files from the browser: of known endings, of bounded size, under generated names."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path

from nicegui import events, ui

from krogh.app.pages.frame import Here, say
from krogh.app.workspace import clean_name
from krogh.errors import InputError, KroghError

__all__ = ["suffix_of", "upload"]

#: Called with the ending, the stored file and the name to show.
Taken = Callable[[str, Path, str], Awaitable[None] | None]


def suffix_of(name: str, allowed: tuple[str, ...]) -> str:
    """Return the ending of an uploaded file.

    Raises
    ------
    InputError
        If it is none of `allowed`.
    """
    for suffix in allowed:
        if name.lower().endswith(suffix):
            return suffix
    raise InputError(clean_name(name), got="another kind of file", expected=" or ".join(allowed))


def upload(
    me: Here, label: str, allowed: tuple[str, ...], largest: int, then: Taken, *, multiple: bool = False, name: str = "upload"
) -> ui.upload:
    """Show a field for files; each is kept in the folder of the user, and `then` is told."""

    async def take(event: events.UploadEventArguments) -> None:
        shown = clean_name(event.file.name)
        try:
            suffix = suffix_of(event.file.name, allowed)
            if event.file.size() > largest:
                raise InputError(shown, got=f"{event.file.size()} bytes", expected=f"at most {largest}")
            target = me.place.new_upload(suffix)
            await event.file.save(target)
        except KroghError as error:
            say(error)
            return
        ui.notify(f"{shown} received", type="positive")
        answer = then(suffix, target, shown)
        if inspect.isawaitable(answer):
            await answer

    field = ui.upload(label=label, on_upload=take, auto_upload=True, max_file_size=largest, multiple=multiple)
    field.on("rejected", lambda: say(InputError(label, got="a file of another kind or size",
                                                expected=f"{', '.join(allowed)} of at most {largest / 1e6:g} MB")))  # fmt: skip
    return field.classes("w-full").props(f'accept="{",".join(allowed)}" data-testid="{name}" flat bordered')
