"""The link: photographs over a noisy channel, non-uniform, uniform and unquantized side by side over swept SNRs.

    python flowgraphs/awgn_link.py
    python flowgraphs/awgn_link.py --source holiday/ --size 192 --snr 0,5,10,inf --bits 2 --scheme optimal,fixed,uniform
    python flowgraphs/awgn_link.py --fps 25 --engine processes

Leaves records.csv, records.jsonl, table.txt, quality_vs_snr.png and frames.png in --out.
"""

from __future__ import annotations

import shutil
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

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

from blocks import (
    ContributionClassifier,
    Dequantizer,
    FadingChannel,
    ImageSource,
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

Scheme = StrEnum("Scheme", ["optimal", "proportional", "cumulative", "fixed", "uniform", "none"])
Channel = StrEnum("Channel", ["awgn", "rayleigh", "rician", "composite"])
Engine = StrEnum("Engine", ["threads", "processes"])
Lpips = StrEnum("Lpips", ["vgg", "alex", "squeeze", "off"])


def wire(
    graph: Flowgraph,
    source: ImageSource,
    snr_db: list[float],
    hold: int,
    schemes: list[str],
    *,
    bits: float = 3.0,
    classes: int = 0,
    channel: str = "awgn",
    weights: str = "",
    quantizer: str = "lloyd_max",
    lpips: str = "vgg",
    snapshots: str = "",
    policy: str = "block",
    credit: int = 1,
) -> list[MetricSink]:
    """Wire one branch a scheme behind a common source and encoder; returns the sinks."""
    sweep, encoder = SnrSweep(snr_db=snr_db, hold=hold), SwinEncoder(weights=weights)
    edges: dict[str, Any] = {"policy": policy, "credit": credit}  # one frame an edge keeps the pictures young
    graph.connect(source, sweep, encoder, **edges)
    sinks = []
    for scheme in schemes:
        start: list[Block]
        if scheme == "none":
            start, label = [encoder, Unquantized(weights=weights)], "unquantized"
        elif scheme == "uniform":
            start, label = [encoder, UniformQuantizer(weights=weights, bits=bits, quantizer=quantizer)], "uniform"
        else:
            label = "non-uniform" if scheme == "optimal" else scheme
            # The paper's schemes are made for its three classes; `optimal` does best with a class a channel.
            m = classes or (0 if scheme == "optimal" else 3)
            quantize = NonUniformQuantizer(weights=weights, bits=bits, scheme=scheme, quantizer=quantizer)
            start = [encoder, ContributionClassifier(weights=weights, classes=m), quantize]
        sink = MetricSink(name=f"{label}.metrics", branch=label, lpips=lpips, snapshots=snapshots)
        air = FadingChannel(channel=channel, noise_key="air")  # the same noise for every branch
        ends = [PowerNormalizer(weights=weights), air, Dequantizer(weights=weights), SwinDecoder(weights=weights)]
        graph.connect(*start, *ends, sink.reconstruction, **edges)
        graph.connect(sweep, sink.reference, **edges, depth=16)
        sinks.append(sink)
    return sinks


def main(
    source: Annotated[str, typer.Option(help="folder, picture, video, dataset or camera:0; empty: photographs")] = "",
    size: Annotated[int, typer.Option(help="side of the pictures in pixels; 0: as they are", min=0)] = 192,
    snr: Annotated[str, typer.Option(help="Es/N0 in dB, in turn; inf is error-free")] = "1,4,7,10,13",
    bits: Annotated[float, typer.Option(help="budget in bits a feature", min=1, max=12)] = 3.0,
    scheme: Annotated[str, typer.Option(help=f"branches, of {', '.join(Scheme)}")] = "optimal,uniform,none",
    classes: Annotated[
        int, typer.Option(help="priority classes m; 0: a class a channel (3 for the paper's)", min=0)
    ] = 0,
    channel: Annotated[Channel, typer.Option(help="channel model")] = Channel.awgn,
    frames: Annotated[int, typer.Option(help="frames in all, split over the SNRs", min=1)] = 60,
    fps: Annotated[
        float, typer.Option(help="pace the source in real time and drop what is late; 0: no pace", min=0)
    ] = 0.0,
    engine: Annotated[Engine, typer.Option(help="threads or processes")] = Engine.threads,
    weights: Annotated[str, typer.Option(help="name or file of the codec's weights")] = "",
    lpips: Annotated[Lpips, typer.Option(help="backbone of LPIPS, or off")] = Lpips.vgg,
    seed: Annotated[int, typer.Option(help="seed of the noise")] = 0,
    monitor: Monitor = "",
    control: Control = False,
    prometheus: Prometheus = 0,
    out: Annotated[Path, typer.Option(help="folder for records and figures")] = Path("out/awgn_link"),
) -> None:
    """Stream pictures over the link and report their quality against SNR."""
    schemes, snr_db = scheme.replace(",", " ").split(), numbers(snr)
    if not schemes or set(schemes) - set(Scheme) or len(set(schemes)) < len(schemes):
        raise typer.BadParameter(f"--scheme: expected some of {', '.join(Scheme)}, each once, got {scheme!r}")
    shutil.rmtree(out / "snapshots", ignore_errors=True)
    graph = Flowgraph("awgn_link", seed=seed)
    try:
        hold = -(-frames // len(snr_db))
        camera = swept_source(source, size, frames, hold, fps)
        sinks = wire(
            graph, camera, snr_db, hold, schemes, bits=bits, classes=classes, channel=channel,
            weights=weights, lpips=lpips, snapshots=str(out / "snapshots"), policy="drop_oldest" if fps else "block",
        )  # fmt: skip
        run = run_with_progress(graph, engine, frames * len(schemes), monitor, control, prometheus)
    except EXPECTED as error:
        fail(error)
    records = [record for sink in sinks for record in run.records[sink.name]]
    title = f"{channel}, {bits:g} bits a feature"
    finish(run, records, out, title, notes(records, lpips))


if __name__ == "__main__":
    typer.run(main)
