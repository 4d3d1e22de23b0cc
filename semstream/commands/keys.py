"""``semstream keygen``: CURVE keys for hosts and viewers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from semstream.commands import fail

app = typer.Typer(rich_markup_mode=None)


@app.command()
def keygen(
    names: Annotated[list[str], typer.Argument(help="hosts of a flowgraph, and viewers", metavar="NAME…")],
    out: Annotated[Path, typer.Option(help="folder to put them into")] = Path("keys"),
) -> None:
    """Make CURVE keys, a ZeroMQ certificate each: NAME.key is for all, NAME.key_secret stays with NAME alone.

    Copy all NAME.key to every host, and each NAME.key_secret to its own.
    """
    from semstream.runtime import SemstreamError
    from semstream.runtime.files.keyfile import make_certificates

    try:
        for path in make_certificates(out, names):
            typer.echo(f"{path.with_suffix('.key')}, and secret: {path}")
    except SemstreamError as error:
        fail(error)
    except OSError as error:
        fail(f"{out}: cannot be written: {error.strerror or error}")
