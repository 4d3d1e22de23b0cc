"""Settings from a command line, ``block.setting=value``, typed by the block's own settings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from semstream.runtime.block.settings import Settings, from_plain, validated
from semstream.runtime.errors import SettingsError
from semstream.runtime.files.document import choice
from semstream.runtime.files.yaml_text import parse
from semstream.runtime.graph.graph import Graph


def override(graph: Graph, assignments: Iterable[str]) -> None:
    """Change settings of a graph that does not run yet.

    Parameters
    ----------
    graph
        The flowgraph; its blocks get new settings.
    assignments
        Each ``block.setting=value``. Lists may stand without brackets: ``sweep.snr_db=1,4,inf``.

    Raises
    ------
    SettingsError
        If a block or setting is unknown, or a value of the wrong type or out of range; one line for each.
    """
    wrong = []
    for text in assignments:
        try:
            _override(graph, text)
        except SettingsError as error:
            wrong.append(f"--set {text}: {error}")
    if wrong:
        raise SettingsError("\n".join(wrong))


def _override(graph: Graph, text: str) -> None:
    name, equals, value = text.partition("=")
    block_name, dot, setting = name.strip().rpartition(".")
    if not equals or not dot:
        raise SettingsError("expected block.setting=value")
    block = graph.blocks.get(block_name)
    if block is None:
        raise SettingsError(f"no block {block_name!r}; {choice(block_name, graph.blocks)}")
    cls = type(block).Settings
    if setting not in cls.model_fields:
        raise SettingsError(f"block {block_name!r} has no setting {setting!r}; {choice(setting, cls.model_fields)}")
    given = {n: getattr(block.settings, n) for n in block.settings.model_fields_set}
    block.settings = _typed(cls, given, setting, value.strip(), block_name)


def _typed(cls: type[Settings], given: dict[str, Any], name: str, text: str, block: str) -> Settings:
    parsed = parse(text.encode()).value
    for value in (text, parsed, parse(f"[{text}]".encode()).value):
        plain, wrong = from_plain(cls, {name: value})
        if name in wrong and value is not text:  # text may stand for a number, true may not
            continue
        try:
            return validated(cls, given | plain, block)
        except SettingsError:
            continue
    return validated(cls, given | {name: parsed if isinstance(parsed, (int, float)) else text}, block)
