"""CURVE keys in a file of their own: lines ``public``, ``secret``, ``server`` and ``clients``."""

from __future__ import annotations

import os
import re
from pathlib import Path

from semstream.runtime.errors import FlowgraphError
from semstream.runtime.files.yaml_text import dump, parse
from semstream.runtime.graph.endpoints import CurveKeys

_KEY = re.compile(r"[0-9A-Za-z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")  # Z85


def read_keys(path: str | Path) -> CurveKeys:
    """Keys from a file.

    Raises
    ------
    FlowgraphError
        If the file cannot be read or is not one of keys; one line that says how to make one.
    """
    way = "; CurveKeys.generate() makes a pair and write_keys() such a file"
    try:
        parsed = parse(Path(path).read_bytes())
    except OSError as error:
        raise FlowgraphError(f"CURVE keys {path}: {error.strerror or error}{way}") from None
    value = parsed.value
    if parsed.findings or not isinstance(value, dict) or not {"public", "secret"} <= set(value):
        raise FlowgraphError(f"CURVE keys {path}: expected lines public: KEY, secret: KEY and server or clients{way}")
    unknown = set(value) - {"public", "secret", "server", "clients"}
    if unknown:
        raise FlowgraphError(
            f"CURVE keys {path}: unknown {', '.join(sorted(unknown))}; expected public, secret, server, clients"
        )
    clients = value.get("clients") or []
    clients = clients if isinstance(clients, list) else [clients]
    server = value.get("server") or ""
    for name, key in [("public", value["public"]), ("secret", value["secret"]), *(("clients", c) for c in clients)]:
        _check(path, name, key)
    if server:
        _check(path, "server", server)
    return CurveKeys(value["public"], value["secret"], server, tuple(clients))


def write_keys(keys: CurveKeys, path: str | Path) -> None:
    """Write keys to a file that only its owner can read.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    value: dict[str, object] = {"public": keys.public, "secret": keys.secret}
    value |= {"server": keys.server} if keys.server else {}
    value |= {"clients": list(keys.clients)} if keys.clients else {}
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.fchmod(handle, 0o600)
    with open(handle, "w", encoding="utf-8") as file:
        file.write(dump(value))


def _check(path: str | Path, name: str, key: object) -> None:
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        # The value itself stays out of the message: it may be a secret.
        raise FlowgraphError(f"CURVE keys {path}: {name!r} is no key; expected 40 characters of Z85, quoted")
