"""HttpServer: ``/healthz``, ``/readyz`` and ``/metrics`` of a service."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from semstream.runtime import FlowgraphError
from semstream.serving.state import ServiceState

SLOW_S = 10.0


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """As its parents do, without asking the name service for this host's name, which may take long."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()


class _Handler(WSGIRequestHandler):
    timeout = SLOW_S  # a client that says nothing holds a thread no longer

    def log_message(self, format: str, *args: Any) -> None:
        """Probes come every few seconds: not logged."""


class HttpServer:
    """Answers in threads of its own, from the state alone: a slow client holds up nothing.

    Parameters
    ----------
    state
        What to tell.
    port
        TCP port; 0 for a free one.
    address
        Of the interface; 127.0.0.1 is for this host alone.

    Raises
    ------
    FlowgraphError
        If it cannot listen there.
    """

    def __init__(self, state: ServiceState, port: int, address: str = "127.0.0.1") -> None:
        try:
            self._server = make_server(address, port, application(state), _Server, _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise FlowgraphError(
                f"--port {port}: cannot listen at {address} ({reason}); name another port or address"
            ) from None
        self.port = int(self._server.server_port)
        self._thread = threading.Thread(target=self._server.serve_forever, name="semstream http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(2)


def application(state: ServiceState) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    """The WSGI application: GET and HEAD of three paths."""
    from prometheus_client import CollectorRegistry, make_wsgi_app
    from prometheus_client.registry import Collector

    class Counters(Collector):
        def collect(self) -> Iterable[Any]:
            """Families of now."""
            return state.families()

        def describe(self) -> Iterable[Any]:
            """Nothing: asking for it now would be too early."""
            return ()

    registry = CollectorRegistry()
    registry.register(Counters())
    metrics = make_wsgi_app(registry)
    told = {"/healthz": state.health, "/readyz": state.readiness}

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path, method = environ.get("PATH_INFO", "/"), environ.get("REQUEST_METHOD")
        if method not in ("GET", "HEAD"):
            return _reply(start, "405 Method Not Allowed", {"reason": "expected GET"})
        if path == "/metrics":
            body: Iterable[bytes] = metrics(environ, start)
            return body
        if path not in told:
            return _reply(start, "404 Not Found", {"reason": f"there are {', '.join(told)}, /metrics"})
        well, value = told[path]()
        return _reply(start, "200 OK" if well else "503 Service Unavailable", value, method == "HEAD")

    return answer


def _reply(start: Callable[..., Any], status: str, value: dict[str, Any], head: bool = False) -> Iterable[bytes]:
    body = json.dumps(value).encode() + b"\n"
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
    start(status, headers)
    return [b"" if head else body]
