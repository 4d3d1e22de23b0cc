"""Engine `ray`: every process of a run is an actor of a Ray cluster.

    owner  Conductor == inproc == Bridge -- calls of the actor, over Ray --> Bridge == inproc == nodes   worker
                                                 nodes ======= frames over tcp =======> nodes of other workers

Ray finds the hosts, starts the actors there, sees them die and starts them again; frames never pass through it. A
process is told the endpoints of its edges: loopback where both ends are on one host, else the host's own address with
CURVE, whose one pair of keys is made for the run and travels over Ray, as the code that runs there does.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
import traceback
from collections import deque
from typing import Any

import zmq

from semstream.runtime.block.reference import main_path, reference_of
from semstream.runtime.edges.sockets import Socket, open_socket
from semstream.runtime.engines.cluster.actors import LOOK_S, Actor, Starter, Stopped, death_of, reference_value
from semstream.runtime.engines.cluster.bridge import Bridge
from semstream.runtime.engines.cluster.demands import demands_of
from semstream.runtime.engines.cluster.edges import Edges
from semstream.runtime.engines.cluster.joining import join, ray_module
from semstream.runtime.engines.cluster.options import RayCluster
from semstream.runtime.engines.control import MAX_RECORD_BYTES
from semstream.runtime.engines.engine import Restart
from semstream.runtime.errors import FlowgraphError
from semstream.runtime.graph.plan import Placed, Plan

SILENT_S = 30.0
CLOSE_S = 8.0


class RayEngine:
    """Every process of a run as an actor."""

    name = "ray"

    def __init__(self, plan: Plan, cluster: RayCluster) -> None:
        self.lines: dict[str, Socket] = {}
        for block in plan.graph.blocks.values():
            reference_of(block)
        self._plan, self._cluster = plan, cluster
        self._demands = demands_of(plan)
        self._context: zmq.Context[Socket] = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, 8192)
        self._actors: dict[str, Actor] = {}
        self._placed: list[Placed] = []
        self._edges = Edges(plan, cluster.encrypt)
        self._early: deque[tuple[str, bytes]] = deque()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._starter = Starter(cluster.wait_s, self._closing)
        self._bridge: Bridge | None = None
        self._thread = threading.Thread(target=self._live, name=f"semstream {plan.graph.name} Ray", daemon=True)
        self._failure: FlowgraphError | None = None
        self._dead: deque[tuple[str, str]] = deque()
        self._restarts: deque[Restart] = deque()
        self._again: deque[Actor] = deque()

    # -- the conductor's thread --------------------------------------------------------------------------------------

    def launch(self) -> None:
        """Open the control lines and have everything started in a thread: a cluster takes its time."""
        ray_module()
        lines = {}
        for number, node in enumerate(node for nodes in self._plan.nodes.values() for node in nodes):
            line = open_socket(self._context, zmq.DEALER, MAX_RECORD_BYTES, 0)
            line.bind(f"inproc://control-{number}")
            self.lines[node] = line
            lines[node] = f"inproc://control-{number}"
        self._bridge = Bridge(self._context, lines, False, self._tell)
        self._bridge.start()
        self._thread.start()

    def newly_dead(self) -> list[tuple[str, str]]:
        """Nodes whose process has died and is not started again.

        Raises
        ------
        FlowgraphError
            If the run could not be started on the cluster.
        """
        if self._failure is not None:
            raise self._failure
        return self._take_all(self._dead)

    def newly_restarted(self) -> list[Restart]:
        """Nodes whose process has died and lives again."""
        return self._take_all(self._restarts)

    def abandon(self, node: str) -> None:
        """Kill the node's process."""
        actor = self._actors.get(self._plan.process[node])
        if actor is not None:
            actor.kill()

    def close(self) -> None:
        """Kill what is left and leave the cluster, if this run has joined it."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join(CLOSE_S)
        if self._bridge is not None:
            self._bridge.close()
        for line in self.lines.values():
            line.close(0)
        self._context.term()

    def _take_all(self, found: deque[Any]) -> list[Any]:
        # What a node said before it died is in its line by now, where the conductor looks first.
        if not found or self._bridge is None or not self._bridge.settled:
            return []
        return [found.popleft() for _ in range(len(found))]

    # -- the bridge's thread -----------------------------------------------------------------------------------------

    def _tell(self, node: str, message: bytes) -> None:
        with self._lock:
            actor = self._actors.get(self._plan.process[node])
            if actor is None:
                self._early.append((node, message))
                return
        with contextlib.suppress(Exception):  # that it has died comes another way
            actor.tell(node, message)

    # -- a thread of its own -----------------------------------------------------------------------------------------

    def _live(self) -> None:
        joined = False
        try:
            joined = join(self._cluster.address, self._cluster.runtime_env)
            self._start()
            self._listen()
        except Stopped:
            pass
        except FlowgraphError as error:
            self._failure = error
        except BaseException as error:
            if not self._closing.is_set():
                text = traceback.format_exc()
                self._failure = FlowgraphError(f"the Ray cluster cannot be worked with: {error}", None, text)
        finally:
            self._closing.wait()
            for actor in self._actors.values():
                actor.kill()
            self._starter.close()
            if joined:
                ray_module().shutdown()

    def _start(self) -> None:
        actors = self._starter.start(self._demands.values())
        with self._lock:
            self._actors = {actor.demand.process: actor for actor in actors}
            early = list(self._early)
        for node, message in early:
            self._actors[self._plan.process[node]].tell(node, message)
        for actor in actors:
            self._reserve(actor)
        self._placed = self._plan.place(lambda i: f"inproc://control-{i}", self._edges.endpoint, reference_of)
        self._begin(actors)

    def _reserve(self, actor: Actor) -> None:
        places = self._edges.wanted(actor.demand.process, {name: a.host for name, a in self._actors.items()})
        (call,) = self._starter.finish(
            [actor.handle.reserve.remote([host for _, host in places])],
            lambda: f"{actor.where} of the cluster does not answer",
        )
        ports = reference_value(call, actor)
        self._edges.reserved({edge: f"tcp://{host}:{port}" for (edge, host), port in zip(places, ports, strict=True)})

    def _begin(self, actors: list[Actor]) -> None:
        path = main_path()
        text = ""
        if path:
            with contextlib.suppress(OSError, UnicodeDecodeError), open(path, encoding="utf-8") as file:
                text = file.read()
        common = {"path": sys.path, "argv": sys.argv, "main": path, "main_text": text, "clients": self._edges.clients}
        for actor in actors:
            nodes = []
            for placed in self._placed:
                if placed.process == actor.demand.process:
                    types = {port: t.describe() for port, t in placed.out_types.items()}
                    nodes.append({"spec": self._edges.guarded(placed.spec).to_plain(), "out_types": types})
            actor.begin(json.dumps(common | {"nodes": nodes}))

    def _listen(self) -> None:
        """Take what the workers say until the run is over."""
        ray = ray_module()
        calls = {actor.take(): actor for actor in self._actors.values()}
        while not self._closing.is_set():
            while self._again:
                actor = self._again.popleft()
                calls[actor.take()] = actor
            if not calls:
                self._closing.wait(LOOK_S)
                continue
            ready, rest = ray.wait(list(calls), num_returns=1, timeout=0.1)
            if rest:
                more, _ = ray.wait(rest, num_returns=len(rest), timeout=0)
                ready = ready + more
            for call in ready:
                actor = calls.pop(call)
                if self._hear(ray, call, actor):
                    calls[actor.take()] = actor
            for call, actor in list(calls.items()):
                if time.monotonic() - actor.heard_at > SILENT_S:
                    del calls[call]
                    actor.kill()
                    self._bury(actor, f"its process on {actor.where} is silent for {SILENT_S:g} s")

    def _hear(self, ray: Any, call: Any, actor: Actor) -> bool:
        """Take one answer of a worker; whether to ask again."""
        assert self._bridge is not None
        try:
            life, number, batch, ended = ray.get(call)
        except ray.exceptions.RayActorError as error:
            return self._lose(ray, actor, error)
        if life != actor.life:
            return self._revive(actor, f"its process on {actor.where} has died")
        if number != actor.have:
            actor.have = number
            for node, message in batch:
                self._bridge.give(node, message)
        if ended and not batch:
            self._bury(actor, "its thread ended without a word")
            return False
        return True

    def _lose(self, ray: Any, actor: Actor, error: BaseException) -> bool:
        if self._closing.is_set():
            return False
        if actor.demand.restarts or isinstance(error, ray.exceptions.ActorUnavailableError):
            return self._revive(actor, death_of(actor, error))
        self._bury(actor, death_of(actor, error))
        return False

    def _revive(self, actor: Actor, why: str) -> bool:
        """Have an actor started again, or found again, meanwhile; False: not to be asked before that."""
        threading.Thread(target=self._restart, args=(actor, why), name="semstream restart", daemon=True).start()
        return False

    def _restart(self, actor: Actor, why: str) -> None:
        """Wait for the next life of an actor and give it its job again."""
        last = actor.life
        try:
            greeting = self._starter.greet_again(actor, why)
            if json.loads(greeting)["life"] == last:  # it was only out of reach
                self._again.append(actor)
                return
            actor.interrupt()
            actor.welcome(greeting)
            before = self._edges.endpoints(actor.demand.process)
            self._reserve(actor)
            moved = {old: self._edges.endpoint(*edge, False) for edge, old in before.items()}
            self._placed = self._plan.place(lambda i: f"inproc://control-{i}", self._edges.endpoint, reference_of)
            self._begin([actor])
        except Stopped:
            return
        except FlowgraphError as error:
            self._bury(actor, str(error))
            return
        self._again.append(actor)
        self._restarts.extend(Restart(node, why, moved) for node in actor.demand.nodes)

    def _bury(self, actor: Actor, why: str) -> None:
        self._dead.extend((node, why) for node in actor.demand.nodes)
