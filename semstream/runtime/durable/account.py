"""Account: what the entries of a journal come to."""

from __future__ import annotations

from typing import Any

from semstream.runtime.edges.order import Ranges

Entry = tuple[Any, ...] | list[Any]
Place = tuple[str, str, int]


class Account:
    """What an owner knows of its run.

    Entries are ``record`` (block, key, record), ``life`` (node: its block has started), ``ended`` (node: in order),
    ``upstream`` (node, port: the stream from another flowgraph has ended), ``set`` (block, values: live settings in
    force) and ``owner`` (a program takes the run up).

    Attributes
    ----------
    known : dict of (block, stream, place) to Ranges
        Numbers of the frames whose records have come.
    counts : dict of str to int
        Records by block.
    lives : dict of str to int
        How often the block of a node has started.
    finished : list of str
        Nodes that have ended in order.
    upstream : dict of str to tuple of str
        Ports whose stream from another flowgraph has ended, by node.
    live : dict of str to dict
        Live settings that were changed, by block.
    owners : int
        Programs that have taken the run up.
    """

    def __init__(self) -> None:
        self.known: dict[Place, Ranges] = {}
        self.counts: dict[str, int] = {}
        self.lives: dict[str, int] = {}
        self.finished: list[str] = []
        self.upstream: dict[str, tuple[str, ...]] = {}
        self.live: dict[str, dict[str, Any]] = {}
        self.owners = 0
        self._last_words: dict[str, dict[int, tuple[str, Any]]] = {}
        """What nodes have published in `stop`, until they have ended: their next life says it again, or better."""

    def take(self, entry: Entry) -> list[tuple[str, Any]]:
        """Count an entry; returns (block, record) of those that are certain now."""
        op, *about = entry
        if op == "record":
            return self._record(*about)
        if op == "life":
            self.lives[about[0]] = self.lives.get(about[0], 0) + 1
        elif op == "ended":
            self.finished.append(about[0])
            words = self._last_words.pop(about[0], {})
            return [self._counted(*words[place]) for place in sorted(words)]
        elif op == "upstream":
            self.upstream[about[0]] = (*self.upstream.get(about[0], ()), about[1])
        elif op == "set":
            self.live.setdefault(about[0], {}).update(about[1])
        elif op == "owner":
            self.owners += 1
            self._last_words.clear()
            done = {f"stop {node}" for node in self.finished}
            for place in [p for p in self.known if p[1].startswith("stop ") and p[1] not in done]:
                del self.known[place]
        return []

    def _record(self, block: str, key: Any, record: Any) -> list[tuple[str, Any]]:
        if key is not None:
            stream, seq, place = key
            self.known.setdefault((block, stream, place), Ranges()).add(seq, seq)
            if stream.startswith("stop "):
                self._last_words.setdefault(stream.removeprefix("stop "), {})[place] = block, record
                return []
        return [self._counted(block, record)]

    def _counted(self, block: str, record: Any) -> tuple[str, Any]:
        self.counts[block] = self.counts.get(block, 0) + 1
        return block, record

    def to_plain(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "known": [[*place, list(ranges)] for place, ranges in self.known.items()],
            "counts": self.counts,
            "lives": self.lives,
            "finished": self.finished,
            "upstream": {node: list(ports) for node, ports in self.upstream.items()},
            "live": self.live,
            "owners": self.owners,
            "last_words": self._last_words,
        }

    @classmethod
    def from_plain(cls, value: dict[str, Any]) -> Account:
        """Inverse of `to_plain`."""
        account = cls()
        for block, stream, place, ranges in value["known"]:
            known = account.known[block, stream, place] = Ranges()
            for first, last in ranges:
                known.add(first, last)
        account.counts, account.lives, account.finished = value["counts"], value["lives"], value["finished"]
        account.upstream = {node: tuple(ports) for node, ports in value["upstream"].items()}
        account.live, account.owners = value["live"], value["owners"]
        account._last_words = {node: dict(words) for node, words in value["last_words"].items()}
        return account
