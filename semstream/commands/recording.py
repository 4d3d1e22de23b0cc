"""``semstream record`` and ``semstream replay``: the frames of an edge into a file, and back."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from semstream.commands import fail
from semstream.commands.opening import open_flowgraph

app = typer.Typer(rich_markup_mode=None)
Pace = StrEnum("Pace", ["fast", "recorded"])


@app.command()
def record(
    source: Annotated[str, typer.Argument(help="FILE.yaml or FILE.py with flowgraph(), or tcp://HOST:PORT that gives")],
    out: Annotated[Path, typer.Option(help="file to write")],
    edge: Annotated[str, typer.Option(help="edge of the flowgraph: 'a.out -> b.in', or the sending port a.out")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="write over a file that exists")] = False,
    patience: Annotated[float, typer.Option(help="seconds to wait for the endpoint", min=0.1)] = 30.0,
) -> None:
    """Run a flowgraph (or listen to one that runs) and write the frames of an edge to a file.

    Ctrl-C ends it; what had passed is in the file.
    """
    from blocks.recorder import Recorder
    from blocks.recorder import record as put
    from semstream.runtime import Flowgraph, FlowgraphError, Run, SemstreamError

    try:
        if source.startswith(("tcp://", "ipc://")):
            graph = Flowgraph("record")
            recorder = graph.add(Recorder(path=str(out), overwrite=overwrite))
            graph.dial(source, recorder, connect_timeout=patience)
        else:
            graph = open_flowgraph(Path(source))
            if not edge:
                fail(f"--edge: expected an edge of {source}: {', '.join(e.name for e in graph.edges)}")
            recorder = put(graph, edge, str(out), overwrite)
            graph.state_folder = ""  # which is for the flowgraph as it stands in its file
        run = graph.run()
    except FlowgraphError as error:
        if not isinstance(error.run, Run) or not error.run.records.get("recorder"):
            fail(error)
        typer.echo(f"semstream: {error}", err=True)
        run = error.run
    except SemstreamError as error:
        fail(error)
    for written in run.records[recorder.name]:
        typer.echo(f"wrote {written['frames']} frames, {written['bytes'] / 1e6:.2f} MB, to {out}")
    raise typer.Exit(run.exit_code)


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="recording")],
    into: Annotated[Path | None, typer.Argument(help="FILE.yaml or FILE.py with flowgraph() to feed it to")] = None,
    edge: Annotated[str, typer.Option(help="edge of that flowgraph whose sender it takes the place of")] = "",
    listen: Annotated[str, typer.Option(help="give it at this endpoint instead, e.g. tcp://127.0.0.1:5555")] = "",
    pace: Annotated[Pace, typer.Option(help="as fast as it is taken, or as it was recorded")] = Pace.fast,
    speed: Annotated[float, typer.Option(help="factor on the recorded pace", min=0.001)] = 1.0,
    out: Annotated[Path | None, typer.Option(help="folder for records, table and figures; without it: none")] = None,
) -> None:
    """Feed a recording into a flowgraph or to an endpoint; with neither, say what is in it."""
    from blocks.recorder import Replay, replayed
    from semstream.runtime import Flowgraph, SemstreamError
    from semstream.runtime.frames.recording import RecordingError
    from semstream.script import RunOptions, execute

    try:
        if into is None and not listen:
            _describe(file)
            return
        if into is not None:
            inner = open_flowgraph(into)
            if not edge:
                fail(f"--edge: expected an edge of {into}: {', '.join(e.name for e in inner.edges)}")
            execute(replayed(inner, edge, str(file), pace, speed), RunOptions(out=out))
        graph = Flowgraph("replay")
        source = graph.add(Replay(path=str(file), pace=pace, speed=speed))
        graph.listen(source, listen)
        typer.echo(f"giving {file} at {listen}")
        raise typer.Exit(graph.run().exit_code)
    except (SemstreamError, RecordingError) as error:
        fail(error)


def _describe(file: Path) -> None:
    from semstream.runtime.frames.recording import RecordingReader

    with RecordingReader(file) as reader:
        made = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(reader.facts.get("created", 0))))
        typer.echo(f"{file}: {len(reader)} frames of {reader.port_type.name}, recorded {made}")
        for name, value in reader.facts.items():
            if name not in ("v", "created"):
                typer.echo(f"  {name}: {value}")
        if len(reader):
            first, last = reader.read(0), reader.read(len(reader) - 1)
            typer.echo(
                f"  frames {first.frame.seq} to {last.frame.seq} in {last.at_ns / 1e9:.2f} s; first: {first.frame}"
            )
        if reader.lost_bytes:
            typer.echo(f"  cut short: {reader.lost_bytes} bytes after the last whole frame were left out")
