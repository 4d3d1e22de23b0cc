"""One transmitter, several channels: AWGN, Rayleigh, Rician, the paper's composite one and more, known or estimated.

    python flowgraphs/fading_link.py
    python flowgraphs/fading_link.py --coherence frame --snr 5,10,15 --bits 4
    python flowgraphs/fading_link.py --coherence 64 --csi perfect,estimated --pilots 0.1 --interleave
    python flowgraphs/fading_link.py --channels doppler,tdl,cdl --csi estimated   # Sionna's, the extra radio

Leaves records.csv, records.jsonl, table.txt, quality_vs_snr.png and frames.png in --out.
"""

from __future__ import annotations

from itertools import product
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
MOVING = ("doppler", "tdl", "cdl")
CSI = ("perfect", "estimated")


def flowgraph(
    source: Source = "",
    size: Size = 192,
    snr: Snr = "1,4,7,10,13",
    bits: Bits = 4.0,
    channels: Annotated[str, typer.Option(help=f"of {', '.join(CHANNELS + MOVING)}")] = ",".join(CHANNELS),
    coherence: Annotated[str, typer.Option(help="length of a fade: symbol, frame, or a number of symbols")] = "symbol",
    rician_k: Annotated[float, typer.Option(help="power of the direct path over the scattered, linear", min=0)] = 3.0,
    csi: Annotated[str, typer.Option(help="perfect, estimated, or both side by side")] = "perfect",
    pilots: Annotated[float, typer.Option(help="share of channel uses, where estimated", min=0.002, max=0.5)] = 0.1,
    doppler: Annotated[float, typer.Option(help="of doppler, tdl and cdl, of the symbol rate", min=0, max=0.5)] = 1e-3,
    interleave: Annotated[bool, typer.Option("--interleave", help="spread each fade over the picture")] = False,
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

    known = names(csi, CSI)
    share = pilots if "estimated" in known else None  # beside estimation perfect CSI pays for pilots too
    for channel, knowledge in product(names(channels, CHANNELS + MOVING), known):
        air = FadingChannel(
            channel=channel, coherence=fade, rician_k=rician_k, csi=knowledge, pilots=share, doppler=doppler,
            interleave=interleave, noise_key="air",
        )  # fmt: skip
        branch = channel if len(known) == 1 else f"{channel}-{knowledge}"
        sink = MetricSink(name=f"{branch}.metrics", branch=branch)
        graph.connect(transmitter, air, Dequantizer(), SwinDecoder(), sink.reconstruction)
        graph.connect(sweep, sink.reference)
    return graph


if __name__ == "__main__":
    run_as_command(flowgraph)
