"""``semstream run``: a flowgraph from its file."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from semstream.commands import fail
from semstream.commands.opening import kind, open_flowgraph
from semstream.script.command import with_run_options
from semstream.script.options import RunOptions

app = typer.Typer(rich_markup_mode=None)


class RunCommand(TyperCommand):
    """Leaves what follows a script to the script."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the options; what stands behind a .py that runs itself goes to it, whatever it is."""
        script = next((i for i, a in enumerate(args) if a.endswith(".py") and kind(Path(a)) == "script"), len(args))
        ctx.meta["rest"] = args[script + 1 :]
        return super().parse_args(ctx, args[: script + 1])


@app.command(cls=RunCommand)
@with_run_options()
def run(
    options: RunOptions,
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="FILE.yaml, or FILE.py", metavar="FILE")],
) -> None:
    """Run a flowgraph and print how good its pictures were.

    A FILE.yaml is checked as `semstream validate` does. A FILE.py that runs itself (if __name__ == "__main__") runs as
    a script, and what follows it on the line goes to it; one that only defines flowgraph(), a function that returns a
    Flowgraph, is run like a FILE.yaml. Options in front of FILE.py are those here, and need such a function.
    """
    from semstream.runtime import SemstreamError
    from semstream.script.execution import execute

    ours = options != RunOptions()
    if not file.is_file():
        fail(f"{file}: no such file; expected a flowgraph, FILE.yaml or FILE.py")
    if kind(file) == "other":
        fail(f"{file}: expected a flowgraph, FILE.yaml or FILE.py")
    if kind(file) == "script" and not ours:
        _run_script(file, context.meta["rest"])
        return
    if context.meta["rest"]:
        fail(f"{file}: options in front of a script are those of semstream; give {context.meta['rest'][0]!r} there too")
    try:
        graph = open_flowgraph(file)
    except SemstreamError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    try:
        execute(graph, options)
    except (SemstreamError, OSError) as error:
        fail(error)


def _run_script(file: Path, rest: list[str]) -> None:
    sys.argv = [str(file), *rest]
    sys.path.insert(0, str(file.resolve().parent))
    runpy.run_path(str(file), run_name="__main__")
