"""Loops in a flowgraph: refused, for with credit a loop would wait for itself."""

from __future__ import annotations

from collections.abc import Iterable

from semstream.runtime.errors import PortError


def check_no_loop(blocks: Iterable[str], edges: Iterable[tuple[str, str]]) -> None:
    """Check that no block feeds itself.

    Parameters
    ----------
    blocks
        Names of the blocks.
    edges
        (sender, receiver) of each edge.

    Raises
    ------
    PortError
        Naming the loop.
    """
    following: dict[str, list[str]] = {name: [] for name in blocks}
    for sender, receiver in edges:
        following[sender].append(receiver)
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            loop = " -> ".join((*path[path.index(name) :], name))
            raise PortError(f"the edges form a loop, {loop}; frames only go forwards: keep feedback in one block")
        if name not in done:
            for other in following[name]:
                visit(other, (*path, name))
            done.add(name)

    for name in following:
        visit(name, ())
