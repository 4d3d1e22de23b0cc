"""Transmitter and receiver as two commands that meet over TCP, here on loopback.

    python flowgraphs/two_processes.py receive &
    python flowgraphs/two_processes.py transmit

Either may be started first. The transmitter sends its symbols on one port, and the pictures themselves on the next, so
that the receiver can say how good its own are. Stop either and the other one ends with a message that says so.
"""

from __future__ import annotations

from typing import Annotated

import typer

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
from semstream.script import Bits, Channel, Fps, Frames, Size, Snr, Source, numbers, run_as_command, swept_pictures

Host = Annotated[str, typer.Option(help="address to meet at; other than loopback needs CURVE keys")]
Port = Annotated[int, typer.Option(help="TCP port of the symbols; the next one carries the pictures", min=1, max=65534)]


def transmit(
    source: Source = "",
    size: Size = 192,
    snr: Snr = "1,4,7,10,13",
    bits: Bits = 4.0,
    frames: Frames = 50,
    fps: Fps = 0.0,
    host: Host = "127.0.0.1",
    port: Port = 5555,
) -> Flowgraph:
    """Encode, quantize and send."""
    snr_db = numbers(snr)
    hold = -(-frames // len(snr_db))
    graph = Flowgraph("transmitter", policy="drop_oldest" if fps else "block")
    sweep, last = SnrSweep(snr_db=snr_db, hold=hold), PowerNormalizer()
    codec = [SwinEncoder(), ContributionClassifier(), NonUniformQuantizer(bits=bits)]
    graph.connect(swept_pictures(source, size, frames, hold, fps), sweep, *codec, last)
    graph.listen(last.symbols, f"tcp://{host}:{port}")
    graph.listen(sweep.tagged, f"tcp://{host}:{port + 1}", depth=16)
    return graph


def receive(
    channel: Channel = "awgn",
    host: Host = "127.0.0.1",
    port: Port = 5555,
    patience: Annotated[float, typer.Option(help="seconds to wait for the transmitter", min=0.1)] = 30.0,
    save: Annotated[str, typer.Option(help="folder or .mp4 file to write the received pictures to")] = "",
) -> Flowgraph:
    """Receive over a channel, decode and measure."""
    graph = Flowgraph("receiver")
    air, decoder, sink = FadingChannel(channel=channel), SwinDecoder(), MetricSink(name="metrics", branch=channel)
    graph.dial(f"tcp://{host}:{port}", air.symbols, connect_timeout=patience)
    graph.dial(f"tcp://{host}:{port + 1}", sink.reference, connect_timeout=patience)
    graph.connect(air, Dequantizer(), decoder, sink.reconstruction)
    if save:
        graph.connect(decoder, ImageSink(path=save))
    return graph


if __name__ == "__main__":
    run_as_command(transmit, receive)
