"""Results of the bench: tables with units, goals, and their text, markdown and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Cell = str | float | int | None


@dataclass
class Column:
    """A column: its heading, its unit, and the digits of its numbers (None: three significant ones)."""

    name: str
    unit: str = ""
    digits: int | None = None

    @property
    def heading(self) -> str:
        """Name and unit."""
        return f"{self.name} [{self.unit}]" if self.unit else self.name

    def words(self, value: Cell) -> str:
        """A value as text; nothing measured is a dash."""
        if value is None or isinstance(value, str):
            return value or "-"
        if self.digits is not None:
            return f"{value:,.{self.digits}f}"
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}"


@dataclass
class Table:
    """Rows of cells under columns, with lines below."""

    title: str
    columns: list[Column]
    rows: list[list[Cell]]
    notes: list[str] = field(default_factory=list)

    def cells(self) -> list[list[str]]:
        """Headings and rows as text."""
        heads = [column.heading for column in self.columns]
        rows = [[c.words(v) for c, v in zip(self.columns, row, strict=True)] for row in self.rows]
        return [heads, *rows]

    def text(self) -> str:
        """Aligned columns for a terminal or a log."""
        cells = self.cells()
        widths = [max(len(row[i]) for row in cells) for i in range(len(self.columns))]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
            for row in cells
        ]
        rule = "  ".join("-" * w for w in widths)
        return "\n".join([self.title, lines[0], rule, *lines[1:], *self.notes])

    def markdown(self) -> str:
        """A markdown table."""
        head, *rows = self.cells()
        lines = ["| " + " | ".join(row) + " |" for row in (head, ["---", *["---:"] * (len(head) - 1)], *rows)]
        notes = [f"\n{note}" for note in self.notes]
        return "\n".join([f"**{self.title}**", "", *lines, *notes])


@dataclass
class Goal:
    """A number that the project wants to reach; `below` says on which side."""

    name: str
    unit: str
    limit: float
    measured: float | None
    below: bool = True

    @property
    def met(self) -> bool | None:
        """Whether it is reached; None if it was not measured."""
        if self.measured is None:
            return None
        return self.measured <= self.limit if self.below else self.measured >= self.limit


@dataclass
class Result:
    """What one part of the bench has measured: `rows` for programs, `tables` for people."""

    rows: list[dict[str, Any]]
    tables: list[Table]
    goals: list[Goal] = field(default_factory=list)

    def to_plain(self) -> dict[str, Any]:
        """As JSON values: rows as they are, goals with their verdict."""
        goals = [asdict(goal) | {"met": goal.met} for goal in self.goals]
        return {"rows": self.rows, "notes": [n for t in self.tables for n in t.notes], "goals": goals}


def goals_table(results: Sequence[Result]) -> Table:
    """All goals in one table."""
    words = {True: "met", False: "NOT MET", None: "not measured"}
    columns = [Column("goal"), Column("wanted"), Column("measured"), Column("unit"), Column("verdict")]
    number = Column("")
    rows: list[list[Cell]] = [
        [g.name, f"{'<=' if g.below else '>='} {g.limit:,g}", number.words(g.measured), g.unit, words[g.met]]
        for result in results
        for g in result.goals
    ]
    return Table("Goals", columns, rows)


def ratio(ours: float | None, theirs: float | None) -> float | None:
    """ours / theirs, or None if either is missing."""
    return ours / theirs if ours and theirs else None
