"""What is to be drawn: boxes, arrows between them, and the branch that each box belongs to."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass

ADVANCE = 0.62
"""Width of a character of a monospaced font, in font sizes: DejaVu Sans Mono has 0.602, Courier 0.600."""
NAME_SIZE, NOTE_SIZE, LABEL_SIZE = 9.0, 7.5, 7.0
"""Font sizes in points: of a box's first line, of its other lines, of what stands at an arrow."""
LINE_HEIGHT = 1.35
PAD = 8.0


@dataclass(frozen=True)
class Box:
    """A block: its lines of text, the name first; `kind` is source, between, sink or outside."""

    name: str
    lines: tuple[str, ...]
    kind: str = "between"
    branch: str = ""

    @property
    def width(self) -> float:
        """Width in points, wide enough for every line."""
        return 2 * PAD + max(text_width(text, self.size_of(i)) for i, text in enumerate(self.lines))

    @property
    def height(self) -> float:
        """Height in points."""
        return PAD + sum(self.size_of(i) * LINE_HEIGHT for i in range(len(self.lines)))

    def size_of(self, line: int) -> float:
        """Font size of a line, in points."""
        return NOTE_SIZE if line else NAME_SIZE

    def baselines(self) -> list[float]:
        """Where each line stands, in points below the upper border."""
        found, y = [], PAD / 2
        for i in range(len(self.lines)):
            y += self.size_of(i) * LINE_HEIGHT
            found.append(y - self.size_of(i) * 0.3)
        return found


@dataclass(frozen=True)
class Arrow:
    """An edge from one box to another, by their names; `label` stands at it, a line each."""

    start: str
    end: str
    label: tuple[str, ...] = ()
    dashed: bool = False


@dataclass(frozen=True)
class Diagram:
    """Boxes and arrows, in the order of the flowgraph."""

    title: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


def titled(name: str, cls: str, replicas: int = 1) -> tuple[str, ...]:
    """The lines of a block: its name, and its class where the name does not say it."""
    shown = f"{name} ×{replicas}" if replicas > 1 else name
    return (shown,) if re.sub(r"[\W_]", "", name).lower() == cls.lower() else (shown, cls)


def text_width(text: str, size: float) -> float:
    """Width of a text in a monospaced font, in points; wide characters take two places."""
    places = sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
    return places * ADVANCE * size


def branches(names: Iterable[str], edges: Collection[tuple[str, str]]) -> dict[str, str]:
    """The branch of each block of a flowgraph that ends in several sinks.

    Parameters
    ----------
    names
        Names of the blocks.
    edges
        (sender, receiver) of each edge.

    Returns
    -------
    dict
        For each block that leads to one sink alone, that sink; blocks that several sinks share are left out, and so is
        a sink that has no block to itself.
    """
    names = list(names)
    after: dict[str, set[str]] = {name: set() for name in names}
    for start, end in edges:
        if start in after and end in after and start != end:
            after[start].add(end)
    ends = {name: {name} if not after[name] else set() for name in names}
    for _ in names:  # no way is longer than there are blocks
        grown = {name: ends[name].union(*(ends[n] for n in after[name])) for name in names}
        if grown == ends:
            break
        ends = grown
    if sum(not after[name] for name in names) < 2:
        return {}
    found = {name: next(iter(sinks)) for name, sinks in ends.items() if len(sinks) == 1}
    members = list(found.values())
    return {name: sink for name, sink in found.items() if members.count(sink) > 1}
