"""``semstream run``: a flowgraph from its file."""

from __future__ import annotations

import runpy
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from semstream.commands import fail
from semstream.commands.opening import kind, open_flowgraph

if TYPE_CHECKING:
    from semstream.runtime import Flowgraph

app = typer.Typer(rich_markup_mode=None)
Engine = StrEnum("Engine", ["threads", "processes"])


class RunCommand(TyperCommand):
    """Leaves what follows a script to the script."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the options; what stands behind a .py that runs itself goes to it, whatever it is."""
        script = next((i for i, a in enumerate(args) if a.endswith(".py") and kind(Path(a)) == "script"), len(args))
        ctx.meta["rest"] = args[script + 1 :]
        return super().parse_args(ctx, args[: script + 1])


@app.command(cls=RunCommand)
def run(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="FILE.yaml, or FILE.py", metavar="FILE")],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="BLOCK.SETTING=VALUE", help="change a setting, e.g. air.snr_db=7; repeatable"),
    ] = None,
    engine: Annotated[Engine | None, typer.Option(help="where blocks run, instead of what the file says")] = None,
    seed: Annotated[int | None, typer.Option(help="seed of all noise, instead of what the file says")] = None,
    out: Annotated[Path | None, typer.Option(help="folder for records, table and figures; without it: none")] = None,
    monitor: Annotated[
        str, typer.Option(help="serve the live page on this port of loopback, or a free one: auto")
    ] = "",
    control: Annotated[bool, typer.Option("--control", help="let the page change settings; prints a token")] = False,
    prometheus: Annotated[
        int, typer.Option(help="serve all counters on this port of loopback; 0: not", min=0, max=65535)
    ] = 0,
) -> None:
    """Run a flowgraph and print how good its pictures were.

    A FILE.yaml is checked as `semstream validate` does. A FILE.py that runs itself (if __name__ == "__main__") runs as
    a script, and what follows it on the line goes to it; one that only defines flowgraph(), a function that returns a
    Flowgraph, is run like a FILE.yaml. Options in front of FILE.py are those here, and need such a function.
    """
    from semstream.runtime import SemstreamError
    from semstream.runtime.files.overrides import override

    ours = bool(set_ or engine or out or monitor or control or prometheus) or seed is not None
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
        override(graph, set_ or [])
    except SemstreamError as error:
        fail(error)
    graph.seed = graph.seed if seed is None else seed
    _run_graph(graph, engine, out, monitor, control, prometheus)


def _run_script(file: Path, rest: list[str]) -> None:
    sys.argv = [str(file), *rest]
    sys.path.insert(0, str(file.resolve().parent))
    runpy.run_path(str(file), run_name="__main__")


def _run_graph(
    graph: Flowgraph, engine: str | None, out: Path | None, monitor: str, control: bool, prometheus: int
) -> None:
    from semstream.commands.show import finish, is_quality, run_with_progress
    from semstream.metrics.results import notes
    from semstream.runtime import SemstreamError

    sinks = [block for block in graph.blocks.values() if "lpips" in type(block).Settings.model_fields]
    sources = [block.settings for block in graph.blocks.values() if block.is_source]
    total = sum(getattr(s, "frames", 0) for s in sources) if len(sources) == 1 else 0
    if out is not None:
        _keep_snapshots(graph, out)
    try:
        run = run_with_progress(graph, engine, total * len(sinks), monitor, control, prometheus)
    except (SemstreamError, OSError) as error:
        fail(error)
    records = [record for block in graph.blocks for record in run.records[block] if is_quality(record)]
    nets = {(s.settings.lpips, getattr(s.settings, "lpips_weights", "")) for s in sinks}
    lines = sorted({line for net in nets for line in notes(records, *net)}) if records else []
    finish(run, records, out, graph.name, lines)


def _keep_snapshots(graph: Flowgraph, out: Path) -> None:
    """With --out, the metric sinks leave the pictures that frames.png is made of."""
    import shutil

    from semstream.runtime.files.overrides import override

    shutil.rmtree(out / "snapshots", ignore_errors=True)
    for name, block in graph.blocks.items():
        if not getattr(block.settings, "snapshots", "-"):
            override(graph, [f"{name}.snapshots={out / 'snapshots'}"])
