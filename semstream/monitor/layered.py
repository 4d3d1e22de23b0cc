"""A layered drawing of a flowgraph: columns by the longest way from a source, rows that keep lines short."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def layers(names: Iterable[str], edges: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Column of each block: the number of edges on the longest way to it."""
    names, edges = list(names), [(a, b) for a, b in edges if a and b]
    column = dict.fromkeys(names, 0)
    for _ in names:  # no way is longer than there are blocks; a flowgraph has no loop
        moved = False
        for first, second in edges:
            if column[second] < column[first] + 1 <= len(names):
                column[second] = column[first] + 1
                moved = True
        if not moved:
            break
    return column


def positions(names: Iterable[str], edges: Iterable[tuple[str, str]]) -> dict[str, tuple[float, float]]:
    """(x, y) of each block: x its column, y its row, near those of its neighbours (barycentres, four sweeps)."""
    names, edges = list(names), [(a, b) for a, b in edges if a and b]
    column = layers(names, edges)
    columns: dict[int, list[str]] = {}
    for name in names:
        columns.setdefault(column[name], []).append(name)
    row = {name: float(i) for members in columns.values() for i, name in enumerate(members)}
    before: Mapping[str, list[str]] = {n: [a for a, b in edges if b == n] for n in names}
    after: Mapping[str, list[str]] = {n: [b for a, b in edges if a == n] for n in names}
    for sweep in range(4):
        forward = sweep % 2 == 0
        for index in sorted(columns, reverse=not forward):
            near = before if forward else after
            members = columns[index]
            wish = {n: sum(row[m] for m in near[n]) / len(near[n]) if near[n] else row[n] for n in members}
            members.sort(key=lambda n: wish[n])
            for place, name in enumerate(members):
                row[name] = float(place)
    return {name: (float(column[name]), (len(columns[column[name]]) - 1) / 2 - row[name]) for name in names}
