"""Progress of what takes long: a bar in a terminal, now and then a line anywhere else. Imports no other room."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

SHARE, QUIET_S, SILENT_S = 0.1, 10.0, 60.0
"""In a log: a line each tenth of the whole, never two within 10 s, and one a minute where a tenth takes longer."""


class Progress:
    """How far a piece of work is.

    Parameters
    ----------
    unit
        What is counted, in the plural.
    total
        How many there are in all; None if that is not known.
    done
        How many were done before.
    quiet
        Show nothing.
    console
        Where to; default: standard error.
    embedded
        In a terminal somebody else draws the bar, by `renderable`.
    clock
        Seconds, ever growing.

    Usage
    -----
    ``with Progress("pictures", 500) as progress: progress.advance(8, "AWGN, 7 dB")``
    """

    def __init__(
        self,
        unit: str,
        total: int | None = None,
        *,
        done: int = 0,
        quiet: bool = False,
        console: Console | None = None,
        embedded: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.unit, self.total, self.done, self.text = unit, total, done, ""
        self._clock, self._begun, self._before = clock, clock(), done
        self._told, self._told_done = self._begun, done
        self._file: TextIO = sys.stderr if console is None else console.file  # type: ignore[assignment]
        self._quiet, self._embedded = quiet, embedded
        terminal = self._file.isatty() if console is None else console.is_terminal
        self._bar = _bar(unit, total, done, console) if terminal and not quiet else None

    def __enter__(self) -> Self:
        if self._bar is not None and not self._embedded:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif not self._quiet and self.done != self._told_done:
            self._tell()

    def advance(self, count: int = 1, text: str | None = None) -> None:
        """So many more are done; `text` says what is being done, or how well it goes."""
        self.done += count
        self.text = self.text if text is None else text
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self.done, description=self.text)
            return
        since = self._clock() - self._told
        further = self.total and self.done - self._told_done >= SHARE * self.total
        if not self._quiet and ((further and since >= QUIET_S) or since >= SILENT_S):
            self._tell()

    def note(self, line: str) -> None:
        """Write a line that stays."""
        if self._bar is not None:
            self._bar.console.print(line, highlight=False, markup=False)
        elif not self._quiet:
            print(line, file=self._file, flush=True)

    @property
    def renderable(self) -> RenderableType:
        """The bar, to be drawn by somebody else; empty where there is none."""
        return self._bar.get_renderable() if self._bar is not None else ""

    def line(self) -> str:
        """How far it is, in words: ``awgn 7 dB: 120 of 500 pictures (24 %), 3.4/s, 1:52 left``."""
        seconds = max(self._clock() - self._begun, 1e-9)
        rate = (self.done - self._before) / seconds
        words = f"{self.done} {self.unit}"
        if self.total:
            words = f"{self.done} of {self.total} {self.unit} ({self.done / self.total:.0%})"
        words += f", {rate:.1f}/s, {_clock_time(seconds)}"
        if self.total and rate > 0 and self.done < self.total:
            words += f", {_clock_time((self.total - self.done) / rate)} left"
        return f"{self.text}: {words}" if self.text else words

    def _tell(self) -> None:
        self._told, self._told_done = self._clock(), self.done
        print(self.line(), file=self._file, flush=True)


def _clock_time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _bar(unit: str, total: int | None, done: int, console: Console | None) -> _Bar:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TextColumn(unit),
        TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    bar = Bar(*columns, console=console or Console(stderr=True))
    bar.add_task("", total=total or None, completed=done)
    return bar


if TYPE_CHECKING:
    from rich.progress import Progress as _Bar
