"""The link: photographs over a noisy channel, with bits by contribution, uniform bits and unquantized, over swept SNRs.

    python flowgraphs/awgn_link.py
    python flowgraphs/awgn_link.py --source holiday/ --size 192 --snr 0,5,10,inf --bits 2 --scheme optimal,fixed,uniform
    python flowgraphs/awgn_link.py --fps 25 --engine processes

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
    UniformQuantizer,
    Unquantized,
)
from semstream.runtime import Block, Flowgraph
from semstream.script import (
    Bits,
    Channel,
    Fps,
    Frames,
    Size,
    Snr,
    Source,
    names,
    numbers,
    run_as_command,
    swept_pictures,
)

PAPER = ("proportional", "cumulative", "fixed")
SCHEMES = ("optimal", *PAPER, "uniform", "unquantized")


def flowgraph(
    source: Source = "",
    size: Size = 192,
    snr: Snr = "1,4,7,10,13",
    bits: Bits = 3.0,
    scheme: Annotated[str, typer.Option(help=f"branches, of {', '.join(SCHEMES)}")] = "optimal,uniform,unquantized",
    channel: Channel = "awgn",
    frames: Frames = 60,
    fps: Fps = 0.0,
) -> Flowgraph:
    """Stream pictures over the link and report their quality against SNR."""
    snr_db = numbers(snr)
    hold = -(-frames // len(snr_db))
    graph = Flowgraph("awgn_link", policy="drop_oldest" if fps else "block", credit=1)

    sweep = SnrSweep(snr_db=snr_db, hold=hold)
    encoder = SwinEncoder()
    graph.connect(swept_pictures(source, size, frames, hold, fps), sweep, encoder)

    for branch in names(scheme, SCHEMES):
        air = FadingChannel(channel=channel, noise_key="air")  # the same noise in every branch
        sink = MetricSink(name=f"{branch}.metrics", branch=branch)
        transmitter = [*quantizer(branch, bits), PowerNormalizer()]
        receiver = [Dequantizer(), SwinDecoder()]
        graph.connect(encoder, *transmitter, air, *receiver, sink.reconstruction)
        graph.connect(sweep, sink.reference, depth=16)
    return graph


def quantizer(scheme: str, bits: float) -> list[Block]:
    """From features to codes, by one of `SCHEMES`."""
    if scheme == "unquantized":
        return [Unquantized()]
    if scheme == "uniform":
        return [UniformQuantizer(bits=bits)]
    if scheme in PAPER:
        return [ContributionClassifier(classes=3), NonUniformQuantizer(bits=bits, scheme=scheme)]
    return [ContributionClassifier(), NonUniformQuantizer(bits=bits)]


if __name__ == "__main__":
    run_as_command(flowgraph)
