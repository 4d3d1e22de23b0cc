"""Addresses of edges that leave a flowgraph, and the CURVE keys that guard them."""

from __future__ import annotations

from dataclasses import dataclass, field

from semstream.runtime.errors import FlowgraphError


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
        import zmq

        public, secret = zmq.curve_keypair()
        return cls(public.decode(), secret.decode(), server, clients)


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
