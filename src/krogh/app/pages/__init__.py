"""The pages, one file each; a page whose command is not installed is neither served nor in the menu."""

from __future__ import annotations

from krogh.app.pages import cross, link, measure, runs, screen
from krogh.app.workspace import Workspace

__all__ = ["register_pages"]


def register_pages(workspace: Workspace, largest_upload: int) -> None:
    """Add every page to the running application."""
    cross.register(workspace, largest_upload)
    measure.register(workspace, largest_upload)
    screen.register(workspace, largest_upload)
    link.register(workspace)
    runs.register(workspace)
