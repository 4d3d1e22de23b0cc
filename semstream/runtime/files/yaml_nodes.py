"""YAML as nodes with their lines, within limits: read event by event, so that no file takes long or much memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from semstream.runtime.errors import Finding

MAX_BYTES = 1_000_000
MAX_VALUES = 50_000
MAX_DEPTH = 32


class TooMuchError(Exception):
    """More than a flowgraph has; `line` says where."""

    def __init__(self, line: int, words: str) -> None:
        super().__init__(words)
        self.line = line


@dataclass(slots=True, eq=False)
class Node:
    """A scalar, a list or a mapping.

    Attributes
    ----------
    line
        Where it begins, from 1.
    tag
        As written in the file; empty where there is none.
    """

    line: int
    tag: str


@dataclass(slots=True, eq=False)
class Scalar(Node):
    """Text; quoted, or a block that begins with ``|`` or ``>``, if not plain."""

    text: str
    plain: bool


@dataclass(slots=True, eq=False)
class Sequence(Node):
    """A list."""

    items: list[Node]


@dataclass(slots=True, eq=False)
class Mapping(Node):
    """Keys and values in turn."""

    items: list[Node]


def compose(data: bytes) -> Node | Finding:
    """The one document of a file as nodes; an alias is its anchor's node once more.

    Parameters
    ----------
    data
        Content of the file.

    Returns
    -------
    Node or Finding
        What is wrong, if it is not one document of YAML.
    """
    if len(data) > MAX_BYTES:
        return Finding(1, f"the file has {len(data)} bytes; a flowgraph has at most {MAX_BYTES}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Finding(data[: error.start].count(b"\n") + 1, "not YAML: the file is not UTF-8 text")
    try:
        return _compose(text) or Finding(1, "the file is empty")
    except yaml.MarkedYAMLError as error:
        return _finding(error, text)
    except yaml.YAMLError as error:
        return Finding(1, f"not YAML: {' '.join(str(error).split())}")
    except TooMuchError as error:
        return Finding(error.line, str(error))


def _compose(text: str) -> Node | None:
    # libyaml reads some ten times as fast as PyYAML's own reader; where PyYAML came without it, that one does.
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    root: list[Node] = []
    open_: list[list[Node]] = [root]  # innermost last
    anchors: dict[str, Node] = {}
    count = 0
    events: Iterator[Any] = yaml.parse(text, Loader=loader)
    for event in events:
        kind = type(event)
        node: Node
        if kind is yaml.ScalarEvent:
            node = Scalar(event.start_mark.line + 1, _tag(event.tag), event.value, not event.style)
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            collection = Mapping if kind is yaml.MappingStartEvent else Sequence
            node = collection(event.start_mark.line + 1, _tag(event.tag), [])
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            open_.pop()
            continue
        elif kind is yaml.AliasEvent:
            if event.anchor not in anchors:
                raise yaml.MarkedYAMLError(None, None, f"found undefined alias {event.anchor!r}", event.start_mark)
            open_[-1].append(anchors[event.anchor])
            continue
        else:
            if root and kind is yaml.DocumentStartEvent:
                raise yaml.MarkedYAMLError(None, None, "expected one document, but found another", event.start_mark)
            continue
        open_[-1].append(node)
        count += 1
        if count > 2 * MAX_VALUES:  # keys are nodes too
            raise TooMuchError(node.line, f"more than {MAX_VALUES} values; a flowgraph has fewer")
        if event.anchor is not None:
            if event.anchor in anchors:
                words = f"found duplicate anchor {event.anchor!r}; it stands in line {anchors[event.anchor].line}"
                raise yaml.MarkedYAMLError(None, None, words, event.start_mark)
            anchors[event.anchor] = node
        if isinstance(node, (Sequence, Mapping)):
            if len(open_) > MAX_DEPTH + 1:
                raise TooMuchError(node.line, f"nested more than {MAX_DEPTH} deep")
            open_.append(node.items)
    return root[0] if root else None


def _tag(written: str | None) -> str:
    return written if written and written != "!" else ""


def _finding(error: yaml.MarkedYAMLError, text: str) -> Finding:
    mark = error.problem_mark or error.context_mark
    words = " ".join(part for part in (error.context, error.problem) if part)
    if mark is None:
        return Finding(1, f"not YAML: {words}")
    lines = text.split("\n")
    number = min(mark.line, len(lines) - 1)  # libyaml sees the end of the file in a line of its own
    stray = "cannot start any token" in words and lines[number][mark.column : mark.column + 1] == "\t"
    if stray or "tab character" in words:
        words += " (a tab; indent with spaces)"
    return Finding(number + 1, f"not YAML: {words}")
