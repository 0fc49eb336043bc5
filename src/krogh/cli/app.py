"""Start ``krogh app``: the page in the browser, on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from krogh.cli import options


def register(app: typer.Typer) -> None:
    """Add ``app`` to `app`."""
    app.command("app")(page)


def page(
    workspace: Annotated[Path, typer.Option("--workspace", help="Folder for uploads and runs.")] = Path("krogh-page"),
    port: Annotated[int, typer.Option("--port", help="Port, or the next free one.", min=1024, max=65535)] = 8420,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; anything but 127.0.0.1 opens it to others.")
    ] = "127.0.0.1",
    user: Annotated[list[str] | None, typer.Option("--user", help="A user with an own link and folder (repeatable).")] = None,
    largest_upload: Annotated[int, typer.Option("--largest-upload", help="MB of one uploaded file.", min=1, max=20_000)] = 512,
    runs: Annotated[int, typer.Option("--runs", help="Runs at the same time.", min=1, max=64)] = 2,
    open_: Annotated[bool, typer.Option("--open/--no-open", help="Show it in the browser.")] = True,
    as_json: options.Json = False,
) -> None:
    """Show the commands as a page in the browser: drugs crossing the barrier, FEXI maps on a brain.

    It listens on this machine only and asks nothing from any network. The link that it prints holds a token; without it the page
    answers nobody, also not other users of this machine. Runs go on when the page is closed, and are listed when it starts again.
    """
    from krogh.errors import UsageError

    try:
        import nicegui  # noqa: F401
    except ImportError:
        raise UsageError("krogh app", got="no nicegui", expected="the extra 'app'", hint="pip install 'krogh[app]'") from None
    from krogh.app.server import Settings, free_port, serve

    users = tuple(dict.fromkeys(user or ["me"]))
    settings = Settings(workspace, host, free_port(host, port), users, largest_upload * 1_000_000, runs)

    def announce(links: dict[str, str]) -> None:
        if as_json:
            typer.echo(json.dumps({"links": links}))
        else:
            for name, link in links.items():
                typer.echo(f"{link}" if len(links) == 1 else f"{name}: {link}")
            typer.echo("Ctrl-C ends the page; runs go on. Research software: not for diagnosis or dosing.")
        if open_ and len(links) == 1:
            import webbrowser

            webbrowser.open(next(iter(links.values())))

    serve(settings, announce)
