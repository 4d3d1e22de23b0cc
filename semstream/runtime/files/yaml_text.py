"""YAML as plain values with the line of each: safe, bounded, by YAML 1.2's core rules (``off`` is a word, ``1e-3`` a
number), with ``inf`` written ``.inf``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from semstream.runtime.errors import Finding
from semstream.runtime.files.yaml_nodes import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_VALUES,
    Mapping,
    Node,
    Scalar,
    Sequence,
    TooMuchError,
    compose,
)

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_VALUES", "Dumper", "Parsed", "dump", "parse", "scalar"]

Path = tuple[str | int, ...]

_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INF = re.compile(r"[-+]?\.(inf|Inf|INF)")
_NAN = re.compile(r"\.(nan|NaN|NAN)")


@dataclass
class Parsed:
    """A YAML file as plain values, with the line of each.

    Attributes
    ----------
    value
        dict, list, str, int, float, bool or None, nested.
    lines
        Line of each value by its path of keys and indices; of a value in a mapping, the line of its key.
    findings
        What is wrong with the file as YAML; the rest was read nevertheless.
    """

    value: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def line(self, path: Path) -> int:
        """Line of a value, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def parse(data: bytes) -> Parsed:
    """Read YAML; never raises on bad input, and never runs or makes anything that the text names.

    Parameters
    ----------
    data
        Content of the file. More than `MAX_BYTES`, `MAX_VALUES` (aliases count each time) or `MAX_DEPTH` is a finding.
    """
    parsed = Parsed()
    node = compose(data)
    if isinstance(node, Finding):
        parsed.findings.append(node)
        return parsed
    try:
        parsed.value = _Reader(parsed).read(node, (), node.line)
    except TooMuchError as error:
        parsed.value = None
        parsed.findings.append(Finding(error.line, str(error)))
    return parsed


def scalar(text: str) -> Any:
    """A plain (unquoted) scalar by YAML 1.2's core rules."""
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text):
        return True
    if _FALSE.fullmatch(text):
        return False
    if _INT.fullmatch(text):
        if len(text) >= 100:
            return text  # nobody means it, and Python will not print it
        return int(text, 0) if text[:2] in ("0x", "0o") else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _INF.fullmatch(text):
        return -math.inf if text.startswith("-") else math.inf
    if _NAN.fullmatch(text):
        return math.nan
    return text


class _Reader:
    """Nodes to values. Aliases are read again at each place, within the limit."""

    def __init__(self, parsed: Parsed) -> None:
        self._parsed = parsed
        self._count = 0

    def read(self, node: Node, path: Path, line: int) -> Any:
        self._count += 1
        if self._count > MAX_VALUES:
            raise TooMuchError(line, f"more than {MAX_VALUES} values, aliases counted; a flowgraph has fewer")
        if len(path) > MAX_DEPTH:
            raise TooMuchError(line, f"nested more than {MAX_DEPTH} deep, or an alias inside its own anchor")
        self._parsed.lines.setdefault(path, line)
        if isinstance(node, Scalar):
            return self._scalar(node)
        if isinstance(node, Mapping):
            return self._mapping(node, path)
        assert isinstance(node, Sequence)
        self._check_tag(node, ("seq",))
        return [self.read(item, (*path, i), item.line) for i, item in enumerate(node.items)]

    def _mapping(self, node: Mapping, path: Path) -> dict[str, Any]:
        self._check_tag(node, ("map",))
        values: dict[str, Any] = {}
        for key_node, value_node in zip(node.items[::2], node.items[1::2], strict=True):
            line = key_node.line
            if not isinstance(key_node, Scalar):
                self._find(line, "expected a word as a key, got a list or a mapping; quote it if it is text")
                continue
            key = key_node.text
            if key in values:
                self._find(
                    line, f"key {key!r} for the second time; it stands in line {self._parsed.line((*path, key))}"
                )
                continue
            values[key] = self.read(value_node, (*path, key), line)
        return values

    def _scalar(self, node: Scalar) -> Any:
        if not node.plain:
            self._check_tag(node, ("str",))
            return node.text
        self._check_tag(node, ("str", "bool", "int", "float", "null", "timestamp", "merge", "value"))
        return scalar(node.text)

    def _check_tag(self, node: Node, kinds: tuple[str, ...]) -> None:
        tag = node.tag.removeprefix("tag:yaml.org,2002:")
        if node.tag and (tag == node.tag or tag not in kinds):
            self._find(node.line, f"tag {tag!r} is not allowed; only plain values are read")

    def _find(self, line: int, message: str) -> None:
        self._parsed.findings.append(Finding(line, message))


class Dumper(yaml.SafeDumper):
    """Writes what `parse` reads back as it was."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write equal values out each time."""
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent lists in mappings."""
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    # Quoted where it would be read as something else, by these rules or by YAML 1.1's.
    resolve: Any = dumper.resolve
    plain = isinstance(scalar(value), str) and resolve(yaml.ScalarNode, value, (True, False)) == _STR
    style = None if plain else '"' if "\n" in value else "'"
    return dumper.represent_scalar(_STR, value, style=style)


def _number(dumper: yaml.SafeDumper, value: float) -> yaml.ScalarNode:
    text = ".nan" if math.isnan(value) else f"{'-' * (value < 0)}.inf" if math.isinf(value) else repr(value)
    # With a point before the exponent, a number by YAML 1.1's rules too.
    text = text.replace("e", ".0e") if "e" in text and "." not in text else text
    return dumper.represent_scalar("tag:yaml.org,2002:float", text)


_STR = "tag:yaml.org,2002:str"
Dumper.add_representer(str, _text)
Dumper.add_representer(float, _number)


def dump(value: Any) -> str:
    """Plain values as YAML, keys in their order, short lists on one line."""
    return yaml.dump(
        value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100, default_flow_style=None, indent=2
    )
