"""What a node is told so that it can be started again, and what its next life is told."""

from __future__ import annotations

from dataclasses import replace

from semstream.runtime.graph.guard import Guard
from semstream.runtime.graph.plan import Placed, Plan


def guarded(placed: Placed, plan: Plan, run: str, folder: str) -> Placed:
    """A node of a run in which blocks may be started again; as it is in any other run."""
    graph = plan.graph
    if not graph.guarded:
        return placed
    guard = Guard(run, folder, graph.ring, graph.durable == "disk", graph.restart_of(placed.spec.block))
    inputs = [replace(spec, resume=run) for spec in placed.spec.inputs]
    return replace(placed, spec=replace(placed.spec, inputs=inputs, guard=guard))


def renewed(placed: Placed, finished: tuple[str, ...], ended: dict[str, tuple[str, ...]]) -> Placed:
    """The next life of a node; its line to the owner is a new one, so that nothing of the last life is on it."""
    spec, guard = placed.spec, placed.spec.guard
    assert guard is not None
    life = guard.life + 1
    guard = replace(guard, life=life, finished=finished, ended=ended.get(spec.node, ()))
    control = f"{spec.control.partition('~')[0]}~{life}"
    return replace(placed, spec=replace(spec, control=control, guard=guard))
