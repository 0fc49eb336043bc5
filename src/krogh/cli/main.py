"""Give every command one entry point, one error line and one exit code."""

from __future__ import annotations

import logging
import os
import signal
import sys
from typing import Annotated, Any

import typer

from krogh import __version__
from krogh.cli.options import started_with
from krogh.cli.registry import register_commands
from krogh.errors import InterruptedRunError, KroghError

app = typer.Typer(
    name="krogh",
    help="Permeability of the blood-brain barrier: simulate how drugs cross it, measure how water does. "
    "Research software: not for diagnosis or dosing.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"krogh {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and debug messages.")] = False,
) -> None:
    """Set up logging; options that every command shares live here."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.DEBUG if debug else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    if not debug:
        logging.captureWarnings(True)
        logging.getLogger("py.warnings").setLevel(logging.ERROR)


register_commands(app)


def _fail(error: KroghError) -> int:
    sys.stderr.write(f"error: {error}\n")
    return error.exit_code


def _interrupted() -> int:
    return _fail(InterruptedRunError("interrupted", hint="finished results are intact; run the command again"))


def _run(arguments: list[str]) -> int:
    """Run the command line; every way out is an exit code."""
    started_with.set(tuple(arguments))
    try:
        code: Any = app(args=arguments, standalone_mode=False)
    except KroghError as error:
        return _fail(error)
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except BrokenPipeError:
        # the reader of a pipe went away (krogh ... | head): nothing to report
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # the last resort: a fault of ours is one line too; --debug shows where
        if hasattr(error, "exit_code") and hasattr(error, "format_message"):  # a usage error of the parser
            hint = getattr(getattr(error, "ctx", None), "command_path", "krogh")
            message = " ".join(str(error.format_message()).split())
            sys.stderr.write(f"error: {message} (see '{hint} --help')\n")
            return int(error.exit_code)
        text = " ".join(str(error).split())
        sys.stderr.write(f"error: internal: {type(error).__name__}: {text}; run with 'krogh --debug ...' and report it\n")
        return 1
    if code == InterruptedRunError.exit_code:  # the parser has swallowed Ctrl-C
        return _interrupted()
    return code if isinstance(code, int) else 0


def main(arguments: list[str] | None = None) -> None:
    """Run ``krogh`` and exit with the code of ``docs/reference/exit-codes.md``; ``--debug`` lets tracebacks through."""
    given = sys.argv[1:] if arguments is None else arguments
    # a batch system stops a job with SIGTERM: leave as after Ctrl-C, with temporary files removed
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if "--debug" in given:
        started_with.set(tuple(given))
        sys.exit(app(args=given, standalone_mode=True))
    sys.exit(_run(given))
