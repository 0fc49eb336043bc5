"""Only the owner's browser comes in; paths lead nowhere; bodies are bounded; runs of users are apart."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from tests.app.conftest import Page
from tests.report.hostile import SCRIPTS, TRAVERSALS

from krogh.app.guard import POLICY, Door
from krogh.app.jobs import Step, add_job
from krogh.app.workspace import Place, clean_name, open_workspace
from krogh.errors import InputError, UsageError


def ask(
    page: Page, path: str, *, user: str | None = "alice", method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Send one request exactly as written: no client library tidies the path."""
    place = urlsplit(page.base)
    connection = http.client.HTTPConnection(place.hostname or "", place.port or 0, timeout=20)
    head = {"Host": place.netloc, **{k.replace("_", "-"): v for k, v in headers.items()}}
    if user:
        head["Cookie"] = f"krogh_{place.port}={page.links[user].partition('token=')[2]}"
    connection.putrequest(method, path, skip_host=True)
    for name, value in head.items():
        connection.putheader(name, value)
    if body is not None and "Content-Length" not in head:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders()
    try:
        if body:
            connection.send(body)
    except (BrokenPipeError, ConnectionResetError):
        pass  # refused before all of it was sent
    answer = connection.getresponse()
    found = answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    connection.close()
    return found


@pytest.fixture(scope="module")
def finished(page: Page) -> str:
    """Put one finished run into the folder of alice, with a link that leads out of it."""
    place = Place("alice", page.workspace / "alice")
    run_id = add_job(place, "cross", SCRIPTS[0], [Step(("simulate", "caffeine"))], {"run.toml": "cells = 3\n"}, {})
    result = place.runs / run_id / "result"
    result.mkdir()
    (result / "run.json").write_text(json.dumps({"command": ["krogh", SCRIPTS[0]]}), encoding="utf-8")
    (result / "link").symlink_to("/etc")
    (page.workspace.parent / "outside.txt").write_text("outside", encoding="utf-8")
    return run_id


def test_without_token_nothing_is_served(page: Page) -> None:
    for path in ("/", "/runs", "/_nicegui/auto/static/nicegui.css", "/krogh/page.css", "/docs", "/openapi.json"):
        assert ask(page, path, user=None)[0] == 401, path
    assert ask(page, "/?token=wrong", user=None)[0] == 401
    assert ask(page, "/", user=None, Cookie="krogh_1=x; bad=[];;")[0] == 401


def test_link_gives_a_cookie_and_leaves_the_address(page: Page) -> None:
    link = urlsplit(page.links["alice"])
    status, headers, _ = ask(page, f"//evil.invalid/?{link.query}", user=None)
    assert status == 303
    assert headers["location"] == "/evil.invalid/"
    assert "HttpOnly" in headers["set-cookie"]
    assert "SameSite" in headers["set-cookie"]
    assert "token=" not in headers["location"]


@pytest.mark.parametrize(
    "host", ["evil.invalid", "evil.invalid:80", "127.0.0.1.evil.invalid", "127.0.0.1:1", "", "localhost.evil:8420"]
)
def test_foreign_hosts_are_refused(page: Page, host: str) -> None:
    assert ask(page, "/", Host=host)[0] == 421


def test_foreign_origins_are_refused(page: Page) -> None:
    assert ask(page, "/", Origin="http://evil.invalid")[0] == 403
    assert ask(page, "/", Origin="null")[0] == 403
    assert ask(page, "/", Origin=page.base)[0] == 200


def test_sockets_are_guarded_too(page: Page) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Key": "x" * 22 + "==",
    }
    path = "/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
    assert ask(page, path, user=None, **upgrade)[0] == 403
    assert ask(page, path, Origin="http://evil.invalid", **upgrade)[0] == 403


def test_every_answer_has_the_policy(page: Page, finished: str) -> None:
    for path in ("/", "/nothing", f"/runs/{finished}/files/run.toml", "/krogh/page.css"):
        headers = ask(page, path)[1]
        assert headers["content-security-policy"] == POLICY
        assert headers["x-content-type-options"] == "nosniff"
    assert "http" not in POLICY
    assert "*" not in POLICY


@pytest.mark.parametrize("text", TRAVERSALS)
def test_paths_lead_nowhere(page: Page, finished: str, text: str) -> None:
    path = text if text.isascii() and all(c.isprintable() and c not in " \\" for c in text) else quote(text, safe="%/")
    mine = f"/runs/{finished}/"
    for start in (f"{mine}files/", f"{mine}map/", f"{mine}scan/", f"{mine}volume/", "/uploads/", "/runs/", "/krogh/"):
        status, _, body = ask(page, start + path)
        assert 400 <= status < 500, (start + path, status)
        assert b"root:" not in body
        assert b"outside" not in body


def test_listed_files_are_downloads(page: Page, finished: str) -> None:
    status, headers, body = ask(page, f"/runs/{finished}/files/run.toml")
    assert (status, body) == (200, b"cells = 3\n")
    assert headers["content-disposition"].startswith("attachment")
    status, headers, body = ask(page, f"/runs/{finished}/report")
    assert status == 200
    assert headers["content-disposition"].startswith("attachment")
    assert b"<script>alert" not in body
    for name in ("job.json", "result/run.json"):
        assert ask(page, f"/runs/{finished}/files/{name}")[0] == 200
    for name in ("lock", ".secret", "result/link/passwd", "result/link"):
        assert ask(page, f"/runs/{finished}/files/{name}")[0] == 404


def test_runs_of_two_users_are_apart(page: Page, finished: str) -> None:
    assert ask(page, f"/runs/{finished}/files/run.toml", user="alice")[0] == 200
    for path in ("files/run.toml", "report", "section/0", "volume/0", "scan/0", "screen", "map/axr", "pictures.zip"):
        assert ask(page, f"/runs/{finished}/{path}", user="bob")[0] == 404
    assert page.links["alice"] != page.links["bob"]


def test_uploads_are_capped_on_the_server(page: Page) -> None:
    body = b"x" * 2_100_000
    assert ask(page, "/_nicegui/client/x/upload/1", method="POST", body=body)[0] == 413
    chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)  # no length is told beforehand
    status = ask(page, "/runs", method="POST", body=chunk, Transfer_Encoding="chunked", Content_Length="0")[0]
    assert status in (400, 405, 413)
    assert ask(page, "/", method="POST", body=b"", **{"Content_Length": "-5"})[0] in (400, 413)


@pytest.mark.parametrize("text", SCRIPTS)
def test_hostile_titles_are_text(page: Page, text: str) -> None:
    place = Place("bob", page.workspace / "bob")
    run_id = add_job(place, "cross", text, [Step(("simulate",))], {}, {"settings": {"compounds": [], "duration": text}})
    (place.runs / run_id / "stopped").touch()
    body = ask(page, "/runs", user="bob")[2]
    if text.startswith("<") or '">' in text:
        assert text.encode() not in body
    assert ask(page, f"/?run={quote(text)}", user="bob")[0] == 200
    assert text.startswith("<") is False or text.encode() not in ask(page, f"/?run={quote(text)}", user="bob")[2]


def test_hosts_of_a_page_on_every_address(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path / "w", ("me",))
    door = Door(workspace, "0.0.0.0", 8420, 10)
    assert door.knows_host("192.168.1.7:8420")
    assert door.knows_host("[::1]:8420")
    for host in ("abc.de:8420", "192.168.1.7.evil.invalid:8420", "192.168.1.7", "x:8420", ":8420"):
        assert not door.knows_host(host)


def test_workspace_keeps_its_secret_and_its_users(tmp_path: Path) -> None:
    first = open_workspace(tmp_path / "w", ("alice", "bob"))
    again = open_workspace(tmp_path / "w", ("alice", "bob"))
    assert first.token("alice") == again.token("alice")
    assert again.user_of(first.token("bob")) == "bob"
    assert again.user_of("") is None
    assert again.user_of("é\x00") is None
    assert (tmp_path / "w").stat().st_mode & 0o077 == 0
    assert (tmp_path / "w" / ".secret").stat().st_mode & 0o077 == 0
    for name in ("../x", "A", "", "a b", "x" * 40):
        with pytest.raises(UsageError):
            open_workspace(tmp_path / "w", (name,))


@pytest.mark.parametrize("text", [*TRAVERSALS, "", "0" * 12, "0123456789ab/..", "A" * 12])
def test_run_ids_are_ours_or_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError):
        Place("me", tmp_path).run(text)


@pytest.mark.parametrize("text", [*SCRIPTS, *TRAVERSALS])
def test_names_of_uploads_never_become_paths(tmp_path: Path, text: str) -> None:
    place = Place("me", tmp_path)
    path = place.new_upload(".nii.gz")
    assert path.parent == tmp_path / "uploads"
    shown = clean_name(text)
    assert shown
    assert "/" not in shown
    assert "\\" not in shown
    assert len(shown) <= 80
