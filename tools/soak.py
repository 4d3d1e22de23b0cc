"""Run the link for an hour, and start and stop flowgraphs a thousand times; whether anything grows or is left behind.

    python tools/soak.py --minutes 60                       # the link at full rate, memory and the rest over time
    python tools/soak.py --cycles 1000                      # start-stop cycles of a small flowgraph, threads
    python tools/soak.py --cycles 50 --engine processes

Leaves soak.json and, of the link, soak.png in --out. Exit code 0 if everything is flat and nothing is left; 1 if not,
or if the run was too short to say. What is on the machine beside it makes it slower, not wrong.
"""

from __future__ import annotations

import sys
from pathlib import Path

# This folder has a profile.py, the name of a standard module, which PyTorch imports.
ROOT = Path(__file__).resolve().parents[1]
sys.path[:] = [str(ROOT), *(p for p in sys.path if p and Path(p).resolve() != Path(__file__).resolve().parent)]

import argparse
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import asdict
from typing import Any

from semstream.progress import Progress
from tools.soaking.processes import Sample, sample
from tools.soaking.trend import Verdict, judge, judge_count

COUNTS = ("processes", "threads", "descriptors", "segments", "entries")
GROWTH = 0.01
"""Most growth of memory that counts as flat: this part of it an hour."""
CYCLE_S = 2.0


def arguments() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--minutes", type=float, default=0.0, help="how long the link runs")
    what.add_argument("--cycles", type=int, default=0, help="how often a small flowgraph is started and stopped")
    parser.add_argument("--engine", choices=("threads", "processes"), default="threads")
    parser.add_argument("--size", type=int, default=96, help="side of the link's pictures in pixels")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two samples")
    parser.add_argument("--settle", type=float, default=0.3, help="first part of the time that is not judged")
    parser.add_argument("--out", type=Path, default=Path("out/soak"), help="folder for soak.json and soak.png")
    options = parser.parse_args()
    if options.minutes < 0 or options.cycles < 0 or not options.minutes + options.cycles:
        parser.error("--minutes or --cycles: expected a number above 0")
    if not 0 <= options.settle < 1 or options.every <= 0:
        parser.error("--settle: expected 0 to 1; --every: expected seconds above 0")
    return options


class Worker:
    """A worker of `tools.soaking` with a temporary folder of its own, and the lines of JSON that it writes."""

    def __init__(self, module: str, folder: Path, *values: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", f"tools.soaking.{module}", *values]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.lines: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def end(self, timeout_s: float = 30.0) -> int:
        """Close its input, wait for it and return its status."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self._reader.join(5)
        return status


def soak_link(options: argparse.Namespace) -> tuple[dict[str, Any], list[str], bool]:
    """Run the link, look at it now and then, judge."""
    samples: list[Sample] = []
    seconds = options.minutes * 60
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, Progress("seconds", round(seconds)) as progress:
        worker = Worker("link", Path(folder), options.engine, str(options.size))
        try:
            begin = time.monotonic()
            pause = threading.Event()
            while (at := time.monotonic() - begin) < seconds and worker.process.poll() is None:
                records = worker.lines[-1]["records"] if worker.lines else 0
                samples.append(sample(worker.process.pid, Path(folder), at, records))
                latest = samples[-1]
                progress.advance(
                    round(at) - progress.done,
                    f"{records} records, PSS {latest.pss_mib:.0f} MiB, {latest.descriptors} descriptors",
                )
                pause.wait(max(0.0, options.every - (time.monotonic() - begin - at)))
        finally:
            status = worker.end(120.0)
        left = sorted(path.name for path in Path(folder).rglob("*") if "torch" not in path.name)  # its cache
    last = worker.lines[-1] if worker.lines else {}
    failed = bool(status) or "seconds" not in last
    if failed:
        why = last.get("failure") or f"its process ended with status {status}"
        lines = [f"the link has failed: {why}"]
        samples = while_it_ran(samples)
        if len(samples) < 9:
            return {"samples": [asdict(s) for s in samples]}, lines, False
        last = {"seconds": samples[-1].at_s, "records": samples[-1].records, "drops": 0, "bad": 0}
    else:
        lines = []
    settled = options.settle * samples[-1].at_s
    verdicts = judged([s for s in samples if s.at_s >= settled])
    rate = last["records"] / last["seconds"]
    lines += [
        f"{last['seconds']:.0f} s, {last['records']} records ({rate:.2f}/s), "
        f"{len(samples)} samples, the first {settled:.0f} s not judged",
        *(verdict.text for verdict in verdicts),
        f"left behind at the end: {', '.join(left) or 'nothing'}",
    ]
    if last["drops"] or last["bad"]:
        lines.append(f"lost on edges of policy block: {last['drops']}; bad messages: {last['bad']}")
    from tools.soaking.figure import draw

    title = f"awgn_link, engine {options.engine}, {options.size}×{options.size} pixels, {rate:.1f} records/s"
    draw(samples, settled, verdicts, options.out / "soak.png", title)
    report = {
        "engine": options.engine,
        "seconds": last["seconds"],
        "records": last["records"],
        "verdicts": [asdict(v) for v in verdicts],
        "left": left,
        "samples": [asdict(s) for s in samples],
    }
    good = all(v.word == "flat" for v in verdicts) and not (failed or left or last["drops"] or last["bad"])
    return report, lines, good


def while_it_ran(samples: list[Sample]) -> list[Sample]:
    """Samples up to the moment when the first process was gone: what comes after a failure says nothing."""
    most = max((s.processes for s in samples), default=0)
    while samples and samples[-1].processes < most:
        samples = samples[:-1]
    return samples


def judged(samples: list[Sample]) -> list[Verdict]:
    """A verdict on everything that a sample has."""
    at = [s.at_s for s in samples]
    verdicts = []
    for name in ("pss_mib", "owner_mib", "segments_mib"):
        values = [getattr(s, name) for s in samples]
        verdicts.append(judge(name, "MiB", at, values, max(1.0, GROWTH * sum(values) / len(values))))
    return verdicts + [judge_count(name, at, [float(getattr(s, name)) for s in samples]) for name in COUNTS]


def soak_cycles(options: argparse.Namespace) -> tuple[dict[str, Any], list[str], bool]:
    """Start and stop, and look at what is left."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, Progress("cycles", options.cycles) as progress:
        worker = Worker("cycles", Path(folder), options.engine, str(options.cycles))
        pause = threading.Event()
        try:
            while worker.process.poll() is None:
                pause.wait(0.2)
                if worker.lines:
                    slowest = max(told["seconds"] for told in list(worker.lines))
                    progress.advance(len(worker.lines) - progress.done, f"slowest {slowest:.2f} s")
        finally:
            status = worker.end(1.0)  # it has ended, or is not wanted any more
    told = worker.lines
    if status or len(told) < options.cycles:
        return {"cycles": told}, [f"the process ended with status {status} in cycle {len(told)}"], False
    seconds = sorted(t["seconds"] for t in told)
    slow = [t["cycle"] for t in told if t["seconds"] > CYCLE_S]
    failed = [t["cycle"] for t in told if not (t["finished"] and t["records"])]
    grown = {t["cycle"]: t["left"] for t in told if t["left"]}
    memory = [(t["cycle"], t["memory_mib"]) for t in told if t["memory_mib"] is not None]
    lines = [
        f"{len(told)} cycles, engine {options.engine}: median {seconds[len(seconds) // 2]:.3f} s, "
        f"slowest {seconds[-1]:.3f} s; over {CYCLE_S:g} s: {slow or 'none'}",
        f"slowest start {max(t['start_s'] for t in told):.3f} s, slowest end {max(t['end_s'] for t in told):.3f} s",
        f"failed: {failed or 'none'}",
        f"left behind: {grown or 'nothing'}",
        f"memory (PSS): {memory[0][1]:.1f} MiB after the first cycle, {memory[-1][1]:.1f} MiB after cycle "
        f"{memory[-1][0]}, {(memory[-1][1] - memory[len(memory) // 2][1]):+.2f} MiB over the second half",
    ]
    report = {"engine": options.engine, "slow": slow, "failed": failed, "left": grown, "cycles": told}
    return report, lines, not (slow or failed or grown)


def main() -> int:
    """Run, print and write what came out."""
    options = arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    report, lines, good = soak_link(options) if options.minutes else soak_cycles(options)
    report |= {"lines": lines, "passed": good}
    (options.out / "soak.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print("\n".join(lines))
    print(f"{'passed' if good else 'NOT passed'}; see {options.out}/")
    return 0 if good else 1


def stop(number: int, _: object) -> None:
    """End on a signal in order, so that worker and folder go as well."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    for _number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(_number, stop)
    raise SystemExit(main())
