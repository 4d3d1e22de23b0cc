"""Joining a Ray cluster, or saying in one message why that cannot be."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Mapping
from typing import Any

from semstream.runtime.errors import FlowgraphError

ANSWER_S = 5.0
OBJECT_STORE_BYTES = 100 * 2**20
"""Of a cluster of our own: frames do not pass through it."""
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_SETTINGS = 4


def ray_module() -> Any:
    """The module ``ray``.

    Raises
    ------
    FlowgraphError
        If it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when a cluster starts; the user's own word counts
    try:
        import ray
    except ImportError as error:
        raise FlowgraphError(
            f"engine 'ray' needs Ray ({error}); install it: pip install 'semstream[cluster]'"
        ) from None
    return ray


def join(address: str | None, runtime_env: Mapping[str, Any]) -> bool:
    """Join the cluster that `address` names (see `RayCluster`).

    Returns
    -------
    bool
        Whether it was joined now, and is to be left by ``ray.shutdown()``.

    Raises
    ------
    FlowgraphError
        If nobody answers there, or what answers is no Ray cluster or one of another version.
    """
    ray = ray_module()
    if ray.is_initialized():
        if address is not None:
            _check_same(ray, address)
        return False
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if runtime_env:
        options["runtime_env"] = dict(runtime_env)
    if address == "local":
        options |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    elif address != "auto" and not address.startswith("ray://"):
        check_answers(address)
    try:
        ray.init(address=address, **options)
    except ConnectionError as error:
        raise FlowgraphError(f"no Ray cluster at {address!r}: {_line(error)}; start one: ray start --head") from None
    except Exception as error:  # Ray has many: another version, another token, a broken installation
        with contextlib.suppress(Exception):
            ray.shutdown()
        raise FlowgraphError(f"Ray cluster {address!r} cannot be joined: {_mended(error)}") from None
    return True


def check_answers(address: str) -> None:
    """Find out within seconds whether a Ray cluster's head is there: Ray itself waits for minutes.

    Raises
    ------
    FlowgraphError
        If the address is none, nobody answers there, or something else than the head of a cluster does.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise FlowgraphError(f"expected the address of a Ray cluster as HOST:PORT or 'auto', got {address!r}")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), ANSWER_S) as connection:
            connection.sendall(_PREFACE)
            head = connection.recv(9)
    except OSError as error:
        why = "nobody answers" if isinstance(error, TimeoutError) else error.strerror or str(error)
        raise FlowgraphError(
            f"no Ray cluster at {address}: {why}; start one there (ray start --head), or check host, port and firewall"
        ) from None
    if len(head) < 9 or head[3] != _SETTINGS:
        raise FlowgraphError(f"what answers at {address} is no Ray cluster; its head listens on port 6379 by default")


def _check_same(ray: Any, address: str) -> None:
    joined = ray.get_runtime_context().gcs_address
    if address not in ("auto", "local") and address.rpartition(":")[2] != joined.rpartition(":")[2]:
        raise FlowgraphError(
            f"this program has joined the Ray cluster {joined} and cannot go to {address} as well; ray.shutdown() first"
        )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:1000]


def _mended(error: Exception) -> str:
    text = _line(error)
    return f"{text} Install the same versions here and there." if "ersion mismatch" in text else text
