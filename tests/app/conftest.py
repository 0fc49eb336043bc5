"""Start the page as a user would, in a process of its own, and a browser where there is one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nicegui", reason="the extra 'app' is not installed")
CHROMIUM = Path("/usr/bin/chromium")
_ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@dataclass
class Page:
    """Hold a running page."""

    process: subprocess.Popen[str]
    links: dict[str, str]
    base: str
    workspace: Path

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()  # type: ignore[union-attr]


def start(workspace: Path, *words: str) -> Page:
    """Start the page and wait for its link."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = "from krogh.cli.main import main; main()"
    command = [
        sys.executable,
        "-c",
        code,
        "app",
        "--workspace",
        str(workspace),
        "--port",
        str(port),
        "--no-open",
        "--json",
        *words,
    ]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    links = json.loads(process.stdout.readline())["links"]
    base = next(iter(links.values())).partition("/?")[0]
    return Page(process, links, base, workspace)


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Page]]:
    """Return a function that starts a page; all are ended with the tests."""
    found: list[Page] = []

    def make(*words: str, workspace: Path | None = None) -> Page:
        found.append(start(workspace or tmp_path_factory.mktemp("page") / "work", *words))
        return found[-1]

    yield make
    for page in found:
        if page.process.poll() is None:
            page.process.terminate()
            page.process.wait(20)
        page.process.stdout.close()  # type: ignore[union-attr]


@pytest.fixture(scope="session")
def page(pages: Callable[..., Page]) -> Page:
    """Return one page for two users, with a cap of 1 MB, that many tests share."""
    return pages("--user", "alice", "--user", "bob", "--largest-upload", "1")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Return a headless browser."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip("no /usr/bin/chromium: apt-get install chromium")
    with playwright.sync_playwright() as tool:
        started = tool.chromium.launch(executable_path=str(CHROMIUM), args=_ARGUMENTS)
        yield started
        started.close()
