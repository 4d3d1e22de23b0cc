"""JournaledConductor: an owner whose run goes on when it has died itself. It notes what it counts, then says so."""

from __future__ import annotations

import logging
from typing import Any

from semstream.runtime.durable.journal import StateError
from semstream.runtime.durable.state import StateFolder
from semstream.runtime.engines.engine import RenewingEngine
from semstream.runtime.engines.guarded_conductor import GuardedConductor

LOG = logging.getLogger("semstream")


class JournaledConductor(GuardedConductor):
    """Of a run with a state folder. A stop lets nothing drain: what is under way comes again when the run goes on.

    Parameters
    ----------
    *arguments
        Of a `GuardedConductor`.
    state
        Held until the run has ended.
    """

    stop_by = "halt"

    def __init__(self, *arguments: Any, state: StateFolder) -> None:
        super().__init__(*arguments)
        account = state.journal.account
        self._folder = state
        self._journal = state.journal
        self._full = False
        self._counted: list[tuple[str, dict[str, Any]]] = []
        """Records that are known once they are in the journal."""
        self._natural: set[str] = set()
        """Nodes that are done since their stream has ended, not since they were stopped."""
        self._known = account.known
        self._upstream = dict(account.upstream)
        self._live = {block: dict(values) for block, values in account.live.items() if block in self.records}
        self._given = {block: records.published for block, records in self.records.items()}
        for node, state_of in self._state.items():
            assert state_of == "starting"
            lives = account.lives.get(node, 0)
            if node in account.finished:
                self._state[node] = "ended"
                self._finished.append(node)
            elif lives and account.owners > 1:
                again = {"restarts": {"the program that had started it ended": account.owners - 1}}
                self._past_lives[self._block_of[node]].append(again)

        if all(state_of == "ended" for state_of in self._state.values()):
            LOG.warning(
                "flowgraph %r: its run in state folder %s has ended already; its records are there again. To begin "
                "anew, remove the folder (Run.discard_state does)", self.plan.graph.name, state.path,
            )  # fmt: skip

    def _on_message(self, node: str, message: dict[str, Any]) -> None:
        op, block = message["op"], self._block_of[node]
        if op == "ended":
            self._natural.add(node)
            return
        if op == "ready":
            self._journal.add("life", node)
            if not self._went_at and block in self._live:
                self._tell(node, {"op": "set", "id": -1, "values": self._live[block]})
        elif op == "upstream":
            self._journal.add("upstream", node, message["port"])
        elif op == "ack" and not message["error"] and message["id"] in self._requests:
            self._journal.add("set", block, self._requests[message["id"]].values)
        super()._on_message(node, message)

    def _has_ended(self, node: str) -> bool:
        if node in self._natural:
            self._journal.add("ended", node)
        return node in self._natural

    def _count(self, block: str, message: dict[str, Any]) -> None:
        self._journal.add("record", block, message.get("key"), message["record"])
        self._counted.append((block, message))

    def _step(self) -> None:
        counted, self._counted = self._counted, []
        if not self._full:
            try:
                self._journal.flush(self.records)
            except StateError as error:
                self._full = True
                self.fail(f"flowgraph {self.plan.graph.name!r}: {error}")
        if self._full:
            self._owed.clear()  # what is not in the journal is not acknowledged
        else:
            for block, message in counted:
                super()._count(block, message)
        super()._step()

    def _let_go(self) -> None:
        assert isinstance(self.engine, RenewingEngine)
        self._folder.close(self.engine.left())
