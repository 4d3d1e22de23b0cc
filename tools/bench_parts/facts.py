"""What the numbers of a bench depend on: machine, versions, and how busy the machine is."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from pathlib import Path
from typing import Any

PACKAGES = ("semstream", "numpy", "pyzmq", "msgpack", "pydantic", "torch", "ezmsg")
BUSY_SHARE = 0.15


def machine() -> dict[str, Any]:
    """Cores, processor, memory, operating system, Python and package versions, load and busy share of the cores."""
    return {
        "cores": cores(),
        "processor": _line("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "memory_gib": _memory_gib(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "load_average_1min": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "busy_share": busy_share(),
    }


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def version(package: str) -> str | None:
    """Installed version, None if the package is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def busy_share(seconds: float = 0.5) -> float | None:
    """Share of all cores that is in use while this process does nothing, 0 to 1; None where it cannot be known."""
    first = _ticks()
    if first is None:
        return None
    time.sleep(seconds)
    second = _ticks()
    assert second is not None
    total = second[1] - first[1]
    return round(1 - (second[0] - first[0]) / total, 3) if total else None


def lines(facts: dict[str, Any]) -> list[str]:
    """The facts for people, with a warning if the machine is busy."""
    versions = ", ".join(f"{name} {v or 'not installed'}" for name, v in facts["versions"].items())
    load, busy = facts["load_average_1min"], facts["busy_share"]
    text = [
        f"{facts['cores']} cores, {facts['processor']}, {facts['memory_gib']} GiB, {facts['system']}, "
        f"Python {facts['python']}",
        versions,
        f"at the start: load average {_number(load)} (1 min), {_number(busy and 100 * busy)} % of the cores in use",
    ]
    if (busy or 0.0) > BUSY_SHARE or (busy is None and (load or 0.0) > 0.3 * facts["cores"]):
        text.append("WARNING: the machine is busy with something else; measure again when it is idle")
    return text


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def _ticks() -> tuple[int, int] | None:
    """(idle, total) clock ticks of all cores since boot; time that a hypervisor took counts as in use."""
    line = _line("/proc/stat", "cpu ")
    if line is None:
        return None
    ticks = [int(field) for field in line.split()[:8]]
    return ticks[3] + ticks[4], sum(ticks)


def _line(path: str, start: str) -> str | None:
    try:
        found = next(line for line in Path(path).read_text().splitlines() if line.startswith(start))
    except (OSError, StopIteration):
        return None
    return found.removeprefix(start).strip(" \t:")


def _memory_gib() -> float | None:
    line = _line("/proc/meminfo", "MemTotal")
    return round(int(line.split()[0]) / 2**20, 1) if line else None
