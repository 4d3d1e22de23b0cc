"""Engine: what the conductor needs of where the nodes of a run live."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from semstream.runtime.edges.sockets import Socket


@dataclass(frozen=True)
class Restart:
    """A node that has died and lives again, from the start of its block.

    Attributes
    ----------
    node, why
        Which, and how it has died.
    moved
        New endpoints of the edges that leave it, by their old ones.
    """

    node: str
    why: str
    moved: dict[str, str] = field(default_factory=dict)


class Engine(Protocol):
    """What the conductor needs of an engine. Every method is called from the conductor's thread."""

    name: str
    lines: dict[str, Socket]
    """The owner's end of each node's control line."""

    def launch(self) -> None:
        """Open the control lines and start every node."""

    def newly_dead(self) -> list[tuple[str, str]]:
        """(node, why) for nodes that have died without a word since the last call."""

    def newly_restarted(self) -> list[Restart]:
        """Nodes that have been started again since the last call."""

    def abandon(self, node: str) -> None:
        """Give up on a node that does not end."""

    def close(self) -> None:
        """Free what the engine holds; every node has ended or was abandoned."""


@runtime_checkable
class RenewingEngine(Engine, Protocol):
    """An engine that starts dead nodes again."""

    def left(self) -> list[threading.Thread]:
        """Threads of nodes that still run though the engine is closed."""

    def together(self, node: str) -> list[str]:
        """The nodes that die with this one, itself among them."""

    def renew(self, nodes: list[str], finished: tuple[str, ...], ended: dict[str, tuple[str, ...]]) -> None:
        """Start dead nodes again, with new control lines.

        Parameters
        ----------
        nodes
            What `together` gave, less what has ended in order.
        finished, ended
            Nodes that have ended in order, and by node the ports whose stream from another flowgraph has.
        """
