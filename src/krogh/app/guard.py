"""Let in only the owner's browser, on this machine's address, with bodies of bounded size; load nothing from elsewhere.

Every request and socket passes here first: Host (against DNS rebinding), Origin (against other pages of the same browser),
token or its cookie (against other users of the machine), then the size of what it sends.
"""

from __future__ import annotations

import http.cookies
import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from krogh.app.workspace import Workspace

__all__ = ["POLICY", "Door", "Guard"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

#: The framework writes its scripts into the page and compiles templates, hence the two 'unsafe'; nothing foreign is allowed.
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "frame-src 'none'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_LOCAL = ("127.0.0.1", "localhost", "::1")
_UNREAD = "Open the link that 'krogh app' printed when it started: it holds the token of this page."


@dataclass(frozen=True)
class Door:
    """Say who may come in.

    Attributes
    ----------
    host, port : str, int
        Where the page listens.
    largest_body : int
        Bytes of one request.
    """

    workspace: Workspace
    host: str
    port: int
    largest_body: int

    @property
    def cookie(self) -> str:
        """Return the name of the cookie; cookies are shared between ports, so the port is in it."""
        return f"krogh_{self.port}"

    def knows_host(self, host: str) -> bool:
        """Return whether a Host header names this page; a page on every address answers to numbers, as names could be rebound."""
        name, _, port = host.rpartition(":") if ":" in host.rpartition("]")[2] else (host, "", "80")
        bare = name.lower().strip("[]")
        if port != str(self.port):
            return False
        if bare in (*_LOCAL, self.host.lower()):
            return True
        try:
            ipaddress.ip_address(bare)
        except ValueError:
            return False
        return self.host in ("0.0.0.0", "::")


class _TooLargeError(Exception):
    """Report a body above the cap."""


class Guard:
    """Stand before the application (ASGI)."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], door: Door) -> None:
        self.app, self.door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self.door.knows_host(host):
            await self._refuse(scope, send, 421, "This host is not served here.")
        elif origin is not None and urlsplit(origin).netloc != host:
            await self._refuse(scope, send, 403, "Requests of other pages are not served.")
        else:
            await self._let_in(scope, receive, send, headers)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send, headers: dict[str, str]) -> None:
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        given = query.pop("token", [""])[-1]
        if given and scope["type"] == "http" and scope["method"] == "GET":
            if self.door.workspace.user_of(given) is None:
                await self._refuse(scope, send, 401, "This token is not known. " + _UNREAD)
            else:
                await self._welcome(scope, send, given, urlencode(query, doseq=True))
            return
        jar: http.cookies.SimpleCookie = http.cookies.SimpleCookie()
        try:
            jar.load(headers.get("cookie", ""))
        except http.cookies.CookieError:
            jar = http.cookies.SimpleCookie()
        held = jar.get(self.door.cookie)
        user = self.door.workspace.user_of(held.value) if held else None
        if user is None:
            await self._refuse(scope, send, 401, _UNREAD)
            return
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self.door.largest_body:
            await self._refuse(scope, send, 413, f"At most {self.door.largest_body / 1e6:.0f} MB are taken.")
            return
        scope["krogh_user"] = user
        await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        taken, begun = 0, False

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            if message["type"] == "http.request":
                taken += len(message.get("body", b""))
                if taken > self.door.largest_body:
                    raise _TooLargeError
            return message

        async def with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                own = {name for name, _ in _HEADERS}
                kept = [(k, v) for k, v in message.get("headers", []) if k.lower() not in own]
                message = {**message, "headers": [*kept, *_HEADERS]}
            await send(message)

        try:
            await self.app(scope, counted, with_headers)
        except _TooLargeError:
            if not begun:
                await self._refuse(scope, send, 413, f"At most {self.door.largest_body / 1e6:.0f} MB are taken.")

    async def _welcome(self, scope: Scope, send: Send, token: str, query: str) -> None:
        """Keep the token in a cookie and go on without it in the address."""
        cookie = f"{self.door.cookie}={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age=31536000"
        # a path that begins with two slashes would name another host
        target = "/" + scope["path"].lstrip("/\\") + (f"?{query}" if query else "")
        place = target.encode("ascii", "ignore").replace(b"\r", b"").replace(b"\n", b"")
        extra = ((b"location", place), (b"set-cookie", cookie.encode("ascii")))
        await self._answer(send, 303, "", extra)

    async def _refuse(self, scope: Scope, send: Send, status: int, text: str) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 4403})
            return
        await self._answer(send, status, text)

    async def _answer(self, send: Send, status: int, text: str, extra: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store"), *_HEADERS, *extra]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": text.encode()})
