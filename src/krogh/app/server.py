"""Put the page together and serve it: guard, files, pages, and a clock that starts waiting runs."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from krogh.app.files import add_routes
from krogh.app.guard import Door, Guard
from krogh.app.jobs import Starter
from krogh.app.workspace import open_workspace
from krogh.errors import UsageError

__all__ = ["Settings", "free_port", "serve"]

_LOOK_EVERY_S = 0.2


@dataclass(frozen=True)
class Settings:
    """Hold what ``krogh app`` was told.

    Attributes
    ----------
    host, port : str, int
        Where to listen.
    users : tuple of str
        Each gets a link and a folder of their own.
    largest_upload : int
        Bytes of one file.
    """

    workspace: Path
    host: str = "127.0.0.1"
    port: int = 8420
    users: tuple[str, ...] = ("me",)
    largest_upload: int = 512_000_000
    most_runs: int = 2


def free_port(host: str, port: int, *, tries: int = 20) -> int:
    """Return `port`, or the next one that nobody uses.

    Raises
    ------
    UsageError
        If none is free, or the host is none of this machine.
    """
    problem = ""
    for candidate in range(port, min(port + tries, 65536)):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, candidate))
            except OSError as error:
                problem = error.strerror or str(error)
                continue
            return candidate
    raise UsageError(f"--host {host} --port {port}", got=problem, expected="an address of this machine and a free port")


def _once_it_answers(settings: Settings, then: Callable[[], None]) -> None:
    """Wait until the port takes connections: a link that is printed works at once."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    for _ in range(600):
        try:
            socket.create_connection((host, settings.port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
            continue
        then()
        return


def _rehearse() -> None:
    """Load and do, beside the page, what the first click would otherwise wait for: check settings, open a result."""
    import xarray as xr

    import krogh.report.simulation  # noqa: F401
    from krogh.io.store import open_results, write_results
    from krogh.runs.config import build_config
    from krogh.runs.simulate import plan

    plan(build_config({"compounds": ["caffeine"]}))
    with tempfile.TemporaryDirectory() as scratch:
        write_results(xr.Dataset({"u": ("time", [0.0])}), Path(scratch))
        open_results(Path(scratch))


def serve(settings: Settings, announce: Callable[[dict[str, str]], None]) -> None:
    """Serve the page until Ctrl-C; `announce` is called with the link of each user once it answers."""
    workspace = open_workspace(settings.workspace, settings.users)
    os.environ.setdefault("NICEGUI_STORAGE_PATH", str(workspace.folder / ".nicegui"))
    from nicegui import app, run, ui

    from krogh.app.pages import register_pages

    starter = Starter(settings.most_runs)
    door = Door(workspace, settings.host, settings.port, settings.largest_upload + 1_000_000)
    places = [workspace.place(user) for user in settings.users]
    app.add_middleware(Guard, door=door)
    app.router.redirect_slashes = False  # an address is right or wrong
    app.add_static_files("/krogh", str(Path(__file__).parent / "static"))
    add_routes(app, workspace)
    register_pages(workspace, settings.largest_upload)
    shown = settings.host if settings.host not in ("0.0.0.0", "::") else socket.gethostname()
    shown = f"[{shown}]" if ":" in shown else shown
    links = {user: f"http://{shown}:{settings.port}/?token={workspace.token(user)}" for user in settings.users}

    async def look() -> None:
        await run.io_bound(starter.look, places)

    announcer = threading.Thread(target=_once_it_answers, args=(settings, lambda: announce(links)), daemon=True)
    app.on_startup(announcer.start)
    app.on_startup(threading.Thread(target=_rehearse, daemon=True).start)
    app.on_shutdown(starter.close)
    app.timer(_LOOK_EVERY_S, look)
    ui.run(
        host=settings.host, port=settings.port, reload=False, show=False, title="krogh", dark=None, show_welcome_message=False,
        favicon=Path(__file__).parent / "static" / "icon.svg", uvicorn_logging_level="warning", reconnect_timeout=30.0,
    )  # fmt: skip
