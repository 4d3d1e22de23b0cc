"""One hop: latency of a lone frame and throughput of a flood, over inproc, ipc and tcp, against pyzmq and ezmsg.

Ours hands objects over between threads (inproc); between processes (ipc) arrays of 64 kB and more are in shared memory.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from tools.bench_parts.facts import version
from tools.bench_parts.report import Column, Goal, Result, Table, ratio
from tools.bench_parts.traffic import Phase
from tools.bench_parts.workers import WorkerError, call, call_pair, free_port

SIZES = (1_000, 16_384, 262_144, 4_194_304)
TRANSPORTS = ("inproc", "ipc", "tcp")
LATENCY_CREDIT, FLOOD_CREDIT = 2, 8
SYSTEMS = ("ours", "pyzmq", "ezmsg")

Tally = dict[str, dict[str, float]]


def measure(quick: bool) -> Result:
    """Measure every size, transport and system; systems take turns, and medians over the repeats count."""
    repeats = 1 if quick else 3
    pings = [Phase(size, 30, 0.003, 0) if quick else Phase(size, 200, 0.004, 0) for size in SIZES]
    floods = [Phase(size, 0, 0, 0.1 if quick else 0.6) for size in SIZES]
    found: dict[tuple[str, str, int], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    failures: list[str] = []
    for transport in TRANSPORTS:
        for _ in range(repeats):
            for system in SYSTEMS if version("ezmsg") else SYSTEMS[:2]:
                try:
                    tally = _RUNS[system](transport, pings, floods)
                except WorkerError as error:
                    failures.append(f"{system} over {transport}: {error}")
                    continue
                for i, size in enumerate(SIZES):
                    cell = found[transport, system, size]
                    cell["p50_us"].append(tally[str(i)]["p50_us"])
                    cell["p99_us"].append(tally[str(i)]["p99_us"])
                    cell["per_s"].append(tally[str(i + len(SIZES))]["per_s"])
    rows = [_row(found, transport, size) for transport in TRANSPORTS for size in SIZES]
    notes = failures + ([] if version("ezmsg") else ["ezmsg: not installed; pip install 'semstream[bench]'"])
    return Result(rows, _tables(rows, notes, repeats), _goals(rows))


def _ours(transport: str, pings: list[Phase], floods: list[Phase]) -> Tally:
    """Latency with credit 2, throughput with credit 8: two runs, their phases put together."""
    runs = [{"schedule": pings, "credit": LATENCY_CREDIT}, {"schedule": floods, "credit": FLOOD_CREDIT}]
    if transport == "tcp":
        runs = [run | {"port": free_port()} for run in runs]
        latency, rate = call_pair("edge_ours:run_senders", "edge_ours:run_receivers", runs=runs)
    else:
        engine = "threads" if transport == "inproc" else "processes"
        latency, rate = call("edge_ours:run_chains", runs=runs, engine=engine)
    together: Tally = latency | {str(int(phase) + len(pings)): values for phase, values in rate.items()}
    return together


def _pyzmq(transport: str, pings: list[Phase], floods: list[Phase]) -> Tally:
    schedule = [*pings, *floods]
    tally: Tally
    if transport == "inproc":
        tally = call("edge_zmq:run_threads", schedule=schedule, endpoint="inproc://hop")
        return tally
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        endpoint = f"ipc://{Path(folder) / 'hop'}" if transport == "ipc" else f"tcp://127.0.0.1:{free_port()}"
        tally = call_pair("edge_zmq:run_sender", "edge_zmq:run_receiver", schedule=schedule, endpoint=endpoint)
    return tally


def _ezmsg(transport: str, pings: list[Phase], floods: list[Phase]) -> Tally:
    tally: Tally = call("edge_ezmsg:run", schedule=[*pings, *floods], transport=transport)
    return tally


_RUNS: dict[str, Callable[[str, list[Phase], list[Phase]], Tally]] = {"ours": _ours, "pyzmq": _pyzmq, "ezmsg": _ezmsg}


def _row(found: dict[tuple[str, str, int], dict[str, list[float]]], transport: str, size: int) -> dict[str, Any]:
    row: dict[str, Any] = {"transport": transport, "bytes": size}
    for system in SYSTEMS:
        for what in ("p50_us", "p99_us", "per_s"):
            values = found[transport, system, size][what]
            row[f"{system}_{what}"] = median(values) if values else None
    for peer in SYSTEMS[1:]:
        row[f"latency_ratio_{peer}"] = ratio(row["ours_p50_us"], row[f"{peer}_p50_us"])
        row[f"rate_ratio_{peer}"] = ratio(row["ours_per_s"], row[f"{peer}_per_s"])
    return row


def _tables(rows: list[dict[str, Any]], notes: list[str], repeats: int) -> list[Table]:
    def table(title: str, whats: list[tuple[str, str]], ratio_name: str, note: str) -> Table:
        columns = [Column("transport"), Column("size", "kB", 0)]
        keys = []
        for system in SYSTEMS:
            for what, unit in whats:
                columns.append(Column(f"{system} {what.split('_')[0]}" if len(whats) > 1 else system, unit))
                keys.append(f"{system}_{what}")
        for peer in SYSTEMS[1:]:
            columns.append(Column(f"ours/{peer}", "", 2))
            keys.append(f"{ratio_name}_{peer}")
        cells = [[row["transport"], row["bytes"] / 1000, *(row[key] for key in keys)] for row in rows]
        return Table(title, columns, cells, [*notes, note])

    latency = table(
        "One hop: latency of a lone frame, one way",
        [("p50_us", "µs"), ("p99_us", "µs")],
        "latency_ratio",
        f"Medians over {repeats} runs. Ours with credit {LATENCY_CREDIT}, from the source's stamp to the "
        "sink's process(). Ratio of p50; below 1 ours is faster.",
    )
    rate = table(
        "One hop: throughput of a flood",
        [("per_s", "frames/s")],
        "rate_ratio",
        f"Ours with credit {FLOOD_CREDIT} (inproc: objects, ipc: shared memory from 64 kB on); "
        "pyzmq PUSH/PULL, copy=False, HWM 1000 (64 MiB at most); ezmsg "
        "with its 32 buffers (ipc: shared memory). Above 1 ours is faster.",
    )
    return [latency, rate]


def _goals(rows: list[dict[str, Any]]) -> list[Goal]:
    by_place = {(row["transport"], row["bytes"]): row for row in rows}
    row, inproc = by_place["ipc", 16_384], by_place["inproc", 16_384]
    rates = [by_place["inproc", size]["ours_per_s"] for size in SIZES]
    goals = [
        Goal("hop, 16 kB between two processes, p50 at credit 2", "µs", 200, row["ours_p50_us"]),
        Goal("hop, 16 kB between two processes, credit 8", "frames/s", 10_000, row["ours_per_s"], below=False),
        Goal("hop, 16 kB between two processes, latency ours/ezmsg", "", 1, row["latency_ratio_ezmsg"]),
        Goal("hop, 16 kB between two processes, rate ours/ezmsg", "", 1, row["rate_ratio_ezmsg"], below=False),
        Goal("hop, 16 kB between two processes, latency ours/pyzmq", "", 1.5, row["latency_ratio_pyzmq"]),
        Goal("hop, 16 kB between two threads, latency ours/pyzmq", "", 1.3, inproc["latency_ratio_pyzmq"]),
        Goal(
            "hop, between two threads at the slowest size, credit 8",
            "frames/s",
            25_000,
            min(rates) if None not in rates else None,
            below=False,
        ),
    ]
    for size in (262_144, 4_194_304):
        place = by_place["ipc", size]
        name = f"hop, {size / 1000:,.0f} kB between two processes, rate ours/ezmsg"
        goals.append(Goal(name, "", 1, place["rate_ratio_ezmsg"], below=False))
    return goals
