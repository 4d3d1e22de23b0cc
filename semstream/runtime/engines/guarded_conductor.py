"""GuardedConductor: a conductor that starts dead nodes again by their policies, and counts each record once."""

from __future__ import annotations

import logging
import time
from typing import Any

from semstream.runtime.edges.order import Ranges
from semstream.runtime.engines.conductor import Conductor
from semstream.runtime.engines.engine import RenewingEngine

LOG = logging.getLogger("semstream")
BACK_OFF_S = 0.05
MOST_BACK_OFF_S = 5.0
MOST_WORDS = 120
MOST_PAST = 100
"""Lives of a block whose counters are kept."""
DOWN = "down"


class GuardedConductor(Conductor):
    """Of a run in which blocks may be started again (`semstream.runtime.durable`)."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        graph = self.plan.graph
        self._policy = {name: graph.restart_of(name) for name in self.plan.nodes}
        self._limit = graph.restart_limit
        self._in_a_row = dict.fromkeys(self._state, 0)
        self._due: dict[str, float] = {}
        """When a node is to be started again."""
        self._failing: dict[str, str] = {}
        """Nodes that have failed and are about to end, and why."""
        self._finished: list[str] = []
        self._upstream: dict[str, tuple[str, ...]] = {}
        self._known: dict[tuple[str, str, int], Ranges] = {}
        """By block, stream and place: the numbers of the frames whose records have come."""
        self._owed: dict[str, int] = {}
        self._live: dict[str, dict[str, Any]] = {}
        self._past_lives: dict[str, list[dict[str, Any]]] = {name: [] for name in self.plan.nodes}

    def states(self) -> dict[str, list[dict[str, Any]]]:
        """Newest counter states of the nodes, and those of earlier lives, by block."""
        states = super().states()
        for name, past in self._past_lives.items():
            states[name] += past
        return states

    def _on_message(self, node: str, message: dict[str, Any]) -> None:
        op, block = message["op"], self._block_of[node]
        if op == "record":
            self._owed[node] = self._owed.get(node, 0) + 1
            if not self._is_new(block, message.get("key")):
                return
        elif op == "upstream":
            self._owed[node] = self._owed.get(node, 0) + 1
            self._upstream[node] = (*self._upstream.get(node, ()), message["port"])
            return
        elif op == "progress":
            self._in_a_row[node] = 0
            return
        elif op == "failed" and message.get("again") and self._may_restart(node):
            LOG.warning("block %s failed: %s", block, message["message"])
            if message["traceback"]:
                LOG.debug("%s", message["traceback"])
            self._failing[node] = message["message"].partition("\n")[0]
            return
        elif op == "failed":
            message = {**message, "message": message["message"] + self._exhausted(node)}
        elif op == "done" and node in self._failing:
            self._counters[node] = message["counters"]
            self._put_down(node, self._failing.pop(node))
            return
        elif op == "ack" and not message["error"]:
            request = self._requests.get(message["id"])
            if request is not None:
                self._live.setdefault(block, {}).update(request.values)
        super()._on_message(node, message)
        if op == "ready" and self._went_at:
            self._bring_up(node)
        elif op == "done" and self.failure is None and self._has_ended(node):
            self._finished.append(node)
            self._tell_all({"op": "finished", "node": node}, but=node)

    def _has_ended(self, node: str) -> bool:
        """Whether one that is done needs nothing more, though the run should go on."""
        return True

    def _is_new(self, block: str, key: Any) -> bool:
        if key is None:
            return True
        stream, seq, place = key
        known = self._known.setdefault((block, stream, place), Ranges())
        if seq in known:
            return False
        known.add(seq, seq)
        return True

    def _bring_up(self, node: str) -> None:
        """Tell a node that was started again what the others have been told."""
        self._tell(node, {"op": "go"})
        if self._held:
            self._tell(node, {"op": "hold", "value": True})
        if self._stopped_at:
            self._tell(node, {"op": self.stop_by})
        live = self._live.get(self._block_of[node])
        if live:
            self._tell(node, {"op": "set", "id": -1, "values": live})
        for number, request in self._requests.items():
            if node in request.waiting:
                self._tell(node, {"op": "set", "id": number, "values": request.values})

    def _on_dead(self, node: str, why: str) -> None:
        if self._state[node] in ("ended", DOWN):
            return
        for message in self._last_words(node):
            self._on_message(node, message)
        if self._state[node] in ("ended", DOWN):
            return
        if node in self._failing:
            self._put_down(node, self._failing.pop(node))
        elif self._may_restart(node):
            LOG.warning("block %s: %s", self._block_of[node], why)
            self._put_down(node, why)
        else:
            super()._on_dead(node, why + self._exhausted(node))

    def _may_restart(self, node: str) -> bool:
        policy = self._policy[self._block_of[node]]
        if policy == "never" or self._stop_asked or self.failure is not None:
            return False
        return policy == "always" or self._in_a_row[node] < self._limit

    def _exhausted(self, node: str) -> str:
        """What the message of a failure says if the node has died as often as it may."""
        row = self._in_a_row[node]
        if self._policy[self._block_of[node]] != "on_failure" or row < self._limit:
            return ""
        return f" (it was started again {row} times in a row, with nothing done in between; restart_limit={row})"

    def _put_down(self, node: str, why: str) -> None:
        """A node is dead: it, and what died with it, is started again after its back-off."""
        assert isinstance(self.engine, RenewingEngine)
        past = self._past_lives[self._block_of[node]]
        past.append({**self._counters.pop(node, {}), "restarts": {why[:MOST_WORDS]: 1}})
        if len(past) > MOST_PAST:  # of the oldest, only that it was
            for reason, count in past.pop(1)["restarts"].items():
                past[0]["restarts"][reason] = past[0]["restarts"].get(reason, 0) + count
        row = self._in_a_row[node]
        self._in_a_row[node] = row + 1
        self._state[node] = DOWN
        self._untold[node].clear()
        self._owed.pop(node, None)
        self._due[node] = time.monotonic() + min(MOST_BACK_OFF_S, BACK_OFF_S * 2**row)
        for other in self.engine.together(node):
            if other != node and self._state[other] not in ("ended", DOWN):
                self.engine.abandon(other)

    def _step(self) -> None:
        for node, count in self._owed.items():
            if count:
                self._tell(node, {"op": "kept", "count": count})
        self._owed.clear()
        if self._due:
            if self._stop_asked:
                for node in self._due:
                    self._end(node)
                self._due.clear()
            else:
                self._renew_due()
        super()._step()

    def _renew_due(self) -> None:
        assert isinstance(self.engine, RenewingEngine)
        now = time.monotonic()
        for node in list(self._due):
            group = [other for other in self.engine.together(node) if self._state[other] != "ended"]
            if node not in self._due or any(self._due.get(other, now + 1) > now for other in group):
                continue
            for other in group:
                del self._due[other]
                self._forget_line(other)
            self.engine.renew(group, tuple(self._finished), self._upstream)
            for other in group:
                self._state[other] = "starting"
                self._listen(other, self.engine.lines[other])
            for other in group:
                self._tell_all({"op": "renewed", "node": other}, but=other)

    def _tell(self, node: str, message: dict[str, Any]) -> None:
        if self._state[node] != DOWN:
            super()._tell(node, message)
