"""What a node is told so that it can be started again, and what its next life is told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from semstream.runtime.graph.guard import Guard
from semstream.runtime.graph.plan import Placed, Plan


def guarded(nodes: Iterable[Placed], plan: Plan, run: str, folder: str) -> list[Placed]:
    """The nodes of a run in which blocks may be started again, less those that have ended; as they are in any other.

    Parameters
    ----------
    run, folder
        Name of the run and where its snapshots are, unless it stands somewhere already.
    """
    graph, standing = plan.graph, plan.standing
    if not graph.guarded:
        return list(nodes)
    if standing is not None:
        run, folder = standing.run, standing.folder
    made = []
    for placed in nodes:
        spec = placed.spec
        guard = Guard(run, folder, graph.ring, graph.durable == "disk", graph.restart_of(spec.block))
        if standing is not None:
            if spec.node in standing.finished:
                continue
            guard = replace(
                guard, life=standing.lives.get(spec.node, 0), finished=standing.finished,
                ended=standing.ended.get(spec.node, ()), outlives=True,
            )  # fmt: skip
        inputs = [replace(entry, resume=run) for entry in spec.inputs]
        made.append(replace(placed, spec=replace(spec, inputs=inputs, guard=guard)))
    return made


def renewed(placed: Placed, finished: tuple[str, ...], ended: dict[str, tuple[str, ...]]) -> Placed:
    """The next life of a node; its line to the owner is a new one, so that nothing of the last life is on it."""
    spec, guard = placed.spec, placed.spec.guard
    assert guard is not None
    life = guard.life + 1
    guard = replace(guard, life=life, finished=finished, ended=ended.get(spec.node, ()))
    control = f"{spec.control.partition('~')[0]}~{life}"
    return replace(placed, spec=replace(spec, control=control, guard=guard))
