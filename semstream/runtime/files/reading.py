"""From a flowgraph file to a flowgraph: everything that is wrong with it is found at once, with its line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Generic, TypeVar

from semstream.runtime.block.block import Block
from semstream.runtime.block.settings import from_plain
from semstream.runtime.errors import Finding, PortError, SemstreamError
from semstream.runtime.files.classes import find_class
from semstream.runtime.files.document import (
    BlockEntry,
    DialEntry,
    Document,
    EdgeEntry,
    Header,
    HostEntry,
    ListenEntry,
    check,
    choice,
    shown,
)
from semstream.runtime.files.keyfile import read_keys
from semstream.runtime.files.yaml_text import Parsed, parse
from semstream.runtime.files.yaml_text import Path as Place
from semstream.runtime.graph.endpoints import CurveKeys
from semstream.runtime.graph.graph import Endpoint, Graph
from semstream.runtime.graph.hosts import check_hosts

LISTS = ("edges", "listen", "dial")
M = TypeVar("M", EdgeEntry, ListenEntry, DialEntry)
G = TypeVar("G", bound=Graph)


def read(data: bytes, folder: Path, kind: type[G]) -> tuple[G, list[Finding]]:
    """A flowgraph from the text of its file.

    Parameters
    ----------
    data
        Content of the file.
    folder
        Where it lies: key files and modules of blocks are looked for here.
    kind
        Class of the graph.

    Returns
    -------
    graph, list of Finding
        Use the graph only if there are no findings.
    """
    parsed = parse(data)
    if isinstance(parsed.value, dict):
        reader = Reader(parsed, folder, kind)
        return reader.graph, sorted({*reader.findings, *parsed.findings})
    got = Finding(1, f"expected a flowgraph (name:, blocks:, edges:), got {shown(parsed.value)}")
    return kind(), parsed.findings or [got]


class Reader(Generic[G]):
    """Builds the graph step by step, noting what is wrong and going on without it.

    Attributes
    ----------
    graph : G
        What could be built.
    findings : list of Finding
        What is wrong.
    """

    def __init__(self, parsed: Parsed, folder: Path, kind: type[G]) -> None:
        self.findings: list[Finding] = []
        self._parsed, self._folder = parsed, folder
        self._unknown: set[str] = set()  # blocks that are named and could not be built
        self._fed: set[tuple[str, str]] = set()  # inputs that an edge names, be it a wrong one
        self._loose = False  # whether an edge could not be read, and may have been the one that is missing
        value = parsed.value
        head = {key: v for key, v in value.items() if key not in ("blocks", "hosts", *LISTS)}
        header = self._check(Header, head, (), Document.model_fields) or Header.model_validate({})
        self.graph = kind(
            header.name, header.seed, header.engine,
            durable=header.durable, restart=header.restart, ring=header.ring, restart_limit=header.restart_limit,
        )  # fmt: skip
        self.graph.keys = str(folder / header.keys) if header.keys else ""
        self.graph.state_folder = str(folder / header.state_folder) if header.state_folder else ""
        self._hosts(value.get("hosts", {}))
        self._blocks(value.get("blocks"))
        for entry, place in self._entries("edges", EdgeEntry):
            self._edge(entry, place)
        for listen, place in self._entries("listen", ListenEntry):
            self._listen(listen, place)
        for dial, place in self._entries("dial", DialEntry):
            self._dial(dial, place)
        for name, words in check_hosts(self.graph):
            self._find(("hosts", name) if name in self.graph.hosts else ("blocks", name, "host"), words)
        if not self._loose:
            for port in self.graph.unconnected():
                if (port.block.name, port.name) not in self._fed:
                    self._find(("blocks", port.block.name), f"{port} is not connected; add an edge to it")

    # -- hosts and blocks ------------------------------------------------------------------------------------------

    def _hosts(self, value: Any) -> None:
        if not isinstance(value, dict):
            self._find(("hosts",), f"key 'hosts': expected addresses by the names of hosts, got {shown(value)}")
            return
        for name, item in value.items():
            entry = self._check(HostEntry, {"address": item} if isinstance(item, str) else item, ("hosts", name))
            if entry is None:
                continue
            try:
                self.graph.host(name, entry.address, listen=entry.listen, patience=entry.patience)
            except SemstreamError as error:
                self._find(("hosts", name), str(error))

    def _blocks(self, value: Any) -> None:
        if not isinstance(value, dict) or not value:
            self._find(("blocks",), f"key 'blocks': expected blocks by their names, got {shown(value)}")
            self._loose = True
            return
        for name, item in value.items():
            self._unknown.add(name)
            place: Place = ("blocks", name)
            entry = self._check(BlockEntry, item, place)
            if entry is None:
                continue
            try:
                cls = find_class(entry.class_, self._folder)
            except SemstreamError as error:
                self._find((*place, "class"), f"block {name!r}: {error}")
                continue
            block = self._block(name, cls, entry, place)
            if block is not None:
                self._add(block, entry, place)
                self._unknown.discard(name)

    def _block(self, name: str, cls: type[Block], entry: BlockEntry, place: Place) -> Block | None:
        settings, wrong = from_plain(cls.Settings, entry.settings)
        for key, words in wrong.items():
            at = (*place, "settings", key) if key in entry.settings else (*place, "settings")
            self._find(at, f"block {name!r}: {words}")
        try:
            if wrong:  # its ports can still be checked: as a block of the same class without settings
                cls, settings = type(cls.__name__, (cls,), {"Settings": Block.Settings}), {}
            return cls(name=name, **settings)
        except SemstreamError as error:
            self._find(place, str(error) if name in str(error) else f"block {name!r}: {error}")
        except Exception as error:  # a constructor of the user's own
            self._find(place, f"block {name!r}: {type(error).__name__}: {error}")
        return None

    def _add(self, block: Block, entry: BlockEntry, place: Place) -> None:
        try:
            self.graph.add(
                block, entry.replicas, entry.process, entry.restart, resources=entry.resources, group=entry.group
            )
        except SemstreamError as error:
            self._find((*place, "replicas"), str(error))
            self.graph.add(block)
        if entry.host is not None:
            self.graph.host_of[block.name] = entry.host
            if not self.graph.hosts:
                self._find((*place, "host"), f"block {block.name!r}: no host {entry.host!r}; give hosts: and addresses")

    # -- edges -----------------------------------------------------------------------------------------------------

    def _entries(self, key: str, model: type[M]) -> list[tuple[M, Place]]:
        value = self._parsed.value.get(key, [])
        if not isinstance(value, list):
            self._find((key,), f"key {key!r}: expected a list (lines that begin with -), got {shown(value)}")
            self._loose = True
            return []
        found: list[tuple[M, Place]] = []
        for number, item in enumerate(value):
            item = {"connect": item} if key == "edges" and isinstance(item, str) else item
            entry = self._check(model, item, (key, number))
            if entry is None:
                self._loose = True
            else:
                found.append((entry, (key, number)))
        return found

    def _edge(self, entry: EdgeEntry, place: Place) -> None:
        texts = re.split(r"\s*->\s*", entry.connect.strip())
        if len(texts) < 2 or not all(texts):
            self._find(place, f"expected a chain of blocks, A -> B, got {entry.connect!r:.80}")
            self._loose = True
            return
        ends = [self._end(text, place) for text in texts]
        for first, second, name in zip(ends, ends[1:], texts[1:], strict=False):
            if first is None or second is None:
                self._feed(second, name)
                continue
            try:
                self.graph.connect(
                    first, second, policy=entry.policy, credit=entry.credit, depth=entry.depth, durable=entry.durable
                )
            except PortError as error:
                self._find(place, str(error))
                self._feed(second, name)

    def _listen(self, entry: ListenEntry, place: Place) -> None:
        port, curve = self._end(entry.port, place), self._curve(entry.curve, place)
        if port is None or (entry.curve and curve is None):
            return
        try:
            self.graph.listen(
                port,
                entry.endpoint,
                policy=entry.policy,
                depth=entry.depth,
                curve=curve,
                reconnect=entry.reconnect,
                durable=entry.durable,
            )
        except SemstreamError as error:
            self._find(place, str(error))

    def _dial(self, entry: DialEntry, place: Place) -> None:
        port, curve = self._end(entry.port, place), self._curve(entry.curve, place)
        if port is None or (entry.curve and curve is None):
            self._feed(port, entry.port)
            return
        seconds = {"connect_timeout": entry.connect_timeout, "reconnect": entry.reconnect}
        try:
            self.graph.dial(entry.endpoint, port, credit=entry.credit, curve=curve, durable=entry.durable, **seconds)
        except SemstreamError as error:
            self._find(place, str(error))
            self._feed(port, entry.port)

    def _end(self, text: str, place: Place) -> Endpoint | None:
        """A block, or the port of one; None, noted, if there is none."""
        blocks = self.graph.blocks
        owner, _, port = text.rpartition(".")
        block = blocks.get(owner)
        if block is not None and (port in block.inputs or port in block.outputs):
            return block.port(port)
        if text in blocks:
            return blocks[text]
        if text in self._unknown or owner in self._unknown:
            return None
        if block is not None:
            ports = [*block.inputs, *block.outputs]
            self._find(place, f"block {owner!r} has no port {port!r}; {choice(port, ports)}")
        else:
            self._find(place, f"no block {text!r}; {choice(text, [*blocks, *self._unknown])}")
        return None

    def _feed(self, end: Endpoint | None, text: str) -> None:
        """Note that an edge, though a wrong one, names an input: it is not missing besides."""
        if isinstance(end, Block):
            self._fed |= {(end.name, name) for name in end.inputs}
        elif end is not None:
            self._fed.add((end.block.name, end.name))
        elif text.rpartition(".")[0] in self.graph.blocks:
            owner = self.graph.blocks[text.rpartition(".")[0]]
            self._fed |= {(owner.name, name) for name in owner.inputs}

    def _curve(self, path: str | None, place: Place) -> CurveKeys | None:
        if path is None:
            return None
        try:
            return read_keys(self._folder / path)
        except SemstreamError as error:
            self._find((*place, "curve"), str(error))
            return None

    # -- findings --------------------------------------------------------------------------------------------------

    def _check(self, model: Any, value: Any, place: Place, known: Any = ()) -> Any:
        entry, wrong = check(model, value, known)
        about = f"block {place[1]!r}: " if place[:1] == ("blocks",) else ""
        for key, words in wrong:
            self._find((*place, key), about + words)
        return entry

    def _find(self, place: Place, message: str) -> None:
        self.findings.append(Finding(self._parsed.line(place), " ".join(message.split())))
