"""One transmitter, several channels: the same symbols over AWGN, Rayleigh, Rician and the paper's composite channel.

    python flowgraphs/fading_link.py
    python flowgraphs/fading_link.py --coherence frame --snr 5,10,15 --bits 4

Leaves records.csv, records.jsonl, table.txt, quality_vs_snr.png and frames.png in --out.
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
from semstream.script import Bits, Frames, Size, Snr, Source, names, numbers, run_as_command, swept_pictures

CHANNELS = ("awgn", "rayleigh", "rician", "composite")


def flowgraph(
    source: Source = "",
    size: Size = 192,
    snr: Snr = "1,4,7,10,13",
    bits: Bits = 4.0,
    channels: Annotated[str, typer.Option(help=f"of {', '.join(CHANNELS)}")] = ",".join(CHANNELS),
    coherence: Annotated[str, typer.Option(help="length of a fade: symbol, frame, or a number of symbols")] = "symbol",
    rician_k: Annotated[float, typer.Option(help="power of the direct path over the scattered, linear", min=0)] = 3.0,
    frames: Frames = 50,
) -> Flowgraph:
    """Stream pictures over fading channels and report their quality against SNR."""
    snr_db = numbers(snr)
    hold = -(-frames // len(snr_db))
    fade = int(coherence) if coherence.isdigit() else coherence
    graph = Flowgraph("fading_link", credit=1)

    sweep, transmitter = SnrSweep(snr_db=snr_db, hold=hold), PowerNormalizer()
    camera = swept_pictures(source, size, frames, hold)
    graph.connect(camera, sweep, SwinEncoder(), ContributionClassifier(), NonUniformQuantizer(bits=bits), transmitter)

    for channel in names(channels, CHANNELS):
        air = FadingChannel(channel=channel, coherence=fade, rician_k=rician_k, noise_key="air")
        sink = MetricSink(name=f"{channel}.metrics", branch=channel)
        graph.connect(transmitter, air, Dequantizer(), SwinDecoder(), sink.reconstruction)
        graph.connect(sweep, sink.reference)
    return graph


if __name__ == "__main__":
    run_as_command(flowgraph)
