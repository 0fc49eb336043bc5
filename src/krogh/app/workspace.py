"""Keep what the page owns on disk: a folder per user with uploads and runs under generated names, and the secret of the links."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from krogh.errors import InputError, OutputError, UsageError

__all__ = ["Place", "Workspace", "clean_name", "new_id", "open_workspace"]

_ID = re.compile(r"[0-9a-z]{12}")
_UPLOAD = re.compile(r"[0-9a-z]{12}(\.[a-z]{1,8}){1,2}")
_USER = re.compile(r"[a-z][a-z0-9-]{0,31}")
_LONGEST_NAME = 80


def new_id() -> str:
    """Return a name that nobody can guess, for a run or an upload."""
    return secrets.token_hex(6)


def clean_name(name: str) -> str:
    """Return the name of an uploaded file as text to show: the last part, printable, short. It never becomes a path."""
    last = re.split(r"[/\\]", name)[-1]
    text = " ".join("".join(c for c in last if c.isprintable()).split())
    return text[:_LONGEST_NAME] or "file"


@dataclass(frozen=True)
class Place:
    """Hold the folder of one user."""

    user: str
    folder: Path

    @property
    def runs(self) -> Path:
        """Return the folder of the runs."""
        return self.folder / "runs"

    @property
    def uploads(self) -> Path:
        """Return the folder of the uploads."""
        return self.folder / "uploads"

    def run(self, run_id: str) -> Path:
        """Return the folder of a run.

        Raises
        ------
        InputError
            If the id is not one of ours, or there is no such run.
        """
        if not _ID.fullmatch(run_id) or not (self.runs / run_id / "job.json").is_file():
            raise InputError("run", got=repr(run_id[:40]), expected="a run of this list")
        return self.runs / run_id

    def upload(self, name: str) -> Path:
        """Return an uploaded file by its generated name.

        Raises
        ------
        InputError
            If the name is not one of ours, or there is no such file.
        """
        if not _UPLOAD.fullmatch(name) or not (self.uploads / name).is_file():
            raise InputError("upload", got=repr(name[:40]), expected="a file of this user")
        return self.uploads / name

    def new_upload(self, suffix: str) -> Path:
        """Return the path of a new upload: a generated id with one of the known endings."""
        self.uploads.mkdir(parents=True, exist_ok=True)
        return self.uploads / f"{new_id()}{suffix}"


@dataclass(frozen=True)
class Workspace:
    """Hold the folder of the page and the tokens of its users."""

    folder: Path
    secret: bytes
    users: tuple[str, ...]

    def token(self, user: str) -> str:
        """Return the token of a user; it stays the same over restarts."""
        return hmac.new(self.secret, user.encode(), hashlib.sha256).hexdigest()[:40]

    def user_of(self, token: str) -> str | None:
        """Return whose token it is, compared in constant time; None for an unknown one."""
        given = token.encode("utf-8", "replace")
        found = [user for user in self.users if hmac.compare_digest(self.token(user).encode(), given)]
        return found[0] if found else None

    def place(self, user: str) -> Place:
        """Return the folder of a user."""
        return Place(user, self.folder / user)


def open_workspace(folder: Path, users: tuple[str, ...]) -> Workspace:
    """Make or open the folder of the page, readable by its owner only.

    Raises
    ------
    OutputError
        If it cannot be written.
    UsageError
        If the name of a user is not plain.
    """
    for user in users:
        if not _USER.fullmatch(user):
            raise UsageError("--user", got=repr(user[:40]), expected="a lower-case name such as alice")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / ".secret"
        if not path.is_file():
            path.touch(mode=0o600)
            path.write_bytes(secrets.token_bytes(32))
        secret = path.read_bytes()
        for user in users:
            (folder / user / "runs").mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"workspace {folder.name}", got=error.strerror or str(error), hint="choose a folder that you can write: --workspace"
        ) from None
    if len(secret) < 16:
        raise InputError(
            ".secret of the workspace", got=f"{len(secret)} bytes", expected="32", hint="delete it: new links are made"
        )
    return Workspace(folder.absolute(), secret, users)
