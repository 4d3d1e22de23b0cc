"""The receiver alone: complex samples to pictures, from a file, a socket, or a GNU Radio.

    python flowgraphs/radio_rx.py --samples out/air.cf32 --save out/pictures
    python flowgraphs/radio_rx.py --samples out/air.cf32 --compare out/sent
    python flowgraphs/radio_rx.py --samples tcp://127.0.0.1:5556 --modulation pam

Nothing but samples comes from `radio_tx.py`: when a frame starts, how it turns, how strong it is, how noisy, and what
is in it is found in them. --compare measures the pictures by those that the transmitter has kept.
"""

from __future__ import annotations

from statistics import fmean
from typing import Annotated, Literal

import typer

from blocks import (
    Dequantizer,
    FrameSynchronizer,
    ImageSink,
    MetricSink,
    QamDemodulator,
    SampleSource,
    SentPictures,
    SideInformationDemodulator,
    SwinDecoder,
)
from semstream.runtime import Block, Flowgraph, Run
from semstream.script import run_as_command


def flowgraph(
    samples: Annotated[str, typer.Option(help="file (.sigmf-meta: SigMF), or ZeroMQ endpoint")] = "out/air.cf32",
    modulation: Annotated[Literal["qam", "pam"], typer.Option(help="as the transmitter's")] = "qam",
    save: Annotated[str, typer.Option(help="folder or .mp4 file to write the pictures to")] = "",
    compare: Annotated[str, typer.Option(help="folder of the sent pictures, to measure by")] = "",
    patience: Annotated[float, typer.Option(help="seconds to wait for the first sample", min=0.1)] = 30.0,
    silence: Annotated[float, typer.Option(help="seconds without samples that are the end", min=0.1)] = 3.0,
) -> Flowgraph:
    """Find frames in samples, and decode them to pictures."""
    graph = Flowgraph("radio_rx")
    source, decoder = SampleSource(source=samples, patience=patience, silence=silence), SwinDecoder()
    demodulator: list[Block] = (
        [QamDemodulator()] if modulation == "qam" else [SideInformationDemodulator(), Dequantizer()]
    )
    graph.connect(source, FrameSynchronizer(modulation=modulation), *demodulator, decoder)
    if compare:
        sink = MetricSink(name="metrics", branch=modulation)
        graph.connect(decoder, sink.reconstruction)
        graph.connect(decoder, SentPictures(path=compare), sink.reference)
    if save or not compare:
        graph.connect(decoder, ImageSink(path=save or "out/pictures"))
    return graph


def report(run: Run) -> list[str]:
    """What was found in the samples, and what was lost."""
    (found,) = run.records["frame_synchronizer"]
    wrong = {name: n for name, n in found.items() if n and name not in ("samples", "preambles", "frames")}
    lines = [f"{found['frames']} frames in {found['samples']} samples; {wrong or 'nothing lost'}"]
    for name in ("qam_demodulator", "side_information_demodulator"):
        lines += [f"{name}: {record}" for record in run.records.get(name, [])]
    if rows := run.records.get("metrics"):
        lines.append(f"mean PSNR {fmean(r['psnr_db'] for r in rows):.2f} dB over {len(rows)} pictures")
    return lines


if __name__ == "__main__":
    run_as_command(flowgraph, report=report)
