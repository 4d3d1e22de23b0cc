"""Addresses of edges that leave a flowgraph, the hosts that they lead to, and the CURVE keys that guard them."""

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


@dataclass(frozen=True)
class Host:
    """A machine, or one of several programs on one, that runs a part of a graph.

    Parameters
    ----------
    name
        As ``--only`` names it.
    address
        Host name or IP address that the other hosts dial.
    port
        TCP port of the first edge that leaves it; further edges have the next ones.
    listen
        ``HOST:PORT`` that it binds if the others see it at another address, else empty.
    patience_s
        Seconds that the others wait for it, at the start and when it cannot be reached.
    """

    name: str
    address: str
    port: int
    listen: str = ""
    patience_s: float = 30.0

    @classmethod
    def parse(cls, name: str, address: str, listen: str = "", patience_s: float = 30.0) -> Host:
        """From ``HOST:PORT``, with or without ``tcp://`` before it.

        Raises
        ------
        FlowgraphError
            Naming the host and what is wrong.
        """
        for text in (address, listen) if listen else (address,):
            host, _, number = text.removeprefix("tcp://").rpartition(":")
            if not host or "/" in host or not number.isdigit() or not 0 < int(number) < 65536:
                raise FlowgraphError(f"host {name!r}: expected an address HOST:PORT, got {text!r}")
        if not patience_s > 0:
            raise FlowgraphError(f"host {name!r}: expected patience > 0 seconds, got {patience_s:g}")
        host, _, number = address.removeprefix("tcp://").rpartition(":")
        return cls(name, host, int(number), listen.removeprefix("tcp://"), float(patience_s))

    def dialled(self, number: int) -> str:
        """Endpoint at which others find its edge of that number, from 0."""
        return f"tcp://{self.address}:{self.port + number}"

    def bound(self, number: int) -> str:
        """Endpoint that it binds for its edge of that number."""
        if not self.listen:
            return self.dialled(number)
        host, _, port = self.listen.rpartition(":")
        return f"tcp://{host}:{int(port) + number}"

    @property
    def words(self) -> str:
        """``host 'rx' (10.77.0.3:5600)``."""
        return f"host {self.name!r} ({self.address}:{self.port})"


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
