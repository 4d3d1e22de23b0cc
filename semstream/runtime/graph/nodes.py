"""What a node is told about itself: plain values, so that it can be built in a thread, a process or elsewhere."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from semstream.runtime.graph.endpoints import CurveKeys
from semstream.runtime.graph.guard import Guard


@dataclass(frozen=True)
class InputSpec:
    """One input port of a node and the senders that it listens to."""

    port: str
    edge: str
    endpoints: list[str]
    producers: list[str]
    credit: int
    remote: bool = False
    connect_timeout_s: float = 30.0
    curve: CurveKeys | None = None
    auto: bool = False
    reconnect_s: float = 0.0
    peer: str = ""
    durable: bool = False
    resume: str = ""

    @property
    def numbered(self) -> bool:
        """Whether its messages are numbered: to measure the way, and to go on after the connection was lost.

        Where blocks may be started again, edges know by themselves what has come (`semstream.runtime.durable`).
        """
        return self.remote and not self.resume and (self.auto or self.reconnect_s > 0)

    @property
    def returns(self) -> bool:
        """Whether a connection to another flowgraph that breaks is made again, where blocks may be started again."""
        return self.durable or bool(self.peer)

    @property
    def leaves_host(self) -> bool:
        """Whether its senders may be on other hosts, so that connections can break by themselves."""
        return self.remote or any(endpoint.startswith("tcp://") for endpoint in self.endpoints)


@dataclass(frozen=True)
class OutputSpec:
    """One edge that leaves a node and the receivers that share it."""

    port: str
    edge: str
    endpoint: str
    policy: str
    depth: int
    consumers: list[str]
    remote: bool = False
    curve: CurveKeys | None = None
    connect_timeout_s: float = 30.0
    reconnect_s: float = 0.0
    peer: str = ""
    durable: bool = False

    @property
    def returns(self) -> bool:
        """Whether a receiver in another flowgraph may go and come back, where blocks may be started again."""
        return self.durable or bool(self.peer)

    @property
    def leaves_host(self) -> bool:
        """Whether its receivers may be on other hosts."""
        return self.remote or self.endpoint.startswith("tcp://")

    @property
    def spans_hosts(self) -> bool:
        """Whether its receivers are of this run and may be on other hosts: the owner says when one has died."""
        return self.leaves_host and not self.remote

    @property
    def shares_memory(self) -> bool:
        """Whether the receivers are in other processes of this run."""
        return not self.remote and self.endpoint.startswith("ipc://")


@dataclass(frozen=True)
class NodeSpec:
    """A block (or one replica of it) as a node of a run."""

    node: str
    block: str
    graph: str
    reference: str
    settings: str
    seed: int
    control: str
    inputs: list[InputSpec]
    outputs: list[OutputSpec]
    guard: Guard | None = None

    def to_plain(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_plain(cls, value: dict[str, Any]) -> NodeSpec:
        """Inverse of `to_plain`."""

        def keys(item: dict[str, Any]) -> dict[str, Any]:
            curve = item["curve"]
            return {**item, "curve": CurveKeys(**{**curve, "clients": tuple(curve["clients"])}) if curve else None}

        return cls(
            **{
                **value,
                "inputs": [InputSpec(**keys(item)) for item in value["inputs"]],
                "outputs": [OutputSpec(**keys(item)) for item in value["outputs"]],
                "guard": Guard.from_plain(value["guard"]),
            }
        )
