"""Journal: what the owner of a run has counted and must not forget, in files that outlive it.

    run/journal.0, journal.1, ...    magic | header | entries | entries | ...

Header and entries are chunks (`semstream.runtime.frames.chunks`). What the owner notes between two looks at its nodes
goes out as one chunk, with one write, before anything of it is acknowledged. A write is not followed by fsync: what was
written is there when the process is killed, and perhaps not when the machine loses power. Each file's header says what
those before it come to, so that the oldest can be removed once the run has forgotten their records.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import msgpack

from semstream.runtime.durable.account import Account, Entry
from semstream.runtime.errors import FlowgraphError
from semstream.runtime.frames.chunks import as_chunk, read_chunk
from semstream.runtime.records import Records

MAGIC = b"SEMJRNL1"
FILE_BYTES = 2**26
_THOUGH_WHOLE = "though its checksums are right"
_OTHER_FORM = (KeyError, IndexError, TypeError, ValueError, AttributeError)


class StateError(FlowgraphError):
    """A state folder that cannot be used: names it, what is the matter, and the way out."""


class Journal:
    """Of one run.

    Parameters
    ----------
    folder
        Where its files are.

    Attributes
    ----------
    facts : dict
        What was said of the run when it began.
    account : Account
        What all entries come to.
    """

    def __init__(self, folder: Path) -> None:
        self.facts: dict[str, Any] = {}
        self.account = Account()
        self._folder = folder
        self._files: list[tuple[int, dict[str, int]]] = []
        """Number of each file, and how many records of each block come before it."""
        self._file: BinaryIO | None = None
        self._entries: list[Entry] = []
        self._size = 0

    @staticmethod
    def numbers(folder: Path) -> list[int]:
        """Numbers of the files that are there."""
        names = (path.suffix[1:] for path in folder.glob("journal.*"))
        return sorted(int(name) for name in names if name.isdigit())

    def begin(self, facts: dict[str, Any]) -> None:
        """Make the first file.

        Raises
        ------
        StateError
            If it cannot be written.
        """
        self.facts = facts
        self._next_file()

    def read(self, records: Mapping[str, Records]) -> int:
        """Take in what is there; what comes after the last whole entry is cut off.

        Parameters
        ----------
        records
            By block; get what was published.

        Returns
        -------
        int
            Bytes that were cut off.

        Raises
        ------
        StateError
            If it cannot be read, or is damaged before its last file.
        """
        numbers = self.numbers(self._folder)
        cut = 0
        for number in numbers:
            path = self._path(number)
            try:
                with path.open("rb") as file:
                    size = os.fstat(file.fileno()).st_size
                    self._read_head(file, path, size, first=number == numbers[0])
                    if number == numbers[0]:
                        for block in self.account.counts.keys() & records.keys():
                            records[block].begin_at(self.account.counts[block])
                    self._files.append((number, dict(self.account.counts)))
                    end = self._start
                    while (found := read_chunk(file, end, size)) is not None and found[0] == b"ENTR":
                        entries = _unpacked(found[1], path)
                        if not isinstance(entries, list):
                            raise _damaged(path, _THOUGH_WHOLE)
                        for entry in entries:
                            self._take(entry, records, path)
                        end = found[2]
                if end < size and number != numbers[-1]:
                    raise _damaged(path, f"after byte {end} of {size}")
                if number == numbers[-1]:
                    cut = size - end
                    self._file = path.open("r+b", buffering=0)
                    self._file.truncate(end)
                    self._file.seek(end)
                    self._size = end
            except OSError as error:
                raise StateError(f"state folder: {path} cannot be read ({error.strerror or error})") from None
        return cut

    def head(self) -> dict[str, Any]:
        """The facts, without anything else being read.

        Raises
        ------
        StateError
            If they cannot be read.
        """
        path = self._path(self.numbers(self._folder)[0])
        try:
            with path.open("rb") as file:
                self._read_head(
                    file, path, os.fstat(file.fileno()).st_size, first=False
                )  # another version's may differ
        except OSError as error:
            raise StateError(f"state folder: {path} cannot be read ({error.strerror or error})") from None
        return self.facts

    def add(self, *entry: Any) -> None:
        """Note something, which `flush` writes."""
        self._entries.append(entry)
        self.account.take(entry)

    def flush(self, records: Mapping[str, Records]) -> None:
        """Write what was noted; it is there when this returns, whatever happens to this process.

        Parameters
        ----------
        records
            By block; what they have forgotten need not be kept.

        Raises
        ------
        StateError
            If there is no room; what was written before stays.
        """
        if not self._entries:
            return
        entries, self._entries = self._entries, []
        self._write(as_chunk(b"ENTR", msgpack.packb(entries, use_bin_type=True)))
        if self._size > FILE_BYTES:
            self._next_file()
            self._remove_old(records)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    # -- files -----------------------------------------------------------------------------------------------------

    def _path(self, number: int) -> Path:
        return self._folder / f"journal.{number}"

    def _read_head(self, file: BinaryIO, path: Path, size: int, first: bool) -> None:
        magic = file.read(len(MAGIC))
        if magic != MAGIC:
            other = magic[:7] == MAGIC[:7] and len(magic) == len(MAGIC)
            why = (
                "it was written by another version of semstream: finish the run with that one"
                if other
                else ("it is no journal of semstream")
            )
            raise StateError(f"state folder: {path} cannot be read ({why}, or remove the folder to begin anew)")
        found = read_chunk(file, len(MAGIC), size)
        if found is None or found[0] != b"HEAD":
            raise _damaged(path, "in its header")
        self._start = found[2]
        head = _unpacked(found[1], path)
        try:
            self.facts = dict(head["facts"])
            if first:
                self.account = Account.from_plain(head["account"])
        except _OTHER_FORM:
            raise _damaged(path, _THOUGH_WHOLE) from None

    def _take(self, entry: Entry, records: Mapping[str, Records], path: Path) -> None:
        try:
            certain = self.account.take(entry)
        except _OTHER_FORM:
            raise _damaged(path, _THOUGH_WHOLE) from None
        for block, record in certain:
            if block in records:
                records[block].append(record)

    def _next_file(self) -> None:
        """Begin a file, which is there with its whole header or not at all."""
        number = self._files[-1][0] + 1 if self._files else 0
        path = self._path(number)
        head = msgpack.packb({"facts": self.facts, "account": self.account.to_plain()}, use_bin_type=True)
        data = MAGIC + as_chunk(b"HEAD", head)
        part = path.with_suffix(".part")
        try:
            part.write_bytes(data)
            file = part.open("r+b", buffering=0)
            os.replace(part, path)
        except OSError as error:
            raise self._full(error) from None
        self.close()
        file.seek(len(data))
        self._file, self._size = file, len(data)
        self._files.append((number, dict(self.account.counts)))

    def _remove_old(self, records: Mapping[str, Records]) -> None:
        """Remove files whose records are all forgotten."""
        while len(self._files) > 1:
            before_next = self._files[1][1]
            if any(block not in records or records[block].forgotten < n for block, n in before_next.items()):
                return
            self._path(self._files.pop(0)[0]).unlink(missing_ok=True)

    def _write(self, data: bytes) -> None:
        assert self._file is not None
        try:
            if self._file.write(data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise self._full(error) from None
        self._size += len(data)

    def _full(self, error: OSError) -> StateError:
        return StateError(
            f"the journal of the run cannot be written to {self._folder} ({error.strerror or error}); nothing that was "
            "acknowledged is lost: free some space there and start again, and the run goes on"
        )


def _unpacked(body: bytes, path: Path) -> Any:
    try:
        return msgpack.unpackb(body, raw=False, strict_map_key=False)
    except (ValueError, msgpack.UnpackException):
        raise _damaged(path, _THOUGH_WHOLE) from None


def _damaged(path: Path, where: str) -> StateError:
    return StateError(
        f"state folder: {path} is damaged {where}, and with it the run cannot go on; remove the folder to begin anew"
    )
