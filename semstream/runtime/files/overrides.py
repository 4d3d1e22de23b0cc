"""Settings from a command line, ``block.setting=value``, typed by the block's own settings."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
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
        Each ``block.setting=value``. Lists may stand without brackets: ``sweep.snr_db=1,4,inf``. A pattern such as
        ``*.bits=2`` is for all blocks of such a name that have the setting.

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
    assign(graph, block_name, setting, value.strip())


def assign(graph: Graph, block_name: str, setting: str, text: str) -> None:
    """Change one setting of a block, or of all blocks of a pattern such as ``*`` that have it.

    Raises
    ------
    SettingsError
        If there is no such block or setting, or `text` is no value for it.
    """
    if "*" in block_name or "?" in block_name:
        blocks = [block for name, block in graph.blocks.items() if fnmatchcase(name, block_name)]
        blocks = [block for block in blocks if setting in type(block).Settings.model_fields]
        if not blocks:
            raise SettingsError(f"no block {block_name!r} has a setting {setting!r}")
    elif block_name in graph.blocks:
        blocks = [graph.blocks[block_name]]
    else:
        raise SettingsError(f"no block {block_name!r}; {choice(block_name, graph.blocks)}")
    for block in blocks:
        cls = type(block).Settings
        if setting not in cls.model_fields:
            raise SettingsError(f"block {block_name!r} has no setting {setting!r}; {choice(setting, cls.model_fields)}")
        given = {n: getattr(block.settings, n) for n in block.settings.model_fields_set}
        block.settings = _typed(cls, given, setting, text, block.name)


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
