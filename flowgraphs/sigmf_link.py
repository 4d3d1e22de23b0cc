"""The link's samples as a SigMF recording, and the pictures from the recording, later or elsewhere.

    python flowgraphs/sigmf_link.py record --path out/air
    python flowgraphs/sigmf_link.py play --path out/air --save out/pictures

`record` sends pictures over a channel and keeps what is received: out/air.sigmf-data, float32 I and Q that GNU Radio's
file source reads, and out/air.sigmf-meta. `play` decodes it without transmitter and channel, to the same pictures.
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
    SigmfSink,
    SigmfSource,
    SnrSweep,
    SwinDecoder,
    SwinEncoder,
)
from semstream.runtime import Flowgraph
from semstream.script import Bits, Channel, Frames, Size, Snr, Source, numbers, run_as_command, swept_pictures

Path = Annotated[str, typer.Option(help="recording, without suffix")]
Save = Annotated[str, typer.Option(help="folder or .mp4 file to write the received pictures to")]


def record(
    path: Path = "out/air",
    source: Source = "",
    size: Size = 128,
    snr: Snr = "4,10,16",
    bits: Bits = 4.0,
    channel: Channel = "awgn",
    frames: Frames = 30,
    save: Save = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="write over a recording that exists")] = False,
) -> Flowgraph:
    """Send pictures over a channel and record the samples that are received."""
    snr_db = numbers(snr)
    hold = -(-frames // len(snr_db))
    graph = Flowgraph("sigmf_record", credit=1)
    sweep, air = SnrSweep(snr_db=snr_db, hold=hold), FadingChannel(channel=channel)
    decoder, sink = SwinDecoder(), MetricSink(name="metrics", branch=channel)
    codec = [SwinEncoder(), ContributionClassifier(), NonUniformQuantizer(bits=bits), PowerNormalizer()]
    graph.connect(swept_pictures(source, size, frames, hold), sweep, *codec, air, Dequantizer(), decoder)
    graph.connect(decoder, sink.reconstruction)
    graph.connect(sweep, sink.reference, depth=16)
    graph.connect(air, SigmfSink(path=path, overwrite=overwrite))
    if save:
        graph.connect(decoder, ImageSink(path=save))
    return graph


def play(path: Path = "out/air", save: Save = "out/pictures") -> Flowgraph:
    """Decode a recording to pictures."""
    graph = Flowgraph("sigmf_play", credit=1)
    graph.connect(SigmfSource(path=path), Dequantizer(), SwinDecoder(), ImageSink(path=save))
    return graph


if __name__ == "__main__":
    run_as_command(record, play)
