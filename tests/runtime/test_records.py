"""Records of a run read as a list does, however many there are, and those of an endless run do not fill the memory."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runtime_blocks import Collect, Ramp, Scale, seqs
from test_flowgraph import wait_for

from semstream.runtime import Flowgraph
from semstream.runtime import records as module
from semstream.runtime.records import CHUNK, KEPT, Records

MANY = KEPT + 3 * CHUNK + 7


def filled(count: int, block: str = "sink") -> Records:
    records = Records(block)
    for seq in range(count):
        records.append(record(seq))
    return records


def record(seq: int) -> dict[str, Any]:
    return {"seq": seq, "snr_db": float("inf"), "name": "é", "none": None, "list": [seq, {"b": b"\x00"}], "yes": True}


@pytest.mark.parametrize("count", [0, 1, KEPT, KEPT + CHUNK - 1, KEPT + CHUNK, MANY])
def test_they_are_what_was_appended_in_order(count: int) -> None:
    records, expected = filled(count), [record(seq) for seq in range(count)]
    assert list(records) == expected
    assert records == expected
    assert expected == records
    assert records != [*expected, record(9)]
    assert len(records) == records.published == count
    assert records[:] == expected
    assert bool(records) == bool(expected)
    assert repr(filled(2)) == repr(expected[:2] if count > 1 else [record(0), record(1)])


@given(st.integers(-MANY - 5, MANY + 5), st.slices(MANY))
def test_indices_and_slices_are_those_of_a_list(index: int, part: slice) -> None:
    records, expected = LONG, SEQS
    assert [r["seq"] for r in records[part]] == expected[part]
    try:
        want = expected[index]
    except IndexError:
        with pytest.raises(IndexError):
            records[index]
    else:
        assert records[index]["seq"] == want


LONG, SEQS = filled(MANY), list(range(MANY))


def test_only_the_newest_stay_in_memory_and_no_file_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    records = filled(10 * KEPT)
    assert len(records._newest) < KEPT + CHUNK
    assert list(tmp_path.iterdir()) == []
    assert seqs(records) == list(range(10 * KEPT))


def test_they_are_followed_while_they_are_made() -> None:
    records, seen = Records(), []
    maker = threading.Thread(target=lambda: [records.append({"seq": seq}) for seq in range(MANY)])
    maker.start()
    while len(seen) < MANY:
        seen += [number for number, _ in records.since(len(seen))]
    maker.join()
    assert seen == list(range(MANY))
    assert [(n, r["seq"]) for n, r in records.since(MANY - 2)] == [(MANY - 2, MANY - 2), (MANY - 1, MANY - 1)]


def test_where_no_file_can_be_made_nothing_is_lost_and_it_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(**_: Any) -> Any:
        raise OSError(28, "No space left on device")

    real = tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    records = filled(MANY)
    assert len(records._newest) == MANY
    (said,) = [r.getMessage() for r in caplog.records]
    assert "No space left" in said
    assert "TMPDIR" in said
    monkeypatch.setattr(tempfile, "TemporaryFile", real)
    for seq in range(MANY, MANY + 8 * CHUNK):
        records.append(record(seq))
    assert seqs(records) == list(range(MANY + 8 * CHUNK))
    assert len(records._newest) < MANY


def test_beyond_their_limit_the_oldest_are_forgotten_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "FILE_BYTES", 1)
    monkeypatch.setattr(module, "MAX_FILES", 2)
    records = filled(MANY + CHUNK)
    assert records.forgotten == 2 * CHUNK
    assert records.published == MANY + CHUNK
    assert seqs(records) == list(range(2 * CHUNK, MANY + CHUNK))
    assert records[0]["seq"] == next(records.since(0))[0] == 2 * CHUNK
    assert ["oldest records are forgotten" in r.getMessage() for r in caplog.records] == [True]


@pytest.mark.parametrize("number", [0, 5, CHUNK, CHUNK + 1, MANY - 1, MANY, MANY + 9])
def test_what_was_taken_can_be_let_go(number: int) -> None:
    records = filled(MANY)
    records.forget(number)
    kept = seqs(records)
    assert kept == list(range(records.forgotten, MANY))
    assert number - CHUNK < records.forgotten <= number
    for seq in range(MANY, 2 * MANY):
        records.append(record(seq))
        if seq % 100 == 0:
            records.forget(seq - 3)
    assert seqs(records)[-4:] == list(range(2 * MANY - 4, 2 * MANY))
    assert [n for n, _ in records.since(0)] == seqs(records)


def test_a_run_of_many_records_gives_them_all() -> None:
    graph = Flowgraph("many")
    graph.connect(Ramp(count=MANY), Collect(), credit=64)
    assert seqs(graph.run(timeout=60).records["collect"]) == list(range(MANY))


def test_an_on_record_that_is_far_behind_still_gets_every_record_in_order() -> None:
    graph = Flowgraph("behind")
    graph.connect(Ramp(count=MANY), Collect(), credit=64)
    all_there, seen = threading.Event(), []

    def behind(block: str, given: dict[str, Any]) -> None:
        all_there.wait(60)
        seen.append((block, given["seq"]))

    run = graph.start(on_record=behind)
    wait_for(lambda: len(run.records["collect"]) == MANY)
    all_there.set()
    run.wait(60)
    assert seen == [("collect", seq) for seq in range(MANY)]


def test_what_was_asked_of_a_run_is_let_go_once_it_is_done() -> None:
    graph = Flowgraph("asked")
    graph.connect(Ramp(count=10**9), Scale(), Collect())
    with graph.start() as run:
        for gain in range(10):
            run.set("scale", gain=float(gain))
        assert run._conductor._requests == {}


def test_what_was_read_can_be_let_go_of() -> None:
    records = Records("one")
    for i in range(KEPT + 3 * CHUNK):
        records.append({"i": i})
    records.forget(CHUNK + 5)
    assert records.forgotten == CHUNK  # those in a file go together
    assert records[0] == {"i": CHUNK}
    records.forget(records.published)
    assert len(records) == 0
    records.append({"i": -1})
    assert list(records.since(0)) == [(KEPT + 3 * CHUNK, {"i": -1})]
    assert records.published == KEPT + 3 * CHUNK + 1
