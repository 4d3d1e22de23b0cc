"""The commands of ``semstream``, one group a module, each loaded when it is called.

A module has ``app``, a `typer.Typer` with its commands, and imports at its top no more than typer, rich and the
standard library, so that every command starts fast. `semstream.cli.GROUPS` says which command is where.
"""

from __future__ import annotations

from typing import NoReturn

import typer

OK, FAILED, WRONG = 0, 1, 2
"""Exit codes: as asked; the run has failed; what was given (command line, file, setting) is wrong."""


def fail(error: Exception | str, code: int = WRONG) -> NoReturn:
    """End the command with one line, or a line a finding, on standard error.

    Raises
    ------
    typer.Exit
        Always, with `code`.
    """
    typer.echo(f"semstream: {error}", err=True)
    raise typer.Exit(code)
