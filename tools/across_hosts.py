"""The link over a network that is far, lossy, narrow or cut: three hosts of namespaces, each with a part of the link.

    python tools/across_hosts.py
    python tools/across_hosts.py --only cut,live --frames 500

Needs root and /dev/net/tun. Runs `flowgraphs/three_hosts.py` on tx, channel and rx, pictures of 64×64 pixels at 25
frames/s, edges under CURVE, and says what arrived, how fast and how old. Parts:

    near      no delay: what the machine itself can do
    far       50 ms between hosts, one way, and 1 % of packets lost: credit 2, 8 and auto
    cut       the cable of the receiver out for --cut seconds, lossless edges
    live      the same, edges that may drop
    narrow    3 Mbit/s, less than half of what the frames take: lossless, and edges that may drop
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:] = [str(ROOT), *(p for p in sys.path if p and Path(p).resolve() != Path(__file__).resolve().parent)]

import argparse
import json
import os
import subprocess
import tempfile
import time
from typing import Any

from semstream.runtime.files.keyfile import make_certificates
from tools.far_hosts.network import Network, why_not

PARTS = ("near", "far", "cut", "live", "narrow")
HOSTS = ("tx", "channel", "rx")
FPS = 25


def main() -> None:
    """Run what was asked for, and print a line for each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PARTS), metavar="PARTS", help="parts, separated by commas")
    parser.add_argument("--frames", type=int, default=250, help="frames of a run without a cut")
    parser.add_argument("--cut", type=float, default=10.0, help="seconds that the cable is out")
    options = parser.parse_args()
    parts = options.only.replace(",", " ").split()
    if not parts or set(parts) - set(PARTS) or options.frames < 50 or options.cut <= 0:
        parser.error(f"--only: expected some of {', '.join(PARTS)}; --frames from 50; --cut above 0")
    if reason := why_not():
        raise SystemExit(f"across_hosts.py: {reason}")
    far: dict[str, Any] = {"delay_s": 0.025, "loss": 0.005}
    narrow = {"rate": 3e6, "delay_s": 0.005}
    long = options.frames + int(FPS * options.cut)
    runs: list[tuple[str, str, dict[str, Any], list[str], int, float]] = [
        ("near", "near, credit auto", {}, [], options.frames, 0.0),
        *(
            ("far", f"50 ms, 1 % loss, credit {credit}", far, ["--credit", credit], options.frames, 0.0)
            for credit in ("2", "8", "auto")
        ),
        ("far", "50 ms, 1 % loss, live, credit auto", far, ["--live"], options.frames, 0.0),
        ("cut", f"cut of {options.cut:g} s, lossless", {"delay_s": 0.005}, [], long, options.cut),
        ("live", f"cut of {options.cut:g} s, live", {"delay_s": 0.005}, ["--live"], long, options.cut),
        ("live", "cut of 2 s, live", {"delay_s": 0.005}, ["--live"], long, 2.0),
        ("narrow", "3 Mbit/s, lossless", narrow, [], options.frames, 0.0),
        ("narrow", "3 Mbit/s, live", narrow, ["--live"], options.frames, 0.0),
    ]
    for part, title, network, arguments, frames, cut in runs:
        if part in parts:
            print(f"{title:36} {run(network, arguments, frames, cut)}", flush=True)


def run(cables: dict[str, Any], arguments: list[str], frames: int, cut: float) -> str:
    """One run of the link; what came of it, in words."""
    with tempfile.TemporaryDirectory() as folder, Network(HOSTS, **cables) as network:
        make_certificates(Path(folder) / "keys", HOSTS)
        command = [sys.executable, str(ROOT / "flowgraphs" / "three_hosts.py"), "--keys", f"{folder}/keys"]
        command += ["--fps", str(FPS), "--frames", str(frames), "--lpips", "off", *arguments]
        command += [word for host in HOSTS for word in (f"--{host}", network.address[host])]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        ends = {}
        for host in reversed(HOSTS):
            log = open(f"{folder}/{host}.log", "w")  # noqa: SIM115 - closed with the process
            ends[host] = network.start(
                host, *command, "--only", host, "--out", f"{folder}/{host}", stdout=log, stderr=log, env=environment
            )
        mended_ns = 0
        if cut:
            _wait_for_pictures(network, ends["rx"])
            network.cut("rx")
            time.sleep(cut)
            network.mend("rx")
            mended_ns = time.time_ns()
        codes = {host: end.wait(120 + frames) for host, end in ends.items()}
        if any(codes.values()):
            texts = "\n".join(f"-- {host} --\n{Path(folder, f'{host}.log').read_text()[-2000:]}" for host in HOSTS)
            raise SystemExit(f"a host failed: {codes}\n{texts}")
        lines = (Path(folder) / "rx" / "records.jsonl").read_text(encoding="utf-8").splitlines()
        records = sorted((json.loads(line) for line in lines), key=lambda record: record["seq"])
        return _words(records, frames, mended_ns)


def _wait_for_pictures(network: Network, end: subprocess.Popen[str]) -> None:
    """Until the network has carried some seconds of pictures."""
    while end.poll() is None and network.carried < 5000:
        time.sleep(0.1)


def _words(records: list[dict[str, Any]], frames: int, mended_ns: int) -> str:
    seqs = [record["seq"] for record in records]
    assert seqs == sorted(set(seqs)), "a frame came twice"
    shown = records[len(records) // 5 :]  # without the start, where weights are loaded
    done = [record["completed_ns"] for record in shown]
    ages = sorted(record["latency_ms"] for record in shown)
    text = f"{len(records)} of {frames} frames, latency p50 {ages[len(ages) // 2]:.0f} ms"
    if not mended_ns:
        text += (
            f" p99 {ages[len(ages) * 99 // 100]:.0f} ms, {(len(done) - 1) * 1e9 / (done[-1] - done[0]):.1f} frames/s"
        )
        return text
    after = [record for record in records if record["completed_ns"] > mended_ns]
    if not after:
        raise SystemExit("the stream was over before the cable was mended; give more --frames")
    first = (after[0]["completed_ns"] - mended_ns) / 1e9
    return (
        text
        + f"; {first:.1f} s after it was mended they go on, the oldest {max(r['latency_ms'] for r in after):.0f} ms old"
    )


if __name__ == "__main__":
    main()
