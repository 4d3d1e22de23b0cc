"""StateFolder: where a run keeps what must outlive the program that has started it, for one program at a time.

FOLDER/lock       held by the program that runs it
FOLDER/children   held by that program and by all its processes: who gets it knows that they are gone
FOLDER/run/       journal, snapshots, rings; renamed before it is removed, so that it is whole or not there
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from semstream.runtime.durable.journal import Journal, StateError
from semstream.runtime.graph.graph import Graph
from semstream.runtime.graph.guard import Standing
from semstream.runtime.records import Records

VERSION = 1
"""Of all that is in the folder; another one is refused."""
CHILDREN_S = 10.0
"""How long the processes of a program that has died may take to end."""
PAUSE_S = 0.02
LOG = logging.getLogger("semstream")


class StateFolder:
    """Held from here until `close`.

    Parameters
    ----------
    path
        The folder; made if it is not there.
    graph
        What is to run.
    records
        By block; get what was published before.

    Attributes
    ----------
    journal : Journal
        What the owner notes.
    run : str
        Name of the run, the same whoever takes it up.
    goes_on : bool
        Whether there was a run, which goes on.

    Raises
    ------
    StateError
        If another program has it, it holds the run of another graph, or it cannot be read or written.
    """

    def __init__(self, path: str | Path, graph: Graph, records: Mapping[str, Records]) -> None:
        self.path = Path(path).expanduser().absolute()
        self._run = self.path / "run"
        self._locks: list[int] = []
        self._what = description(graph)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock()
            self._await_children()
            for old in self.path.glob("old-*"):
                shutil.rmtree(old, ignore_errors=True)
            self.journal = Journal(self._run)
            self.goes_on = holds_run(self.path)
            if self.goes_on:
                self._take_up(records)
            else:
                self._run.mkdir(0o700, exist_ok=True)
                self.run = f"run-{secrets.token_hex(6)}"
                self.journal.begin({"v": VERSION, "run": self.run, "graph": self._what})
            self.journal.add("owner")
            self.journal.flush(records)
        except OSError as error:
            self.close()
            raise StateError(
                f"state folder {self.path} cannot be used ({error.strerror or error}); give another one"
            ) from None
        except BaseException:
            self.close()
            raise

    @property
    def standing(self) -> Standing:
        """What the nodes must know."""
        account = self.journal.account
        return Standing(
            self.run, str(self._run), dict(account.lives), tuple(account.finished), dict(account.upstream),
            tuple(self._locks[1:]),
        )  # fmt: skip

    def is_for(self, graph: Graph) -> bool:
        """Whether a run of this graph would go on here."""
        return self._what == description(graph)

    def close(self, left: Iterable[threading.Thread] = ()) -> None:
        """Let others have it.

        Parameters
        ----------
        left
            Threads of the run that could not be ended: nobody else gets it before they have.
        """
        if hasattr(self, "journal"):
            self.journal.close()
        locks, self._locks = self._locks, []
        left = [thread for thread in left if thread.is_alive()]
        for lock in locks[: 1 if left else None]:
            os.close(lock)
        if left and len(locks) > 1:
            threading.Thread(target=_close_after, args=(left, locks[1]), name="semstream state", daemon=True).start()

    def discard(self) -> None:
        """Remove the run, after `close`: the next one begins anew.

        Raises
        ------
        StateError
            If another program has it.
        """
        try:
            self._lock()
            with contextlib.suppress(IndexError, StateError):
                if Journal(self._run).head()["run"] != self.run:
                    return
            remove_run(self.path)
        except OSError as error:
            raise StateError(f"state folder {self.path} cannot be removed ({error.strerror or error})") from None
        finally:
            self.close()

    def _lock(self) -> None:
        import fcntl  # not everywhere

        lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._locks = [lock]
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = os.pread(lock, 100, 0).decode(errors="replace").strip()
            raise StateError(
                f"state folder {self.path} is in use by another program ({who or 'unnamed'}); stop that one, or give "
                "this one a folder of its own"
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"process {os.getpid()}".encode(), 0)

    def _await_children(self) -> None:
        import fcntl

        lock = os.open(self.path / "children", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._locks.append(lock)
        until = time.monotonic() + CHILDREN_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > until:
                    raise StateError(
                        f"state folder {self.path} is still in use by processes of a program that has ended, after "
                        f"{CHILDREN_S:g} s; end them (fuser {self.path / 'children'}), and start again"
                    ) from None
            time.sleep(PAUSE_S)

    def _take_up(self, records: Mapping[str, Records]) -> None:
        facts = self.journal.head()
        if facts.get("v") != VERSION:
            raise StateError(
                f"state folder {self.path} was written by another version of semstream (form {facts.get('v')!r}, here "
                f"{VERSION}); finish the run with that one, or remove the folder to begin anew"
            )
        there = difference(facts["graph"], self._what)
        if there:
            raise StateError(
                f"state folder {self.path} holds a run of another flowgraph, or of other settings: {there}; start it "
                "as it was started, give another folder, or remove that one to begin anew"
            )
        self.run = facts["run"]
        cut = self.journal.read(records)
        if cut:
            LOG.warning(
                "state folder %s: the last %d bytes of its journal were not whole and are cut off", self.path, cut
            )


def holds_run(path: str | Path) -> bool:
    """Whether a folder holds a run that would go on."""
    return bool(Journal.numbers(Path(path).expanduser() / "run"))


def remove_run(path: Path) -> None:
    """Remove the run in a folder: at once or not at all, whenever this process dies."""
    old = path / f"old-{secrets.token_hex(6)}"
    with contextlib.suppress(FileNotFoundError):
        os.rename(path / "run", old)
        shutil.rmtree(old, ignore_errors=True)


def description(graph: Graph) -> dict[str, Any]:
    """What makes a run what it is, as plain values. Blocks that only look on (probes) and hosts' addresses do not."""
    kept = {end.block.name for edge in graph.edges if edge.policy == "block" for end in edge.ends}
    blocks = {
        name: {
            "class": type(block).__qualname__,
            "settings": json.loads(json.dumps(block.settings.model_dump(), default=str)),
            "replicas": graph.replicas[name],
        }
        for name, block in graph.blocks.items()
        if block.outputs or name in kept
    }
    edges = [edge for edge in graph.edges if all(end.block.name in blocks for end in edge.ends)]
    return {
        "name": graph.name,
        "seed": graph.seed,
        "durable": graph.durable,
        "blocks": blocks,
        "edges": {edge.name: f"{edge.policy}{', durable' if edge.durable else ''}" for edge in edges},
    }


def difference(there: Any, here: Any, place: str = "") -> str:
    """The first thing in which two descriptions differ, in words; empty if there is none."""
    if isinstance(there, dict) and isinstance(here, dict):
        for name in [*there, *(name for name in here if name not in there)]:
            at = f"{place} {name}" if place else str(name)
            if name not in here or name not in there:
                return f"{at} is {'there' if name in there else 'here'} alone"
            if found := difference(there[name], here[name], at):
                return found
        return ""
    same = there == here or (there != there and here != here)  # NaN is as it was
    return "" if same else f"{place} is {there!r:.100} there and {here!r:.100} here"


def _close_after(threads: list[threading.Thread], lock: int) -> None:
    for thread in threads:
        thread.join()
    os.close(lock)
