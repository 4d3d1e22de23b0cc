"""An adaptive link against fixed budgets: composite channel, SNR and bandwidth that change as it runs.

    python flowgraphs/adaptive_link.py
    python flowgraphs/adaptive_link.py --snr estimated --channel rayleigh --frames 120

Every `--dwell` frames there is another bandwidth (channel uses a frame) and another SNR. The adaptive branch sends what
fits; a fixed budget that does not fit comes too late, and the receiver shows its last picture again. All branches send
the same pictures over the same channel. Prints each branch's mean quality, and what adapting gains over the best fixed.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import typer

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
from semstream.runtime import Block, Flowgraph, Run
from semstream.script import Channel, Frames, Size, Snr, Source, numbers, run_as_command, swept_pictures

C = 32


def flowgraph(
    source: Source = "",
    size: Size = 96,
    channel: Channel = "composite",
    snr: Annotated[
        Literal["given", "estimated"], typer.Option(help="what the controller knows: the SNR, or one made from pilots")
    ] = "given",
    snr_db: Snr = "13,4,10,1,7",
    fixed: Annotated[str, typer.Option(help="channels of features that the fixed branches send, of 32")] = "4,8,16,32",
    frames: Frames = 100,
    dwell: Annotated[int, typer.Option(help="frames that meet the same bandwidth and SNR", min=1)] = 5,
) -> Flowgraph:
    """Stream pictures while bandwidth and SNR change, adapting and not."""
    budgets = [int(n) for n in numbers(fixed)]
    if not all(1 <= n <= C for n in budgets):
        raise typer.BadParameter(f"--fixed: expected numbers from 1 to {C}, got {fixed!r}")
    graph = Flowgraph("adaptive_link", credit=1)

    sweep, classify = SnrSweep(snr_db=numbers(snr_db), hold=dwell), ContributionClassifier()
    camera, bandwidth = swept_pictures(source, size, frames, frames), BandwidthSchedule(hold=dwell)
    graph.connect(camera, bandwidth, sweep, SnrEstimator(channel=channel), SwinEncoder(), classify)

    adaptive: list[Block] = [RateController(snr=snr), NonUniformQuantizer()]
    branches = {"adaptive": adaptive} | {f"fixed {n}": [fixed_quantizer(n)] for n in budgets}
    for branch, quantizer in branches.items():
        air = FadingChannel(channel=channel, noise_key="air")
        sink = MetricSink(name=f"{branch.replace(' ', '-')}.metrics", branch=branch, lpips="off", ms_ssim=False)
        receiver = [Dequantizer(), SwinDecoder(), KeepLast()]
        graph.connect(classify, *quantizer, PowerNormalizer(), air, *receiver, sink.reconstruction)
        graph.connect(sweep, sink.reference, depth=16)
    return graph


def fixed_quantizer(channels: int) -> Block:
    """Eight bits for each feature of so many channels; the others are left out."""
    return NonUniformQuantizer(bits=8 * channels / C, follow_rate=False, most_channels=channels)


def gain(run: Run) -> list[str]:
    """Each branch's mean quality, and what adapting gains over the best fixed budget."""
    quality: dict[str, list[float]] = {}
    for record in (record for records in run.records.values() for record in records):
        quality.setdefault(record["branch"], []).append(record["psnr_db"])
    mean = {branch: float(np.mean(values)) for branch, values in quality.items()}
    lines = [f"{branch}: {value:.2f} dB over all frames" for branch, value in mean.items()]
    rivals = mean.keys() - {"adaptive"}
    if "adaptive" in mean and rivals:
        best = max(rivals, key=lambda branch: mean[branch])
        lines.append(f"adapting gains {mean['adaptive'] - mean[best]:.2f} dB over the best fixed budget ({best})")
    return lines


if __name__ == "__main__":
    run_as_command(flowgraph, report=gain)
