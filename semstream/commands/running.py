"""``semstream run``."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Annotated

import typer

from semstream.commands import fail

app = typer.Typer(rich_markup_mode=None)


@app.command(add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run(context: typer.Context, file: Annotated[Path, typer.Argument(help="a flowgraph, FILE.py")]) -> None:
    """Run a flowgraph; what follows the file goes to it."""
    if not file.is_file() or file.suffix != ".py":
        fail(f"{file}: expected a Python file that builds and runs a flowgraph")
    sys.argv = [str(file), *context.args]
    sys.path.insert(0, str(file.resolve().parent))
    runpy.run_path(str(file), run_name="__main__")
