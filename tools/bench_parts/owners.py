"""A program that runs a flowgraph with a state folder, killed and started again until the run has ended."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

LOOK_S = 0.001
EARLY = 0.2
"""Share of the kills that come at any moment of a start, whatever has been done."""
START_S = 1.0


class Deaths(NamedTuple):
    """What was done to a program.

    Attributes
    ----------
    kills
        How often it was killed.
    seconds
        From the first start to the end of the last.
    again_s
        What the last start took, to the end of the run.
    """

    kills: int
    seconds: float
    again_s: float


def killed_again_and_again(
    command: Sequence[str],
    state: Path,
    kills: int,
    total: int,
    seed: int,
    environment: Mapping[str, str] | None = None,
    timeout: float = 600.0,
) -> Deaths:
    """Start a program, kill it with SIGKILL at a random moment, and so on; the last start is left to its end.

    Parameters
    ----------
    command
        Starts it.
    state
        Its state folder, by whose journal its progress is seen.
    total
        Bytes that the journal will have, about.

    Raises
    ------
    RuntimeError
        If it has ended with an error, or before all kills were done.
    subprocess.TimeoutExpired
        If it has not ended, or not come to the next kill, after `timeout` seconds.
    """
    generator = random.Random(seed)
    early = [generator.random() < EARLY for _ in range(kills)]
    places = iter(sorted(generator.uniform(0.0, 0.9 * total) for _ in range(kills - sum(early))))
    begin = time.monotonic()
    for is_early in early:
        process = subprocess.Popen(command, env=environment)
        started = time.monotonic()
        until = started + (generator.uniform(0.0, START_S) if is_early else timeout)
        place = total if is_early else next(places)
        while process.poll() is None and journal_bytes(state) < place and time.monotonic() < until:
            time.sleep(LOOK_S)
        if process.poll() is not None:
            raise RuntimeError(f"the program ended with status {process.returncode}, killed less often than asked")
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        if not is_early and time.monotonic() >= until:
            raise subprocess.TimeoutExpired(list(command), timeout)
    last = time.monotonic()
    process = subprocess.Popen(command, env=environment)
    try:
        status = process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
    if status:
        raise RuntimeError(f"the program ended with status {status}")
    return Deaths(kills, time.monotonic() - begin, time.monotonic() - last)


def journal_bytes(state: Path) -> int:
    """Bytes that the journal of a run has now."""
    size = 0
    for path in (state / "run").glob("journal.*"):
        try:
            size += path.stat().st_size
        except FileNotFoundError:  # it is just made, or removed
            continue
    return size
