"""Define the options that commands share, so that they look and behave the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.", show_default=True)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout instead of text.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress messages.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of every random number.", min=0)]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Threads = Annotated[int, typer.Option("--threads", help="Processor threads; 0 takes what the machine has.", min=0)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the results that are in --out already.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check the input, print what would run, and stop.")]
Config = Annotated[Path | None, typer.Option("--config", help="A TOML file with these settings; options given here win.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Set one value, e.g. --set compound.fu_brain=0.3 (repeatable).")]
