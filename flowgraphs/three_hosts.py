"""Transmitter, channel and receiver on three machines, each running this script; without --only all three run here.

    semstream keygen tx channel rx                     # once; copy keys/*.key to all, and each *.key_secret to its own
    python flowgraphs/three_hosts.py --only rx      --keys keys --tx 10.0.0.1 --channel 10.0.0.2 --rx 10.0.0.3
    python flowgraphs/three_hosts.py --only channel --keys keys --tx 10.0.0.1 --channel 10.0.0.2 --rx 10.0.0.3
    python flowgraphs/three_hosts.py --only tx      --keys keys --tx 10.0.0.1 --channel 10.0.0.2 --rx 10.0.0.3

They may be started in any order, within half a minute. A cable that is cut for less than that costs no frame; with
--live, where frames may be lost, the picture is never old when it comes back.
"""

from __future__ import annotations

from typing import Annotated

import typer

from blocks import (
    ContributionClassifier,
    Dequantizer,
    FadingChannel,
    MetricSink,
    NonUniformQuantizer,
    PowerNormalizer,
    SnrSweep,
    SwinDecoder,
    SwinEncoder,
)
from semstream.runtime import Flowgraph
from semstream.script import Bits, Fps, Frames, Size, Snr, Source, numbers, run_as_command, swept_pictures

Address = Annotated[str, typer.Option(help="address of this host; other than loopback needs --keys")]


def flowgraph(
    source: Source = "",
    size: Size = 64,
    snr: Snr = "4,10,16",
    bits: Bits = 4.0,
    frames: Frames = 60,
    fps: Fps = 0.0,
    live: Annotated[bool, typer.Option("--live", help="drop what is late, and count it, instead of waiting")] = False,
    credit: Annotated[
        str, typer.Option(help="frames under way to a block: a number, or auto, by what the way needs")
    ] = "auto",
    tx: Address = "127.0.0.1",
    channel: Address = "127.0.0.1",
    rx: Address = "127.0.0.1",
    port: Annotated[int, typer.Option(help="first TCP port; each host has ten", min=1, max=65500)] = 5610,
) -> Flowgraph:
    """Send pictures from one machine over a channel on the next to a third."""
    if credit != "auto" and not credit.isdigit():
        raise typer.BadParameter(f"--credit: expected a number or auto, got {credit!r}")
    snr_db = numbers(snr)
    hold = -(-frames // len(snr_db))
    policy = "drop_oldest" if live else "block"
    graph = Flowgraph("three_hosts", policy=policy, credit="auto" if credit == "auto" else int(credit))
    pictures = swept_pictures(source, size, frames, hold, fps)
    sweep, encoder, classifier = SnrSweep(snr_db=snr_db, hold=hold), SwinEncoder(), ContributionClassifier()
    quantizer, power = NonUniformQuantizer(bits=bits), PowerNormalizer()
    air = FadingChannel()
    dequantizer, decoder, sink = Dequantizer(), SwinDecoder(), MetricSink(name="metrics", branch="far")
    graph.host("tx", f"{tx}:{port}", pictures, sweep, encoder, classifier, quantizer, power)
    graph.host("channel", f"{channel}:{port + 10}", air)
    graph.host("rx", f"{rx}:{port + 20}", dequantizer, decoder, sink)
    graph.connect(pictures, sweep, encoder, classifier, quantizer, power, air)
    graph.connect(air, dequantizer, decoder, sink.reconstruction)
    graph.connect(sweep, sink.reference, depth=16)
    return graph


if __name__ == "__main__":
    run_as_command(flowgraph)
