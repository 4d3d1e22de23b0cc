"""An adaptive link against fixed budgets: composite channel, SNR and bandwidth that change as it runs.

    python flowgraphs/adaptive_link.py
    python flowgraphs/adaptive_link.py --snr estimated --channel rayleigh --frames 120

Every `--hold` frames there is another bandwidth (channel uses a frame) and another SNR. The adaptive branch sends what
fits; a fixed budget that does not fit comes too late, and the receiver shows its last picture again. All branches send
the same pictures over the same channel. Prints each branch's mean quality, and what adapting gains over the best fixed.
"""

from __future__ import annotations

import shutil
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from _report import EXPECTED, Control, Monitor, Prometheus, fail, finish, numbers, run_with_progress, swept_source
from awgn_link import Channel, Engine

from blocks import (
    BandwidthSchedule,
    ContributionClassifier,
    Dequantizer,
    FadingChannel,
    KeepLast,
    MetricSink,
    NonUniformQuantizer,
    PowerNormalizer,
    RateController,
    SnrEstimator,
    SnrSweep,
    SwinDecoder,
    SwinEncoder,
)
from semstream.runtime import Block, Flowgraph

Snr = StrEnum("Snr", ["given", "estimated"])
C = 32


def main(
    source: Annotated[str, typer.Option(help="folder, picture, video, dataset; empty: photographs")] = "",
    size: Annotated[int, typer.Option(help="side of the pictures in pixels; 0: as they are", min=0)] = 96,
    channel: Annotated[Channel, typer.Option(help="channel model")] = Channel.composite,
    snr: Annotated[
        Snr, typer.Option(help="what the controller knows: the SNR, or an estimate from pilots")
    ] = Snr.given,
    snr_db: Annotated[str, typer.Option(help="Es/N0 in dB, in turn")] = "13,4,10,1,7",
    fixed: Annotated[str, typer.Option(help="channels of features that the fixed branches send, of 32")] = "4,8,16,32",
    frames: Annotated[int, typer.Option(help="frames in all", min=1)] = 100,
    hold: Annotated[int, typer.Option(help="frames that meet the same bandwidth and SNR", min=1)] = 5,
    engine: Annotated[Engine, typer.Option(help="threads or processes")] = Engine.threads,
    seed: Annotated[int, typer.Option(help="seed of noise and bandwidth")] = 0,
    monitor: Monitor = "",
    control: Control = False,
    prometheus: Prometheus = 0,
    out: Annotated[Path, typer.Option(help="folder for records and figures")] = Path("out/adaptive_link"),
) -> None:
    """Stream pictures while bandwidth and SNR change, adapting and not."""
    budgets = [int(n) for n in numbers(fixed)]
    if not all(1 <= n <= C for n in budgets):
        raise typer.BadParameter(f"--fixed: expected numbers from 1 to {C}, got {fixed!r}")
    shutil.rmtree(out / "snapshots", ignore_errors=True)
    graph = Flowgraph("adaptive_link", seed=seed)
    try:
        schedule = BandwidthSchedule(hold=hold)
        sweep, estimator = SnrSweep(snr_db=numbers(snr_db), hold=hold), SnrEstimator(channel=channel)
        encoder, classify = SwinEncoder(), ContributionClassifier()
        camera = swept_source(source, size, frames, frames)
        graph.connect(camera, schedule, sweep, estimator, encoder, classify, credit=1)
        sinks = []
        for channels in [0, *budgets]:
            label = f"fixed {channels}" if channels else "adaptive"
            # Eight bits for each feature that is sent; the fixed branches leave the others out.
            quantize: list[Block] = (
                [NonUniformQuantizer(bits=8 * channels / C, follow_rate=False, most_channels=channels)]
                if channels
                else [RateController(snr=snr), NonUniformQuantizer()]
            )
            sink = MetricSink(name=f"{label.replace(' ', '-')}.metrics", branch=label, lpips="off", ms_ssim=False)
            receiver = [FadingChannel(channel=channel, noise_key="air"), Dequantizer(), SwinDecoder(), KeepLast()]
            graph.connect(classify, *quantize, PowerNormalizer(), *receiver, sink.reconstruction, credit=1)
            graph.connect(sweep, sink.reference, credit=1, depth=16)
            sinks.append(sink)
        run = run_with_progress(graph, engine, frames * len(sinks), monitor, control, prometheus)
    except EXPECTED as error:
        fail(error)
    records = [record for sink in sinks for record in run.records[sink.name]]
    mean = {s.settings.branch: np.mean([r["psnr_db"] for r in run.records[s.name]] or [np.nan]) for s in sinks}
    best = max((name for name in mean if name != "adaptive"), key=lambda name: mean[name])
    lines = [f"{name}: {value:.2f} dB over all frames" for name, value in mean.items()]
    lines.append(f"adapting gains {mean['adaptive'] - mean[best]:.2f} dB over the best fixed budget ({best})")
    finish(run, records, out, f"{channel}, bandwidth and SNR that change, SNR {snr}", lines)


if __name__ == "__main__":
    typer.run(main)
