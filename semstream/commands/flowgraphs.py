"""``semstream validate``, ``graph`` and ``schema``: a flowgraph file checked and drawn, and its form."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from semstream.commands import fail
from semstream.commands.opening import open_flowgraph

if TYPE_CHECKING:
    from semstream.runtime import Flowgraph

app = typer.Typer(rich_markup_mode=None)
Form = StrEnum("Form", ["mermaid", "dot", "png", "svg", "pdf", "yaml"])
SUFFIXES = {".mmd": Form.mermaid, ".md": Form.mermaid, ".dot": Form.dot, ".gv": Form.dot, ".png": Form.png}
SUFFIXES |= {".svg": Form.svg, ".pdf": Form.pdf, ".yaml": Form.yaml, ".yml": Form.yaml}
File = Annotated[Path, typer.Argument(help="FILE.yaml, or FILE.py that defines flowgraph()", metavar="FILE")]


@app.command()
def validate(
    files: Annotated[
        list[Path], typer.Argument(help="FILE.yaml, or FILE.py that defines flowgraph()", metavar="FILE…")
    ],
) -> None:
    """Check flowgraphs: everything that is wrong with them at once, a line each, FILE:LINE: what; exit code 2 then."""
    from semstream.runtime import FlowgraphFileError

    wrong = False
    for file in files:
        try:
            graph = open_flowgraph(file)
        except FlowgraphFileError as error:
            typer.echo(str(error), err=True)
            wrong = True
        else:
            typer.echo(f"{file}: {graph.name}, {len(graph.blocks)} blocks and {len(graph.edges)} edges")
    if wrong:
        raise typer.Exit(2)


@app.command()
def graph(
    file: File,
    form: Annotated[Form | None, typer.Option("--format", help="without it: as --out ends, else mermaid")] = None,
    out: Annotated[Path | None, typer.Option(help="file to write to; without it: standard output")] = None,
) -> None:
    """Draw a flowgraph: as a picture (PNG, SVG, PDF), as Mermaid, as DOT; or write it as YAML."""
    form = form or SUFFIXES.get(out.suffix.lower() if out else "", Form.mermaid)
    flowgraph = _opened(file)
    if form in (Form.png, Form.pdf) and out is None and sys.stdout.isatty():
        fail(f"a {form.upper()} is no text; give --out FILE.{form}")
    try:
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
        if form is Form.yaml and out is not None:
            flowgraph.save(out)
        elif out is not None:
            out.write_bytes(_drawn(flowgraph, form, file))
        else:
            sys.stdout.buffer.write(_drawn(flowgraph, form, file))
    except OSError as error:
        fail(f"{out}: cannot be written: {error.strerror or error}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of flowgraph files, by which editors complete and check them."""
    from semstream.runtime.files.classes import library
    from semstream.runtime.files.json_schema import as_text

    sys.stdout.write(as_text(library()))


def _opened(file: Path) -> Flowgraph:
    from semstream.runtime import FlowgraphFileError

    try:
        return open_flowgraph(file)
    except FlowgraphFileError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


def _drawn(flowgraph: Flowgraph, form: Form, file: Path) -> bytes:
    from semstream.runtime import SemstreamError
    from semstream.runtime.graph.drawing import dot, mermaid

    if form in (Form.png, Form.pdf, Form.svg):
        from semstream.commands.picture import picture

        return picture(flowgraph, form.value)
    if form is Form.yaml:
        from semstream.runtime.files.file import to_plain
        from semstream.runtime.files.yaml_text import dump

        try:
            return dump(to_plain(flowgraph, file.with_suffix(".yaml"), {})).encode()
        except SemstreamError as error:
            fail(error)
    return (dot if form is Form.dot else mermaid)(flowgraph).encode()
