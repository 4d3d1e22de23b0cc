"""The journal of a run by itself: what is written is there, a torn end is cut, what is forgotten goes."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import msgpack
import pytest

from semstream.runtime import Flowgraph
from semstream.runtime.durable import journal as journal_module
from semstream.runtime.durable.account import Account
from semstream.runtime.durable.journal import Journal, StateError
from semstream.runtime.durable.state import StateFolder, difference, holds_run
from semstream.runtime.frames.chunks import as_chunk
from semstream.runtime.records import CHUNK, KEPT, Records

FACTS = {"v": 1, "run": "r", "graph": {}}


def begun(folder: Path) -> Journal:
    journal = Journal(folder)
    journal.begin(FACTS)
    return journal


def read(folder: Path) -> tuple[Journal, dict[str, Records], int]:
    journal, records = Journal(folder), {"a": Records("a"), "b": Records("b")}
    cut = journal.read(records)
    return journal, records, cut


def record(seq: int, place: int = 0, stream: str = "frame main", block: str = "a") -> tuple[Any, ...]:
    return "record", block, [stream, seq, place], {"seq": seq, "place": place}


def test_what_was_noted_is_there_and_nothing_before_it_was_flushed(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    for entry in (record(0), record(1, block="b"), ("life", "a"), ("life", "a"), ("upstream", "a", "in")):
        journal.add(*entry)
    journal.add("set", "a", {"gain": 2.0, "name": "x"})
    journal.flush({})
    journal.add(*record(2))
    again, records, cut = read(tmp_path)
    assert again.facts == FACTS
    assert cut == 0
    assert (records["a"], records["b"]) == ([{"seq": 0, "place": 0}], [{"seq": 1, "place": 0}])
    assert again.account.lives == {"a": 2}
    assert again.account.upstream == {"a": ("in",)}
    assert again.account.live == {"a": {"gain": 2.0, "name": "x"}}
    assert list(again.account.known["a", "frame main", 0]) == [(0, 0)]


def test_wherever_it_is_cut_what_was_whole_is_read_and_it_goes_on_there(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    ends = [(tmp_path / "journal.0").stat().st_size]
    for seq in range(4):
        journal.add(*record(seq))
        journal.flush({})
        ends.append((tmp_path / "journal.0").stat().st_size)
    data = (tmp_path / "journal.0").read_bytes()
    for size in range(ends[0], ends[-1] + 1):
        (tmp_path / "journal.0").write_bytes(data[:size])
        again, records, cut = read(tmp_path)
        whole = max(i for i, end in enumerate(ends) if end <= size)
        assert [kept["seq"] for kept in records["a"]] == list(range(whole))
        assert cut == size - ends[whole]
        again.add(*record(9))
        again.flush(records)
        assert [kept["seq"] for kept in read(tmp_path)[1]["a"]] == [*range(whole), 9]


def test_files_whose_records_are_forgotten_are_removed_and_the_rest_knows_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "FILE_BYTES", 20_000)
    journal, records = begun(tmp_path), {"a": Records("a"), "b": Records("b")}
    count = KEPT + 4 * CHUNK
    for seq in range(count):
        journal.add(*record(seq))
        records["a"].append({"seq": seq, "place": 0})
        journal.flush(records)
    assert len(Journal.numbers(tmp_path)) > 4
    assert len(read(tmp_path)[1]["a"]) == count
    records["a"].forget(count - 100)
    forgotten = records["a"].forgotten
    assert forgotten >= count - KEPT - CHUNK
    size = len(Journal.numbers(tmp_path))
    while len(Journal.numbers(tmp_path)) >= size:
        journal.add(*record(count))
        records["a"].append({"seq": count, "place": 0})
        journal.flush(records)
        count += 1
    again, kept, _ = read(tmp_path)
    assert 0 < kept["a"].forgotten <= forgotten
    assert kept["a"].published == count
    assert [number for number, entry in kept["a"].since(0) if entry["seq"] != number] == []
    assert list(again.account.known["a", "frame main", 0]) == [(0, count - 1)]


def test_damage_before_the_last_file_ends_it_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "FILE_BYTES", 100)
    journal = begun(tmp_path)
    for seq in range(9):
        journal.add(*record(seq))
        journal.flush({"a": Records()})
    first = tmp_path / "journal.0"
    first.write_bytes(first.read_bytes()[:-1])
    with pytest.raises(StateError, match=r"journal\.0 is damaged after byte .* remove the folder to begin anew"):
        read(tmp_path)


@pytest.mark.parametrize("entries", [7, {}, [7], [[]], [["record"]], [["record", "a", 7, {}]], [["set", 1]]])
def test_whole_entries_of_another_form_are_damage_not_a_crash(tmp_path: Path, entries: Any) -> None:
    begun(tmp_path).close()
    path = tmp_path / "journal.0"
    path.write_bytes(path.read_bytes() + as_chunk(b"ENTR", msgpack.packb(entries)))
    with pytest.raises(StateError, match=r"journal\.0 is damaged though its checksums are right"):
        read(tmp_path)


@pytest.mark.parametrize("account", [None, {}, {"known": 3}])
def test_a_head_of_another_form_is_damage_and_its_facts_can_still_be_asked_for(tmp_path: Path, account: Any) -> None:
    head = msgpack.packb({"facts": {"v": 99}, "account": account})
    (tmp_path / "journal.0").write_bytes(journal_module.MAGIC + as_chunk(b"HEAD", head))
    assert Journal(tmp_path).head() == {"v": 99}
    with pytest.raises(StateError, match="damaged"):
        read(tmp_path)


def test_what_a_node_says_in_stop_counts_once_it_has_ended() -> None:
    account = Account()
    assert account.take(record(0, 0, "stop a")) == []
    assert account.take(("owner",)) == []
    assert ("a", "stop a", 0) not in account.known
    for place in (1, 0):
        account.take(("record", "a", ["stop a", 0, place], {"words": place}))
    account = Account.from_plain(account.to_plain())
    assert account.take(("ended", "a")) == [("a", {"words": 0}), ("a", {"words": 1})]
    account.take(("owner",))
    assert ("a", "stop a", 0) in account.known
    assert (account.finished, account.owners, account.counts) == (["a"], 2, {"a": 2})


def test_a_folder_is_free_only_once_the_threads_that_were_left_have_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from semstream.runtime.durable import state

    monkeypatch.setattr(state, "CHILDREN_S", 0.05)
    graph, end = Flowgraph("x"), threading.Event()
    first = StateFolder(tmp_path / "state", graph, {})
    busy = threading.Thread(target=end.wait)
    busy.start()
    first.close([busy])
    with pytest.raises(StateError, match="still in use"):
        StateFolder(tmp_path / "state", graph, {})
    end.set()
    monkeypatch.setattr(state, "CHILDREN_S", 30.0)
    second = StateFolder(tmp_path / "state", graph, {})
    assert second.goes_on
    assert second.run == first.run
    with pytest.raises(StateError, match="in use by another program"):
        first.discard()
    second.close()
    second.discard()
    assert not holds_run(tmp_path / "state")


def test_what_differs_is_named() -> None:
    assert difference({"a": {"b": float("nan")}}, {"a": {"b": float("nan")}}) == ""
    assert difference({"a": {"b": 1}}, {"a": {"b": 2}}) == "a b is 1 there and 2 here"
    assert difference({"a": {}}, {}) == "a is there alone"
