"""Progress: a bar in a terminal, few lines in a log."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from semstream.progress import Progress


class Clock:
    """Seconds, as the test says."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def log(**options: object) -> tuple[Console, Clock]:
    return Console(file=io.StringIO(), width=80, **options), Clock()  # type: ignore[arg-type]


def lines(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_quick_work_leaves_one_line_in_a_log() -> None:
    console, clock = log()
    with Progress("pictures", 500, console=console, clock=clock) as progress:
        for _ in range(500):
            clock.now += 0.01
            progress.advance(1, "awgn 7 dB")
    assert lines(console) == ["awgn 7 dB: 500 of 500 pictures (100%), 100.0/s, 0:05"]


def test_long_work_leaves_a_line_each_tenth() -> None:
    console, clock = log()
    with Progress("pictures", 1000, console=console, clock=clock) as progress:
        for _ in range(1000):
            clock.now += 0.5
            progress.advance()
    assert len(lines(console)) == 10
    assert lines(console)[0] == "100 of 1000 pictures (10%), 2.0/s, 0:50, 7:30 left"


@pytest.mark.parametrize("total", [10_000, None])
def test_work_of_hours_or_of_unknown_length_is_heard_of_each_minute(total: int | None) -> None:
    console, clock = log()
    with Progress("steps", total, console=console, clock=clock) as progress:
        for _ in range(720):
            clock.now += 10
            progress.advance()
    assert len(lines(console)) == 120
    assert "720 " in lines(console)[-1]
    assert "2:00:00" in lines(console)[-1]


def test_tenths_that_come_faster_are_told_every_ten_seconds_at_most() -> None:
    console, clock = log()
    with Progress("frames", 20, console=console, clock=clock) as progress:
        for _ in range(20):
            clock.now += 2
            progress.advance()
    assert len(lines(console)) == 4


def test_it_goes_on_from_where_it_was_and_counts_its_own_rate() -> None:
    console, clock = log()
    with Progress("steps", 200, done=100, console=console, clock=clock) as progress:
        clock.now += 10
        progress.advance(100)
    assert lines(console) == ["200 of 200 steps (100%), 10.0/s, 0:10"]


def test_work_that_fails_still_says_how_far_it_came() -> None:
    console, clock = log()
    progress = Progress("steps", 10, console=console, clock=clock)

    def work() -> None:
        with progress:
            progress.advance(3)
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert lines(console)[0].startswith("3 of 10 steps (30%)")


def test_quiet_or_nothing_to_do_writes_nothing() -> None:
    console, clock = log()
    with Progress("steps", 10, quiet=True, console=console, clock=clock) as progress:
        progress.advance(10)
        progress.note("unheard")
    with Progress("steps", 0, console=console, clock=clock):
        pass
    assert lines(console) == []


def test_a_note_stays_and_a_terminal_gets_a_bar() -> None:
    console, clock = log(force_terminal=True)
    with Progress("pictures", 4, console=console, clock=clock) as progress:
        progress.advance(4, "[bold]")
        progress.note("half [way]")
    text = "\n".join(lines(console))
    assert "half [way]" in text
    assert "4/4" in text
    assert "[bold]" in text
    assert "\x1b[" in text


def test_an_embedded_bar_is_drawn_by_somebody_else() -> None:
    console, clock = log(force_terminal=True)
    with Progress("records", 4, console=console, embedded=True, clock=clock) as progress:
        progress.advance(2)
        assert lines(console) == []
        shown = Console(file=io.StringIO(), width=80)
        shown.print(progress.renderable)
        assert "2/4" in lines(shown)[0]
