"""Stream image sequences by their meaning: wire blocks into flowgraphs, run them, watch them.

Exit codes: 0 as asked; 1 the run has failed (a block, a process, a peer); 2 the command line, a file or a setting is
wrong; 130 stopped by Ctrl-C, 143 by SIGTERM.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from semstream.commands import WRONG

GROUPS = {
    "semstream.commands.running": ("run",),
    "semstream.commands.serving": ("serve",),
    "semstream.commands.flowgraphs": ("validate", "graph", "schema"),
    "semstream.commands.library": ("blocks", "new-block"),
    "semstream.commands.weights": ("weights",),
    "semstream.commands.watch": ("top", "monitor"),
    "semstream.commands.keys": ("keygen",),
    "semstream.commands.recording": ("record", "replay"),
}
"""Commands by the module that has them."""

# typer carries its own copy of click from 0.16 on: its errors are found by way of what it exports.
UsageProblem: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


class LazyGroup(TyperGroup):
    """The commands of `GROUPS`; only the module of the command that is called is imported."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the commands, in the order of the help."""
        return [name for module, names in GROUPS.items() if find_spec(module) for name in names]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, or None."""
        module = next((module for module, names in GROUPS.items() if cmd_name in names and find_spec(module)), None)
        return module and get_group(importlib.import_module(module).app).get_command(ctx, cmd_name)


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, help=__doc__, rich_markup_mode=None)


@app.callback()
def _root() -> None:
    """Make the app a group."""


def main() -> None:
    """Entry point of the command: what is wrong with the command line is one line, and exit code 2."""
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except UsageProblem as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "semstream"
        if type(error).__name__ == "NoArgsIsHelpError":
            typer.echo(error.format_message())
        else:
            typer.echo(f"{path}: {error.format_message()} See: {path} --help", err=True)
        sys.exit(WRONG)
    except typer.Abort:
        sys.exit(130)


if __name__ == "__main__":
    main()
