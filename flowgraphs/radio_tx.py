"""The transmitter alone: pictures to complex samples, in a file, on a socket, or on their way through a GNU Radio.

    python flowgraphs/radio_tx.py --to out/air.cf32 --save out/sent
    python flowgraphs/radio_tx.py --to out/air.sigmf-meta --modulation pam
    python flowgraphs/radio_tx.py --to tcp://127.0.0.1:5555 --fps 25 --frames 500

`radio_rx.py` makes pictures of them again, with nothing but the samples: each frame has a preamble, pilots and a header
that says all the rest. With --snr, --offset, --start and --idle a channel of our own lies on the samples already.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import typer

from blocks import (
    ContributionClassifier,
    FrameModulator,
    ImageSink,
    NonUniformQuantizer,
    PowerNormalizer,
    QamModulator,
    SampleChannel,
    SampleSink,
    SideInformationModulator,
    SwinEncoder,
)
from semstream.codec.qam_design import filling
from semstream.runtime import Block, Flowgraph, Run
from semstream.runtime.files.overrides import assign
from semstream.script import Fps, Frames, Source, run_as_command, swept_pictures


def flowgraph(
    to: Annotated[str, typer.Option(help="file (.sigmf-meta: SigMF), or ZeroMQ endpoint to bind")] = "out/air.cf32",
    source: Source = "",
    size: Annotated[int, typer.Option(help="side of the pictures in pixels", min=32)] = 64,
    modulation: Annotated[Literal["qam", "pam"], typer.Option(help="coded bits (LDPC), or amplitudes")] = "qam",
    design_snr: Annotated[float, typer.Option(help="SNR that bits or features are made for, in dB")] = 7.0,
    bits: Annotated[float, typer.Option(help="budget of pam in bits a feature", min=1, max=12)] = 8.0,
    frames: Frames = 100,
    fps: Fps = 0.0,
    snr: Annotated[float, typer.Option(help="Es/N0 of noise on the samples in dB; inf: none")] = math.inf,
    offset: Annotated[float, typer.Option(help="carrier offset on the samples, of the symbol rate")] = 0.0,
    start: Annotated[int, typer.Option(help="latest start in samples, drawn", min=0)] = 0,
    idle: Annotated[int, typer.Option(help="longest silence before a frame in samples, drawn", min=0)] = 0,
    save: Annotated[str, typer.Option(help="folder to keep the sent pictures in, to measure by")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="write over a file that exists")] = False,
    weights: Annotated[str, typer.Option(help="weights of the codec, name or file")] = "",
) -> Flowgraph:
    """Encode pictures and send them as samples."""
    graph = Flowgraph("radio_tx", credit=2 if fps else 1)
    # Bits that arrive are free of noise, so features are made for the least of it.
    encoder = SwinEncoder(fixed_snr_db=design_snr if modulation == "pam" else 20.0)
    camera = swept_pictures(source, size, frames, frames, fps)
    transmitter = modulator(modulation, size, design_snr, bits, weights)
    air: list[Block] = [FrameModulator(modulation=modulation)]
    if not math.isinf(snr) or offset or start or idle:
        air += [SampleChannel(snr_db=snr, frequency_offset=offset, start=start, idle=idle)]
    sink = SampleSink(to=to, modulation=modulation, overwrite=overwrite)
    graph.connect(camera, encoder, policy="drop_oldest" if fps else "block")  # what is late is left out here or nowhere
    graph.connect(encoder, ContributionClassifier(), *transmitter, *air, sink)
    if save:
        graph.connect(camera, ImageSink(path=save))
    assign(graph, "*", "weights", weights)
    return graph


def modulator(modulation: str, size: int, design_snr_db: float, bits: float, weights: str) -> list[Block]:
    """From classified features to symbols that need nothing beside them."""
    if modulation == "pam":
        return [NonUniformQuantizer(bits=bits), PowerNormalizer(), SideInformationModulator()]
    form, filled = filling("ldpc", design_snr_db, (size, size), weights)
    return [NonUniformQuantizer(bits=filled, follow_snr=False), QamModulator(**form.settings())]


def report(run: Run) -> list[str]:
    """What went on the air."""
    (sent,) = run.records["frame_modulator"]
    uses = sent["channel_uses"] / max(1, sent["frames"])
    return [
        f"sent {sent['frames']} frames of {uses:.0f} channel uses (preamble, headers, pilots and silence counted), "
        f"{sent['samples']} samples, in {run.duration:.1f} s"
    ]


if __name__ == "__main__":
    run_as_command(flowgraph, report=report)
