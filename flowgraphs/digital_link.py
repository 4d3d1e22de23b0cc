"""Graceful against cliff: the same pictures as amplitudes, as soft bits and as coded bits, over the same channel uses.

    python flowgraphs/digital_link.py
    python flowgraphs/digital_link.py --design-snr 10 --snr 4,6,8,9,10,11,13 --size 96 --channel rician
    python flowgraphs/digital_link.py --branches ldpc --fps 25 --frames 500 --snr 7    # in real time

`pam` makes each feature an amplitude. The others fill the same channel uses, header and all, with bits over QAM, in a
format made for one SNR and kept while the SNR steps: `uncoded` dequantizes softly what it hears, `power` and `unequal`
protect bits by what they matter (by power, by 5G LDPC), `ldpc` protects all alike. Needs the extra `radio`.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from blocks import (
    ContributionClassifier,
    Dequantizer,
    FadingChannel,
    MetricSink,
    NonUniformQuantizer,
    PowerNormalizer,
    QamDemodulator,
    QamModulator,
    SnrSweep,
    SwinDecoder,
    SwinEncoder,
)
from semstream.codec.qam_design import filling
from semstream.phy.capacity import bits_per_use
from semstream.runtime import Block, Flowgraph, Run
from semstream.runtime.files.overrides import assign
from semstream.script import Channel, Fps, Frames, Snr, Source, names, numbers, run_as_command, swept_pictures

BRANCHES = ("pam", "uncoded", "power", "unequal", "ldpc")
CREDIT = 4


def flowgraph(
    source: Source = "",
    size: Annotated[int, typer.Option(help="side of the pictures in pixels", min=32)] = 64,
    snr: Snr = "1,3,5,6,7,8,10,13",
    design_snr: Annotated[float, typer.Option(help="SNR that the formats of bits are made for, in dB")] = 7.0,
    branches: Annotated[str, typer.Option(help=f"of {', '.join(BRANCHES)}")] = ",".join(BRANCHES),
    channel: Channel = "awgn",
    frames: Frames = 80,
    fps: Fps = 0.0,
    weights: Annotated[str, typer.Option(help="weights of the codec, name or file")] = "",
) -> Flowgraph:
    """Stream pictures as amplitudes and as bits, and report their quality against SNR."""
    hold = -(-frames // len(numbers(snr)))
    # With credit for several frames some wait where it takes longest, and are decoded together.
    graph = Flowgraph("digital_link", policy="drop_oldest" if fps else "block", credit=CREDIT)

    sweep, features = SnrSweep(snr_db=numbers(snr), hold=hold), {}
    graph.connect(swept_pictures(source, size, frames, hold, fps), sweep)
    for branch in names(branches, BRANCHES):
        snr_of: Any = "given" if branch == "pam" else "fixed"  # bits that arrive are free of noise
        if snr_of not in features:
            features[snr_of] = ContributionClassifier()
            graph.connect(sweep, SwinEncoder(snr=snr_of, fixed_snr_db=20), features[snr_of])
        transmitter, demodulator = modulation(branch, (size, size), design_snr, weights)
        air = FadingChannel(channel=channel, noise_key="air")
        sink = MetricSink(name=f"{branch}.metrics", branch=branch)
        graph.connect(features[snr_of], *transmitter, air, demodulator, SwinDecoder(), sink.reconstruction)
        graph.connect(sweep, sink.reference, depth=16)
    assign(graph, "*", "weights", weights)
    return graph


def modulation(branch: str, size: tuple[int, int], design_snr_db: float, weights: str) -> tuple[list[Block], Block]:
    """Quantizer and modulator of a branch, and its demodulator."""
    if branch == "pam":
        return [NonUniformQuantizer(bits=8), PowerNormalizer()], Dequantizer()
    form, bits = filling(branch, design_snr_db, size, weights, spread_db=2.0)
    quantizer = NonUniformQuantizer(bits=bits, follow_snr=False)
    return [quantizer, QamModulator(**form.settings())], QamDemodulator(name=f"{branch}.demodulator")


def bits_and_losses(run: Run) -> list[str]:
    """What an ideal code would carry, what each demodulator was sent, and what it lost."""
    told = [(block, r) for block, records in run.records.items() for r in records]
    air = sorted({(r["snr_db"], r["channel"]) for _, r in told if "snr_db" in r})
    ideal = ", ".join(f"{bits_per_use(channel, snr):.2f} at {snr:g} dB" for snr, channel in air)
    lines = [f"capacity, bits a channel use: {ideal}"]
    for block, r in told:
        if "headers_lost" in r:
            rate = r["payload_bits"] / max(1, r["channel_uses"])
            lines.append(
                f"{block.partition('.')[0]}: {rate:.2f} bits a channel use, header counted; {r['headers_lost']} of "
                f"{r['frames']} headers lost and concealed, {r['words_failed']} of {r['words']} code words not decoded"
            )
    return lines


if __name__ == "__main__":
    run_as_command(flowgraph, report=bits_and_losses)
