"""An adaptive link against fixed budgets: composite channel, SNR and bandwidth that change as it runs.

    python flowgraphs/adaptive_link.py
    python flowgraphs/adaptive_link.py --snr estimated --channel rayleigh --frames 120
    python flowgraphs/adaptive_link.py --modulation qam            # bits: order, code rate and bits follow the SNR

Every `--dwell` frames there is another bandwidth (channel uses a frame) and another SNR. The adaptive branch sends what
fits; a fixed budget that does not fit comes too late, and the receiver shows its last picture again. All branches send
the same pictures over the same channel. With `--modulation qam` (the extra `radio`) all of them fill the bandwidth with
bits: the adaptive one takes order and code rate by the SNR, the others keep those for one. Prints what adapting gains.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import typer

import blocks as b
from semstream.runtime import Block, Flowgraph, Run
from semstream.script import Channel, Frames, Size, Snr, Source, numbers, run_as_command, swept_pictures

C = 32
BACKOFF_DB = 1.0


def flowgraph(
    source: Source = "",
    size: Size = 96,
    channel: Channel = "composite",
    snr: Annotated[
        Literal["given", "estimated"], typer.Option(help="what the controller knows: the SNR, or one made from pilots")
    ] = "given",
    snr_db: Snr = "13,4,10,1,7",
    fixed: Annotated[
        str, typer.Option(help="channels of features, of 32, or as qam dB to be made for; 4,8,16,32 or 1,4,7,10,13")
    ] = "",
    modulation: Annotated[Literal["pam", "qam"], typer.Option(help="amplitudes, or bits over QAM with LDPC")] = "pam",
    backoff: Annotated[float, typer.Option(help="dB that qam leaves below the SNR that is known")] = BACKOFF_DB,
    frames: Frames = 100,
    dwell: Annotated[int, typer.Option(help="frames that meet the same bandwidth and SNR", min=1)] = 5,
) -> Flowgraph:
    """Stream pictures while bandwidth and SNR change, adapting and not."""
    choices = numbers(fixed or ("4,8,16,32" if modulation == "pam" else "1,4,7,10,13"))
    if modulation == "pam" and not all(1 <= n <= C for n in choices):
        raise typer.BadParameter(f"--fixed: expected numbers from 1 to {C}, got {fixed!r}")
    graph = Flowgraph("adaptive_link", credit=1)

    sweep, classify = b.SnrSweep(snr_db=numbers(snr_db), hold=dwell), b.ContributionClassifier()
    camera, bandwidth = swept_pictures(source, size, frames, frames), b.BandwidthSchedule(hold=dwell)
    estimator = b.SnrEstimator(channel=channel)
    encoder = b.SwinEncoder(snr=snr)
    if modulation == "qam":
        encoder = b.SwinEncoder(snr="fixed", fixed_snr_db=20)  # bits that arrive are free of noise
        # Below CBR 1/6 a header takes much of a frame; and bits forgive no estimate that lags behind.
        bandwidth = b.BandwidthSchedule(hold=dwell, low=1 / 6)
        estimator = b.SnrEstimator(channel=channel, memory=0, pilots=256)
    graph.connect(camera, bandwidth, sweep, estimator, encoder, classify)

    branches: dict[str, list[Block]]
    if modulation == "pam":
        branches = {"adaptive": [b.RateController(snr=snr), b.NonUniformQuantizer()]}
        branches |= {
            f"fixed {n:g}": [b.NonUniformQuantizer(bits=8 * n / C, follow_rate=False, most_channels=int(n))]
            for n in choices
        }
    else:
        bits: dict[str, Any] = {"modulation": "qam", "channel": channel, "backoff_db": backoff}
        rates = {"adaptive": b.RateController(snr=snr, **bits)}
        rates |= {f"fixed {db:g} dB": b.RateController(snr="fixed", fixed_snr_db=db, **bits) for db in choices}
        branches = {branch: [rate, b.NonUniformQuantizer()] for branch, rate in rates.items()}
    for branch, quantizer in branches.items():
        ends: tuple[Block, Block] = (b.PowerNormalizer(), b.Dequantizer())
        sender, receiver = ends if modulation == "pam" else (b.QamModulator(), b.QamDemodulator())
        air = b.FadingChannel(channel=channel, noise_key="air")
        sink = b.MetricSink(name=f"{branch.replace(' ', '-')}.metrics", branch=branch, lpips="off", ms_ssim=False)
        graph.connect(classify, *quantizer, sender, air, receiver, b.SwinDecoder(), b.KeepLast(), sink.reconstruction)
        graph.connect(sweep, sink.reference, depth=16)
    return graph


def gain(run: Run) -> list[str]:
    """Each branch's mean quality, and what adapting gains over the best fixed budget."""
    quality: dict[str, list[float]] = {}
    for record in (record for records in run.records.values() for record in records):
        if "psnr_db" in record:  # demodulators report too
            quality.setdefault(record["branch"], []).append(record["psnr_db"])
    mean = {branch: float(np.mean(values)) for branch, values in quality.items()}
    lines = [f"{branch}: {value:.2f} dB over all frames" for branch, value in mean.items()]
    rivals = mean.keys() - {"adaptive"}
    if "adaptive" in mean and rivals:
        best = max(rivals, key=lambda branch: mean[branch])
        lines.append(f"adapting gains {mean['adaptive'] - mean[best]:.2f} dB over the best fixed choice ({best})")
    return lines


if __name__ == "__main__":
    run_as_command(flowgraph, report=gain)
