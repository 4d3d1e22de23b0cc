"""Credit of a durable edge between hosts, by the way that acknowledgements measure."""

from __future__ import annotations

import itertools

import pytest

from semstream.runtime.durable import pace
from semstream.runtime.durable.pace import ASK_NS, Pace

MS = 1_000_000


def test_the_credit_grows_to_what_the_way_needs_and_is_taken_back_from_what_is_owed_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = itertools.count(10**12, 40 * MS)  # a frame each 40 ms
    now = [0]

    def at() -> int:
        return now[0]

    monkeypatch.setattr(pace.time, "monotonic_ns", at)
    mine, given = Pace(2), 2
    for _ in range(60):
        now[0] = next(clock)
        mine.on_frame(30_000)
        assert mine.question() == {"now": now[0]}
        mine.on_answer(now[0] - 100 * MS)
        given += mine.more(owed=1)
    assert mine.credit == given == 2 * 100 / 40 + 1
    for _ in range(60):
        now[0] += 400 * MS
        mine.on_answer(now[0] - MS)
        before = mine.credit
        assert mine.more(owed=1) >= -1
        assert mine.credit >= before - 1
    assert mine.credit == 2


def test_it_asks_now_and_then_and_takes_no_time_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [10**12]
    monkeypatch.setattr(pace.time, "monotonic_ns", lambda: now[0])
    mine = Pace(2)
    assert mine.question()
    assert not mine.question()
    now[0] += ASK_NS
    assert mine.question()
    for odd in (None, "x", -5, True, now[0] + 1):
        mine.on_answer(odd)
    assert mine.more(owed=1) == 0
