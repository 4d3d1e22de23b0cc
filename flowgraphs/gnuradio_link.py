"""The picture stream through a real GNU Radio: its noise, frequency offset, fading and multipath, beside our own noise.

    python flowgraphs/gnuradio_link.py
    python flowgraphs/gnuradio_link.py --channels awgn --size 64 --fps 25 --frames 500 --snr 10
    python flowgraphs/gnuradio_link.py --channels awgn --snr 10 --send tcp://127.0.0.1:5555 --receive tcp://127.0.0.1:5556

Each branch starts a GNU Radio of its own (Debian: apt-get install gnuradio) and exchanges bursts of complex samples
with it over ZeroMQ; with --send and --receive, one that runs already, as semstream/radio/companion/channel.grc does.
"""

from __future__ import annotations

from collections import defaultdict
from statistics import fmean, median
from typing import Annotated, Any, Literal

import typer

from blocks import (
    ContributionClassifier,
    Dequantizer,
    FadingChannel,
    GnuRadioChannel,
    MetricSink,
    NonUniformQuantizer,
    PowerNormalizer,
    SnrSweep,
    SwinDecoder,
    SwinEncoder,
)
from semstream.runtime import Block, Flowgraph, Run
from semstream.script import Bits, Fps, Frames, Size, Snr, Source, names, numbers, run_as_command, swept_pictures

CHANNELS: dict[str, dict[str, Any]] = {
    "awgn": {},
    "cfo": {"frequency_offset": 0.01},
    "rician": {"channel": "rician"},
    "rayleigh": {"channel": "rayleigh"},
    "multipath": {"channel": "multipath"},
}
OURS = "semstream-awgn"


def flowgraph(
    source: Source = "",
    size: Size = 128,
    snr: Snr = "1,4,7,10,13",
    bits: Bits = 4.0,
    channels: Annotated[str, typer.Option(help=f"in GNU Radio, of {', '.join(CHANNELS)}")] = ",".join(CHANNELS),
    mode: Annotated[Literal["raw", "tagged", "pdu"], typer.Option(help="form of the messages")] = "tagged",
    frames: Frames = 50,
    fps: Fps = 0.0,
    send: Annotated[str, typer.Option(help="endpoint where a running GNU Radio takes samples")] = "",
    receive: Annotated[str, typer.Option(help="endpoint where it gives them")] = "",
    python: Annotated[str, typer.Option(help="Python that has GNU Radio; empty: /usr/bin/python3")] = "",
) -> Flowgraph:
    """Stream pictures through GNU Radio and report their quality against SNR."""
    snr_db = numbers(snr)
    hold = -(-frames // len(snr_db))
    graph = Flowgraph("gnuradio_link", policy="drop_oldest" if fps else "block", credit=1)

    sweep, transmitter = SnrSweep(snr_db=snr_db, hold=hold), PowerNormalizer()
    camera = swept_pictures(source, size, frames, hold, fps)
    graph.connect(camera, sweep, SwinEncoder(), ContributionClassifier(), NonUniformQuantizer(bits=bits), transmitter)

    airs: dict[str, Block] = {OURS: FadingChannel(name="air")}
    for channel in names(channels, CHANNELS):
        radio = {"send": send, "receive": receive, "python": python, "mode": mode} | CHANNELS[channel]
        airs[f"gnuradio-{channel}"] = GnuRadioChannel(name=f"gnuradio.{channel}", **radio)
    for branch, air in airs.items():
        sink = MetricSink(name=f"{branch}.metrics", branch=branch)
        graph.connect(transmitter, air, Dequantizer(), SwinDecoder(), sink.reconstruction)
        graph.connect(sweep, sink.reference, depth=16)
    return graph


def report(run: Run) -> list[str]:
    """What GNU Radio's noise costs against our own at the same SNR, how fast it went, and what went wrong."""
    quality: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    latency: dict[str, list[float]] = defaultdict(list)
    lines = []
    for name, records in run.records.items():
        for r in records:
            if name.endswith(".metrics"):
                quality[r["branch"]][r["snr_db"]].append(r["psnr_db"])
                latency[r["branch"]].append(r["latency_ms"])
            elif "faults" in r and (r["lost"] or r["missing_samples"] or r["faults"]):
                lines.append(f"{name}: {r}")
    for branch, by_snr in quality.items():
        apart = {snr: fmean(q) - fmean(quality[OURS][snr]) for snr, q in by_snr.items() if quality[OURS][snr]}
        told = ", ".join(f"{gain:+.2f} at {snr:g}" for snr, gain in apart.items())
        if branch != OURS:
            lines.append(f"{branch} against {OURS}: {told} dB; median latency {median(latency[branch]):.0f} ms")
    return lines


if __name__ == "__main__":
    run_as_command(flowgraph, report=report)
