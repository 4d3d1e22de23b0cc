"""One transmitter, several channels: the same symbols over AWGN, Rayleigh, Rician and the paper's composite channel.

    python flowgraphs/fading_link.py
    python flowgraphs/fading_link.py --coherence frame --snr 5,10,15 --bits 4

Leaves records.csv, records.jsonl, table.txt, quality_vs_snr.png and frames.png in --out.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

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
from awgn_link import Channel, Engine, Lpips

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


def main(
    source: Annotated[str, typer.Option(help="folder, picture, video, dataset or camera:0; empty: photographs")] = "",
    size: Annotated[int, typer.Option(help="side of the pictures in pixels; 0: as they are", min=0)] = 192,
    snr: Annotated[str, typer.Option(help="Es/N0 in dB, in turn; inf is error-free")] = "1,4,7,10,13",
    bits: Annotated[float, typer.Option(help="budget in bits a feature", min=1, max=12)] = 4.0,
    channels: Annotated[str, typer.Option(help=f"of {', '.join(Channel)}")] = "awgn,rayleigh,rician,composite",
    coherence: Annotated[str, typer.Option(help="length of a fade: symbol, frame, or a number of symbols")] = "symbol",
    rician_k: Annotated[float, typer.Option(help="power of the direct path over the scattered, linear", min=0)] = 3.0,
    frames: Annotated[int, typer.Option(help="frames in all, split over the SNRs", min=1)] = 50,
    engine: Annotated[Engine, typer.Option(help="threads or processes")] = Engine.threads,
    weights: Annotated[str, typer.Option(help="name or file of the codec's weights")] = "",
    lpips: Annotated[Lpips, typer.Option(help="backbone of LPIPS, or off")] = Lpips.vgg,
    seed: Annotated[int, typer.Option(help="seed of fading and noise")] = 0,
    monitor: Monitor = "",
    control: Control = False,
    prometheus: Prometheus = 0,
    out: Annotated[Path, typer.Option(help="folder for records and figures")] = Path("out/fading_link"),
) -> None:
    """Stream pictures over fading channels and report their quality against SNR."""
    kinds, snr_db = channels.replace(",", " ").split(), numbers(snr)
    if not kinds or set(kinds) - set(Channel) or len(set(kinds)) < len(kinds):
        raise typer.BadParameter(f"--channels: expected some of {', '.join(Channel)}, each once, got {channels!r}")
    shutil.rmtree(out / "snapshots", ignore_errors=True)
    graph = Flowgraph("fading_link", seed=seed)
    try:
        hold = -(-frames // len(snr_db))
        sweep = SnrSweep(snr_db=snr_db, hold=hold)
        transmitter = PowerNormalizer(weights=weights)
        graph.connect(
            swept_source(source, size, frames, hold),
            sweep,
            SwinEncoder(weights=weights),
            ContributionClassifier(weights=weights),
            NonUniformQuantizer(weights=weights, bits=bits),
            transmitter,
            credit=1,
        )
        sinks = []
        for kind in kinds:
            sink = MetricSink(name=f"{kind}.metrics", branch=kind, lpips=lpips, snapshots=str(out / "snapshots"))
            fade = int(coherence) if coherence.isdigit() else coherence
            air = FadingChannel(channel=kind, coherence=fade, rician_k=rician_k, noise_key="air")
            receiver = [Dequantizer(weights=weights), SwinDecoder(weights=weights)]
            graph.connect(transmitter, air, *receiver, sink.reconstruction, credit=1)
            graph.connect(sweep, sink.reference, credit=1)
            sinks.append(sink)
        run = run_with_progress(graph, engine, frames * len(kinds), monitor, control, prometheus)
    except EXPECTED as error:
        fail(error)
    records = [record for sink in sinks for record in run.records[sink.name]]
    title = f"optimal, {bits:g} bits a feature, fades of a {coherence}"
    finish(run, records, out, title, notes(records, lpips))


if __name__ == "__main__":
    typer.run(main)
