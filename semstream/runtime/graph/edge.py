"""Edge: one connection of a graph."""

from __future__ import annotations

from dataclasses import dataclass

from semstream.runtime.block.block import BoundPort
from semstream.runtime.graph.endpoints import CurveKeys

POLICIES = ("block", "drop_oldest", "latest")


@dataclass(frozen=True)
class Edge:
    """One connection. A `sender` or `receiver` of None is in another flowgraph, at `endpoint`."""

    sender: BoundPort | None
    receiver: BoundPort | None
    policy: str = "block"
    credit: int = 2
    depth: int = 1
    endpoint: str = ""
    curve: CurveKeys | None = None
    connect_timeout_s: float = 30.0
    durable: bool = False

    @property
    def name(self) -> str:
        """``a.out -> b.image``."""
        ends = (f"{e.block.name}.{e.name}" if e else self.endpoint for e in (self.sender, self.receiver))
        return " -> ".join(ends)
