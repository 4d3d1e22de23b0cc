"""Engines: where the nodes of a run live. One interface, one node loop, one wire form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .errors import FlowgraphError
from .sockets import Socket

if TYPE_CHECKING:
    from .graph import Flowgraph

ENGINES = ("threads", "processes")


class Engine(Protocol):
    """What the conductor needs of an engine. Every method is called from the conductor's thread."""

    name: str
    lines: dict[str, Socket]
    """The owner's end of each node's control line."""

    def launch(self) -> None:
        """Open the control lines and start every node."""

    def newly_dead(self) -> list[tuple[str, str]]:
        """(node, why) for nodes that have died without a word since the last call."""

    def abandon(self, node: str) -> None:
        """Give up on a node that does not end."""

    def close(self) -> None:
        """Free what the engine holds; every node has ended or was abandoned."""


def make_engine(name: str, fg: Flowgraph) -> Engine:
    """Engine by name.

    Raises
    ------
    FlowgraphError
        If there is no engine of that name.
    """
    if name == "threads":
        from .engine_threads import ThreadEngine

        return ThreadEngine(fg)
    if name == "processes":
        from .engine_processes import ProcessEngine

        return ProcessEngine(fg)
    raise FlowgraphError(f"expected an engine of {', '.join(ENGINES)}, got {name!r}")
