"""CURVE keys in files: lines ``public``, ``secret``, ``server`` and ``clients``, or ZeroMQ certificates in a folder.

A certificate is what ``zmq.auth`` writes: ``NAME.key`` is public, ``NAME.key_secret`` is the pair and is its owner's.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from semstream.runtime.errors import FlowgraphError
from semstream.runtime.files.yaml_text import dump, parse
from semstream.runtime.graph.endpoints import CurveKeys

_KEY = re.compile(r"[0-9A-Za-z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")  # Z85
SECRET = ".key_secret"


def read_keys(path: str | Path, server: str | Path | None = None) -> CurveKeys:
    """Keys from a file.

    Parameters
    ----------
    path
        A file of ours, or ``NAME.key_secret``: then `clients` are all public certificates beside it.
    server
        ``NAME.key``, public certificate of the end that is dialled.

    Raises
    ------
    FlowgraphError
        If a file cannot be read, is not one of keys, or can be read by others; one line that says the way out.
    """
    path = Path(path)
    found = _certified(path) if path.suffix == SECRET else _read(path)
    if server is None:
        return found
    return CurveKeys(found.public, found.secret, _certificate(Path(server))[0], found.clients)


def _read(path: Path) -> CurveKeys:
    way = "; CurveKeys.generate() makes a pair and write_keys() such a file"
    try:
        parsed = parse(path.read_bytes())
    except OSError as error:
        raise FlowgraphError(f"CURVE keys {path}: {error.strerror or error}{way}") from None
    value = parsed.value
    if parsed.findings or not isinstance(value, dict) or not {"public", "secret"} <= set(value):
        raise FlowgraphError(f"CURVE keys {path}: expected lines public: KEY, secret: KEY and server or clients{way}")
    _check_private(path)
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


def make_certificates(folder: Path, names: Iterable[str]) -> list[Path]:
    """Make a pair of keys for each name, as ``zmq.auth`` does; the secret ones only their owner can read.

    Returns
    -------
    list of Path
        The secret certificates.

    Raises
    ------
    FlowgraphError
        If a name is no file name, or has a certificate already: that would lock out those who know its key.
    OSError
        If the folder cannot be written.
    """
    from zmq.auth import create_certificates

    names = list(names)
    for name in names:
        if not re.fullmatch(r"[\w][\w.-]*", name):
            raise FlowgraphError(f"{name!r} is no name for a file; use letters, digits, - and _")
        if there := next((p for p in (folder / f"{name}.key", folder / f"{name}{SECRET}") if p.exists()), None):
            raise FlowgraphError(f"{there} is there already; remove it if {name!r} is to have new keys")
    before = os.umask(0o077)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        made = [Path(create_certificates(folder, name)[1]) for name in names]
    finally:
        os.umask(before)
    for path in made:
        path.with_suffix(".key").chmod(0o644)
    return made


def keys_between(folder: Path, name: str) -> Callable[[str, bool], CurveKeys]:
    """Keys of one host for its edges with others, by their certificates in a folder.

    Returns
    -------
    callable
        Takes the other host's name and whether this one listens; raises `FlowgraphError` where a certificate is not
        there or no good.
    """
    own = _certified(folder / f"{name}{SECRET}")

    def keys(other: str, listens: bool) -> CurveKeys:
        public, _ = _certificate(folder / f"{other}.key")
        known = {"clients": (public,)} if listens else {"server": public}
        return CurveKeys(own.public, own.secret, **known)

    return keys


def _certified(path: Path) -> CurveKeys:
    public, secret = _certificate(path)
    if not secret:
        raise FlowgraphError(f"CURVE keys {path}: there is no secret key in it; semstream keygen makes a pair")
    _check_private(path)
    others = (_certificate(other)[0] for other in sorted(path.parent.glob("*.key")))
    return CurveKeys(public, secret, clients=tuple(key for key in others if key != public))


def _certificate(path: Path) -> tuple[str, str]:
    from zmq.auth import load_certificate

    way = f"; semstream keygen {path.name.partition('.key')[0]} --out {path.parent} makes it"
    if not path.is_file():
        raise FlowgraphError(f"CURVE keys {path}: no such file{way}, or copy it here from where it was made")
    try:
        public, secret = load_certificate(path)
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise FlowgraphError(f"CURVE keys {path}: no certificate of ZeroMQ ({error}){way}") from None
    found = public.decode("ascii", "replace"), (secret or b"").decode("ascii", "replace")
    _check(path, "public-key", found[0])
    if found[1]:
        _check(path, "secret-key", found[1])
    return found


def _check_private(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name == "posix" and mode & 0o077:
        raise FlowgraphError(f"CURVE keys {path}: others can read it (mode {mode:o}); keep it secret: chmod 600 {path}")


def _check(path: str | Path, name: str, key: object) -> None:
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        # The value itself stays out of the message: it may be a secret.
        raise FlowgraphError(f"CURVE keys {path}: {name!r} is no key; expected 40 characters of Z85, quoted")
