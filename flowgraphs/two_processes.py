"""Transmitter and receiver as two commands that meet over TCP, here on loopback.

    python flowgraphs/two_processes.py receive &
    python flowgraphs/two_processes.py transmit

Either may be started first. The transmitter sends its symbols on one port, and the pictures themselves on the next, so
that the receiver can say how good its own are. Stop either and the other one ends with a message that says so.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer
from _report import (
    EXPECTED,
    Control,
    Monitor,
    Prometheus,
    console,
    fail,
    finish,
    notes,
    numbers,
    run_with_progress,
    swept_source,
)
from awgn_link import Channel, Lpips

from blocks import (
    ContributionClassifier,
    Dequantizer,
    FadingChannel,
    ImageSink,
    MetricSink,
    NonUniformQuantizer,
    PowerNormalizer,
    SnrSweep,
    SwinDecoder,
    SwinEncoder,
)
from semstream.runtime import Flowgraph

app = typer.Typer(add_completion=False, help=__doc__, rich_markup_mode=None)
Host = Annotated[str, typer.Option(help="address to meet at; other than loopback needs CURVE keys")]
Port = Annotated[int, typer.Option(help="TCP port of the symbols; the next one carries the pictures", min=1, max=65534)]
Weights = Annotated[str, typer.Option(help="name or file of the codec's weights, the same at both ends")]


@app.command()
def transmit(
    source: Annotated[str, typer.Option(help="folder, picture, video, dataset or camera:0; empty: photographs")] = "",
    size: Annotated[int, typer.Option(help="side of the pictures in pixels; 0: as they are", min=0)] = 192,
    snr: Annotated[str, typer.Option(help="Es/N0 in dB, in turn")] = "1,4,7,10,13",
    bits: Annotated[float, typer.Option(help="budget in bits a feature", min=1, max=12)] = 4.0,
    frames: Annotated[int, typer.Option(help="frames in all", min=1)] = 50,
    fps: Annotated[float, typer.Option(help="pace the source in real time; 0: no pace", min=0)] = 0.0,
    host: Host = "127.0.0.1",
    port: Port = 5555,
    weights: Weights = "",
    seed: Annotated[int, typer.Option(help="seed")] = 0,
) -> None:
    """Encode, quantize and send."""
    snr_db = numbers(snr)
    graph = Flowgraph("transmitter", seed=seed)
    policy = "drop_oldest" if fps else "block"
    try:
        hold = -(-frames // len(snr_db))
        sweep, last = SnrSweep(snr_db=snr_db, hold=hold), PowerNormalizer(weights=weights)
        camera = swept_source(source, size, frames, hold, fps)
        codec = [SwinEncoder(weights=weights), ContributionClassifier(weights=weights)]
        graph.connect(camera, sweep, *codec, NonUniformQuantizer(weights=weights, bits=bits), last, policy=policy)
        graph.listen(last.symbols, f"tcp://{host}:{port}", policy=policy)
        graph.listen(sweep.tagged, f"tcp://{host}:{port + 1}", policy=policy, depth=16)
        run = graph.run()
    except EXPECTED as error:
        fail(error)
    console.print(f"sent {run.counters()['blocks'][last.name]['frames_out']} in {run.duration:.1f} s")
    raise typer.Exit(run.exit_code)


@app.command()
def receive(
    channel: Annotated[Channel, typer.Option(help="channel model between the two")] = Channel.awgn,
    host: Host = "127.0.0.1",
    port: Port = 5555,
    weights: Weights = "",
    lpips: Annotated[Lpips, typer.Option(help="backbone of LPIPS, or off")] = Lpips.vgg,
    patience: Annotated[float, typer.Option(help="seconds to wait for the transmitter", min=0.1)] = 30.0,
    seed: Annotated[int, typer.Option(help="seed of the noise")] = 0,
    save: Annotated[str, typer.Option(help="folder or .mp4 file to write the received pictures to")] = "",
    monitor: Monitor = "",
    control: Control = False,
    prometheus: Prometheus = 0,
    out: Annotated[Path, typer.Option(help="folder for records and figures")] = Path("out/two_processes"),
) -> None:
    """Receive over a channel, decode and measure."""
    shutil.rmtree(out / "snapshots", ignore_errors=True)
    graph = Flowgraph("receiver", seed=seed)
    try:
        air = FadingChannel(channel=channel)
        sink = MetricSink(name="metrics", branch=channel, lpips=lpips, snapshots=str(out / "snapshots"))
        decoder = SwinDecoder(weights=weights)
        graph.connect(air, Dequantizer(weights=weights), decoder, sink.reconstruction)
        if save:
            graph.connect(decoder, ImageSink(path=save))
        graph.dial(f"tcp://{host}:{port}", air.symbols, connect_timeout=patience)
        graph.dial(f"tcp://{host}:{port + 1}", sink.reference, connect_timeout=patience)
        run = run_with_progress(graph, "threads", 0, monitor, control, prometheus)
    except EXPECTED as error:
        fail(error)
    records = run.records[sink.name]
    finish(run, records, out, f"{channel} between two processes", notes(records, lpips))


if __name__ == "__main__":
    app()
