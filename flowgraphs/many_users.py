"""Several users on one band: channel uses, energy and bits divided fairly or for the sum, against equal division.

    python flowgraphs/many_users.py --users 8
    python flowgraphs/many_users.py --away 2:6-12,4:0-10 --bandwidth 0.125,0.05
    python flowgraphs/many_users.py --rules max_min --step 1 --measure 12 --frames 5000 --monitor 5006 --control

Each user has other pictures and another SNR. All rules divide the same channel uses and the same energy of the same
frames over the same channels. Prints what each rule gains over equal division: in the mean of all users, and for the
one who has it worst in each frame. Users come and go by --away, and by hand: the live setting `present` of user_1 ….
"""

from __future__ import annotations

from typing import Annotated

import typer

import blocks as b
from semstream.runtime import Flowgraph
from semstream.script import Channel, Frames, Size, Snr, Source, names, numbers, run_as_command
from semstream.script.shared_band import absences, gains
from semstream.sharing import RULES

PATCH, C = 4, 32
APART = 24
"""Pictures from one user's first to the next one's: the default source then shows another photograph."""


def flowgraph(
    users: Annotated[int, typer.Option(help="transmitters that share the band", min=1, max=16)] = 4,
    rules: Annotated[
        str, typer.Option(help="divisions of the band, side by side")
    ] = "equal,max_min,proportional,max_sum",
    snr: Snr = "1,7,13,19",
    bandwidth: Annotated[str, typer.Option(help="CBR of the band, a user, in turn")] = "0.125",
    bits: Annotated[float, typer.Option(help="payload bits a channel use of the band; 0: no limit", min=0)] = 8.0,
    away: Annotated[str, typer.Option(help="who is away when, e.g. 2:30-60,4:0-50 (USER:FRAME-FRAME)")] = "",
    dwell: Annotated[int, typer.Option(help="frames at each bandwidth", min=1)] = 10,
    step: Annotated[int, typer.Option(help="pictures from one frame to the next; 1: as a video", min=1)] = 12,
    measure: Annotated[int, typer.Option(help="frames from one measurement of a user's to the next; 0: none")] = 1,
    source: Source = "",
    size: Size = 96,
    channel: Channel = "awgn",
    frames: Frames = 24,
) -> Flowgraph:
    """Stream the pictures of several users over one band."""
    graph = Flowgraph("many_users", credit=1)
    price = (size // PATCH) ** 2 // 2
    uses = [max(1, round(ratio * 3 * size**2 / price)) * price * users for ratio in numbers(bandwidth)]
    divisions = {
        rule: b.BandScheduler(name=rule, rule=rule, uses=uses, hold=dwell, bits=bits) for rule in names(rules, RULES)
    }
    snrs, toggles = numbers(snr), absences(away, users)
    for u in range(1, users + 1):
        camera = b.ImageSource(
            source=source, size=size, frames=frames, first=APART * (u - 1), every=step, loop=bool(source)
        )
        sweep, classify = b.SnrSweep(snr_db=[snrs[(u - 1) % len(snrs)]]), b.ContributionClassifier()
        report = b.BandReport(name=f"user_{u}", toggles=toggles[u], measure=measure)
        graph.connect(camera, sweep, b.SwinEncoder(), classify, report.classified)
        graph.connect(sweep, report.image, depth=16)
        for rule, scheduler in divisions.items():
            grant = b.BandGrant(user=u)
            graph.connect(report, scheduler.port(f"user_{u}"))
            graph.connect(scheduler, grant.grants)
            graph.connect(classify, grant.classified)
            air = b.FadingChannel(channel=channel, noise_key=f"air of user {u}")
            branch = f"user {u} {rule}"
            sink = b.MetricSink(name=f"{branch.replace(' ', '-')}.metrics", branch=branch, lpips="off", ms_ssim=False)
            chain = [grant, b.NonUniformQuantizer(), b.PowerNormalizer(), air, b.Dequantizer(), b.SwinDecoder()]
            graph.connect(*chain, sink.reconstruction)
            graph.connect(sweep, sink.reference, depth=16)
    return graph


if __name__ == "__main__":
    run_as_command(flowgraph, report=gains)
