"""Counters of a run as a dict, and as a table for people."""

from __future__ import annotations

from typing import Any

from semstream.runtime.counters import merged
from semstream.runtime.graph.graph import Graph


def counters(graph: Graph, states: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """``{"blocks": {name: counters}, "edges": {name: {"frames", "bytes", "drops"}}}``."""
    blocks = {name: merged(replicas) for name, replicas in states.items()}
    edges: dict[str, Any] = {}
    for edge in graph.edges:
        drops: dict[str, int] = {}
        if edge.sender is not None:
            sender = blocks[edge.sender.block.name]
            prefix = f"{edge.name}: "
            drops = {k.removeprefix(prefix): n for k, n in sender["drops"].items() if k.startswith(prefix)}
            frames = sender["frames_out"].get(edge.sender.name, 0) - sum(drops.values())
            size = sender["bytes_out"].get(edge.name, 0)
        else:
            assert edge.receiver is not None
            receiver = blocks[edge.receiver.block.name]
            frames = receiver["frames_in"].get(edge.receiver.name, 0)
            size = receiver["bytes_in"].get(edge.receiver.name, 0)
        if edge.receiver is not None:
            prefix = f"{edge.receiver.name}: "
            lost = blocks[edge.receiver.block.name]["drops"]
            drops |= {k.removeprefix(prefix): n for k, n in lost.items() if k.startswith(prefix)}
        edges[edge.name] = {"frames": frames, "bytes": size, "drops": drops, "policy": edge.policy}
    return {"blocks": blocks, "edges": edges}


def table(title: str, values: dict[str, Any]) -> str:
    """The counters as text: a line a block, then a line for each thing that was lost."""
    head = ("block", "in", "out", "work p50", "p99", "wait p50", "p99", "age p50", "p99 ms")
    rows = [head]
    notes = []
    for name, c in values["blocks"].items():
        rows.append(
            (
                name,
                str(sum(c["frames_in"].values())),
                str(sum(c["frames_out"].values())),
                *(_ms(c[what], p) for what in ("work", "wait", "age") for p in ("p50", "p99")),
            )
        )
        notes += [f"{name}: skipped {n} ({reason})" for reason, n in c["skips"].items()]
        notes += [f"{name}: started again, {n} times ({why})" for why, n in c["restarts"].items()]
        notes += [f"{name}: {n} bad messages ({reason})" for reason, n in c["bad"].items()]
        notes += [f"{name}: {n} large frames copied through a socket ({why})" for why, n in c["copies"].items()]
    for name, e in values["edges"].items():
        notes += [f"{name}: dropped {n} ({reason})" for reason, n in e["drops"].items()]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    return "\n".join([title, *lines, *notes])


def _ms(summary: dict[str, float], percentile: str) -> str:
    return f"{summary[percentile]:.2f}" if summary["count"] else "-"
