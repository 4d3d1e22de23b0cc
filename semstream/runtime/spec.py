"""What a node is told about itself: plain values, so that it can be built in a thread, a process or elsewhere."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import zmq

from .errors import FlowgraphError

POLICIES = ("block", "drop_oldest", "latest")
HEARTBEAT_MS = 1000
DEAD_MS = 3000


@dataclass(frozen=True)
class CurveKeys:
    """CURVE keys of one end of an edge between hosts, as Z85 text (``zmq.curve_keypair()``).

    Parameters
    ----------
    public, secret
        This end's own pair.
    server
        For `dial`: public key of the listening end.
    clients
        For `listen`: public keys that may dial. A key that is not here is refused.
    """

    public: str
    secret: str = field(repr=False)
    server: str = ""
    clients: tuple[str, ...] = ()

    @classmethod
    def generate(cls, server: str = "", clients: tuple[str, ...] = ()) -> CurveKeys:
        """A fresh pair."""
        public, secret = zmq.curve_keypair()
        return cls(public.decode(), secret.decode(), server, clients)


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
            }
        )


def is_loopback(endpoint: str) -> bool:
    """Whether only this machine can reach the endpoint."""
    if endpoint.startswith(("inproc://", "ipc://")):
        return True
    host = endpoint.removeprefix("tcp://").rpartition(":")[0]
    return host in ("localhost", "[::1]", "::1") or host.startswith("127.")


def check_listen(block: str, port: str, endpoint: str, curve: CurveKeys | None) -> None:
    """Refuse an endpoint that others could reach without keys.

    Raises
    ------
    FlowgraphError
        If the endpoint is no address, or is not on loopback and `curve` names no clients.
    """
    check_endpoint(block, port, endpoint)
    if not is_loopback(endpoint) and (curve is None or not curve.clients):
        raise FlowgraphError(
            f"block {block!r}, port {port!r}: {endpoint} can be reached from other machines and has no CURVE keys that "
            "say who may; listen on tcp://127.0.0.1:PORT, or give curve=CurveKeys(public, secret, "
            "clients=(public key of each peer,)); CurveKeys.generate() makes a pair",
            block,
        )


def check_endpoint(block: str, port: str, endpoint: str) -> None:
    """Refuse what is not ``tcp://host:port`` or ``ipc://path``.

    Raises
    ------
    FlowgraphError
        Naming block, port and endpoint.
    """
    host, _, number = endpoint.removeprefix("tcp://").rpartition(":")
    tcp = endpoint.startswith("tcp://") and host and number.isdigit() and 0 < int(number) < 65536
    if not tcp and not (endpoint.startswith("ipc://") and len(endpoint) > 6):
        raise FlowgraphError(
            f"block {block!r}, port {port!r}: expected an endpoint tcp://HOST:PORT or ipc://PATH, got {endpoint!r}",
            block,
        )
