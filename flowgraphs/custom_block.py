"""A block of one's own in the link: phase noise on the symbols, which the receiver knows nothing of.

    python flowgraphs/custom_block.py
    python flowgraphs/custom_block.py --phase-noise 10

Two branches, without and with the block. Leaves records and figures in --out.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from _report import (
    EXPECTED,
    Control,
    Monitor,
    Prometheus,
    fail,
    finish,
    notes,
    numbers,
    run_with_progress,
    swept_source,
)
from awgn_link import Engine

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


def main(
    phase_noise: Annotated[
        float, typer.Option(help="standard deviation of the angle in degrees", min=0, max=180)
    ] = 5.0,
    source: Annotated[str, typer.Option(help="folder, picture, video, dataset or camera:0; empty: photographs")] = "",
    size: Annotated[int, typer.Option(help="side of the pictures in pixels; 0: as they are", min=0)] = 128,
    snr: Annotated[str, typer.Option(help="Es/N0 in dB, in turn; inf is error-free")] = "7,13,19",
    bits: Annotated[float, typer.Option(help="budget in bits a feature", min=1, max=12)] = 5.0,
    frames: Annotated[int, typer.Option(help="frames in all, split over the SNRs", min=1)] = 30,
    engine: Annotated[Engine, typer.Option(help="threads or processes")] = Engine.threads,
    seed: Annotated[int, typer.Option(help="seed of all noise")] = 0,
    monitor: Monitor = "",
    control: Control = False,
    prometheus: Prometheus = 0,
    out: Annotated[Path, typer.Option(help="folder for records and figures")] = Path("out/custom_block"),
) -> None:
    """Stream pictures through a block of one's own."""
    snr_db = numbers(snr)
    shutil.rmtree(out / "snapshots", ignore_errors=True)
    graph = Flowgraph("custom_block", seed=seed)
    try:
        hold = -(-frames // len(snr_db))
        sweep, transmitter = SnrSweep(snr_db=snr_db, hold=hold), PowerNormalizer()
        codec = [SwinEncoder(), ContributionClassifier(), NonUniformQuantizer(bits=bits)]
        graph.connect(swept_source(source, size, frames, hold), sweep, *codec, transmitter, credit=1)
        sinks = []
        for label, extra in (("steady", []), ("phase-noise", [PhaseNoise(degrees=phase_noise)])):
            sink = MetricSink(name=f"{label}.metrics", branch=label, lpips="off", snapshots=str(out / "snapshots"))
            receiver = [FadingChannel(noise_key="air"), Dequantizer(), SwinDecoder()]
            graph.connect(transmitter, *extra, *receiver, sink.reconstruction, credit=1)
            graph.connect(sweep, sink.reference, credit=1)
            sinks.append(sink)
        run = run_with_progress(graph, engine, 2 * frames, monitor, control, prometheus)
    except EXPECTED as error:
        fail(error)
    records = [record for sink in sinks for record in run.records[sink.name]]
    finish(run, records, out, f"{phase_noise:g}° of phase noise, {bits:g} bits a feature", notes(records, "off"))


if __name__ == "__main__":
    typer.run(main)
