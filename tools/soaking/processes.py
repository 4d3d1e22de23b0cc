"""What a process and all that it has started hold of the system, read from ``/proc`` (Linux)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Sample:
    """What a tree of processes holds at a moment.

    Attributes
    ----------
    at_s
        Seconds since the start.
    rss_mib, pss_mib
        Resident memory of all processes; pages that several share count in each, or by their share.
    owner_mib
        Proportional set size of the first process alone.
    processes, threads, descriptors
        How many.
    segments, segments_mib
        Shared memory: anonymous (memfd) and in ``/dev/shm``, and what it takes.
    entries
        Files and folders in the temporary folder that the processes were given.
    records
        That the run has made so far.
    """

    at_s: float
    rss_mib: float
    pss_mib: float
    owner_mib: float
    processes: int
    threads: int
    descriptors: int
    segments: int
    segments_mib: float
    entries: int
    records: int


def sample(owner: int, temporary: Path, at_s: float, records: int = 0) -> Sample:
    """Look at the process `owner` and all below it."""
    pids = family(owner)
    memory = {pid: _memory(pid) for pid in pids}
    segments: dict[int, int] = {}
    descriptors = threads = 0
    for pid in pids:
        for link in _listed(f"/proc/{pid}/fd"):
            descriptors += 1
            _note_segment(link, segments)
        threads += len(_listed(f"/proc/{pid}/task"))
    return Sample(
        at_s,
        sum(rss for rss, _ in memory.values()) / MIB,
        sum(pss for _, pss in memory.values()) / MIB,
        memory.get(owner, (0, 0))[1] / MIB,
        len(pids),
        threads,
        descriptors,
        len(segments),
        sum(segments.values()) / MIB,
        entries(temporary),
        records,
    )


def family(owner: int) -> list[int]:
    """A process and all that it has started, however far down."""
    parents: dict[int, int] = {}
    for name in _names("/proc"):
        if name.isdigit():
            try:
                stat = Path("/proc", name, "stat").read_text()
            except OSError:
                continue
            parents[int(name)] = int(stat.rpartition(")")[2].split()[1])
    found = [owner]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def descriptors_of(pid: int) -> int:
    """Open descriptors of one process."""
    return len(_listed(f"/proc/{pid}/fd"))


def threads_of(pid: int) -> int:
    """Threads of one process, those of libraries too."""
    return len(_names(f"/proc/{pid}/task"))


def resident_mib(pid: int) -> float:
    """Proportional set size of one process."""
    return _memory(pid)[1] / MIB


def entries(folder: Path) -> int:
    """Files and folders in a folder, however deep."""
    return sum(1 for _ in folder.rglob("*"))


def shared_names() -> set[str]:
    """What semstream has in ``/dev/shm``, which other programs use too."""
    return {name for name in _names("/dev/shm") if "semstream" in name}


def _memory(pid: int) -> tuple[int, int]:
    """RSS and PSS in bytes; 0 of a process that is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0, 0
    sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines[1:] if line.endswith("kB")}
    return sizes.get("Rss", 0), sizes.get("Pss", 0)


def _note_segment(link: str, segments: dict[int, int]) -> None:
    try:
        target = os.readlink(link)
        if target.startswith(("/memfd:", "/dev/shm/")):
            stat = os.stat(link)
            segments[stat.st_ino] = stat.st_blocks * 512
    except OSError:
        pass


def _listed(folder: str) -> list[str]:
    return [f"{folder}/{name}" for name in _names(folder)]


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
