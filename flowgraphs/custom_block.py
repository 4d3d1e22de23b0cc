"""A block of one's own in the link: phase noise on the symbols, which the receiver knows nothing of.

    python flowgraphs/custom_block.py
    python flowgraphs/custom_block.py --phase-noise 10

Two branches, without and with the block. Leaves records and figures in --out.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
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
from blocks.ports import Symbols
from semstream.phy import generator
from semstream.runtime import Block, Flowgraph, Frame, In, Out, live
from semstream.script import Bits, Frames, Size, Snr, Source, numbers, run_as_command, swept_pictures


class PhaseNoise(Block):
    """Turn each symbol by a random angle, as an oscillator that trembles does."""

    symbols = In(Symbols)
    turned = Out(Symbols)

    class Settings(Block.Settings):
        degrees: float = live(5.0, ge=0, le=180, unit="degrees", description="standard deviation of the angle")

    def process(self, frame: Frame) -> Frame:
        angle = generator(self.seed, self.name, frame.seq).normal(
            0, np.radians(self.settings.degrees), frame["symbols"].size
        )
        return frame.replace(frame.arrays | {"symbols": frame["symbols"] * np.exp(1j * angle).astype(np.complex64)})


def flowgraph(
    phase_noise: Annotated[
        float, typer.Option(help="standard deviation of the angle in degrees", min=0, max=180)
    ] = 5.0,
    source: Source = "",
    size: Size = 128,
    snr: Snr = "7,13,19",
    bits: Bits = 5.0,
    frames: Frames = 30,
) -> Flowgraph:
    """Stream pictures through a block of one's own."""
    snr_db = numbers(snr)
    hold = -(-frames // len(snr_db))
    graph = Flowgraph("custom_block", credit=1)

    sweep, transmitter = SnrSweep(snr_db=snr_db, hold=hold), PowerNormalizer()
    codec = [SwinEncoder(), ContributionClassifier(), NonUniformQuantizer(bits=bits)]
    graph.connect(swept_pictures(source, size, frames, hold), sweep, *codec, transmitter)

    branches: dict[str, list[Block]] = {"steady": [], "phase-noise": [PhaseNoise(degrees=phase_noise)]}
    for branch, extra in branches.items():
        sink = MetricSink(name=f"{branch}.metrics", branch=branch, lpips="off")
        receiver = [FadingChannel(noise_key="air"), Dequantizer(), SwinDecoder()]
        graph.connect(transmitter, *extra, *receiver, sink.reconstruction)
        graph.connect(sweep, sink.reference)
    return graph


if __name__ == "__main__":
    run_as_command(flowgraph)
