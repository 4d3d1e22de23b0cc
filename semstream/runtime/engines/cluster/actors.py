"""Actors: the processes of a run on a Ray cluster, as their owner sees and starts them."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import semstream
from semstream.runtime.engines.cluster.demands import Demand, lacking
from semstream.runtime.engines.cluster.joining import ray_module
from semstream.runtime.engines.cluster.worker import GROUPS, Worker
from semstream.runtime.errors import FlowgraphError

START_S = 90.0
"""Most that a process may take to start where there is room for it: an interpreter and its imports on a busy host."""
AGAIN_S = 30.0
"""Beyond the wait for room, until Ray has noted that a host is lost."""
SURE_S = 3.0
LOOK_S = 0.2
TAKE_S = 1.0


class Actor:
    """One process: its handle, where it lives, and what is still to be told to it."""

    def __init__(self, demand: Demand, handle: Any) -> None:
        self.demand = demand
        self.handle = handle
        self.host = ""
        self.life = ""
        self.have = 0
        self.heard_at = 0.0
        self._lock = threading.Lock()
        self._listens = False
        self._untold: deque[tuple[str, bytes]] = deque()

    @property
    def where(self) -> str:
        """For messages: the host."""
        return f"host {self.host}" if self.host else "the cluster"

    def tell(self, node: str, message: bytes) -> None:
        """Take a message to a node, once the process has its job; from any thread, in order."""
        with self._lock:
            if self._listens:
                self.handle.tell.options(concurrency_group="tell").remote(node, message)
            else:
                self._untold.append((node, message))

    def begin(self, job: str) -> Any:
        """Give the process its job; returns Ray's reference to that call."""
        with self._lock:
            reference = self.handle.begin.options(concurrency_group="tell").remote(job)
            self._listens = True
            while self._untold:
                self.handle.tell.options(concurrency_group="tell").remote(*self._untold.popleft())
        return reference

    def interrupt(self) -> None:
        """It has died: what is told from now on is for its next life."""
        with self._lock:
            self._listens, self.have, self.life = False, 0, ""

    def take(self) -> Any:
        """Ask for what the nodes have said; returns Ray's reference to the answer."""
        self.heard_at = time.monotonic()
        return self.handle.take.options(concurrency_group="take").remote(self.have, TAKE_S)

    def welcome(self, greeting: str) -> None:
        """Take note of what `Worker.greet` has said.

        Raises
        ------
        FlowgraphError
            If another version of semstream runs there.
        """
        facts = json.loads(greeting)
        self.host, self.life = facts["host"], facts["life"]
        if facts["semstream"] != semstream.__version__:
            raise FlowgraphError(
                f"host {self.host} of the cluster has semstream {facts['semstream']}, and this program "
                f"{semstream.__version__}; install the same version on every host"
            )

    def kill(self) -> None:
        """End it for good."""
        with contextlib.suppress(Exception):
            ray_module().kill(self.handle)


class Stopped(Exception):  # noqa: N818 - a signal, not an error
    """The run is over before everything has started."""


class Starter:
    """Starts the actors of a run; each wait is bounded and ends at once when the run does.

    Parameters
    ----------
    wait_s
        For resources that the cluster does not have.
    closing
        Set when the run is over.
    """

    def __init__(self, wait_s: float, closing: threading.Event) -> None:
        self._wait_s, self._closing = wait_s, closing
        self._groups: dict[str, Any] = {}

    def start(self, demands: Iterable[Demand]) -> list[Actor]:
        """Find room for processes on the cluster and start them.

        Raises
        ------
        FlowgraphError
            If there is no room within the time, or the hosts cannot run semstream.
        Stopped
            If the run is over meanwhile.
        """
        ray = ray_module()
        wanted = list(demands)
        self._await(lambda: not lacking(wanted, _hosts(ray)), self._wait_s, lambda: _poor(wanted, ray, self._wait_s))
        kind = ray.remote(concurrency_groups=GROUPS)(Worker)
        places = self._make_groups(wanted)
        actors = [Actor(demand, kind.options(**_options(ray, demand, places)).remote()) for demand in wanted]
        try:
            self.welcome(actors)
        except BaseException:
            for actor in actors:
                actor.kill()
            raise
        return actors

    def welcome(self, actors: Iterable[Actor]) -> None:
        """Wait for processes to be there."""
        missing = {actor.handle.greet.remote(): actor for actor in actors}
        demands = [actor.demand for actor in missing.values()]
        for reference in self.finish(list(missing), lambda: _taken(demands, ray_module(), self._wait_s)):
            missing[reference].welcome(reference_value(reference, missing[reference]))

    def greet_again(self, actor: Actor, why: str) -> str:
        """Wait until an actor lives again, or can be reached again; returns what it says.

        Raises
        ------
        FlowgraphError
            If Ray does not start it again, or has no room for it.
        Stopped
            If the run is over meanwhile.
        """
        ray, seconds = ray_module(), self._wait_s + AGAIN_S
        deadline = time.monotonic() + seconds
        while True:
            (call,) = self.finish(
                [actor.handle.greet.remote()],
                lambda: f"{why}, and after {seconds:g} s the cluster has no room to start it again",
                max(LOOK_S, deadline - time.monotonic()),
            )
            try:
                return str(ray.get(call))
            except ray.exceptions.ActorUnavailableError:
                again = time.monotonic() < deadline
            except ray.exceptions.RayActorError as error:
                # Ray's word on its death may be here before its word that it starts it again.
                again = "restart" not in str(error) and time.monotonic() < deadline - seconds + SURE_S
            if not again:
                limit = actor.demand.restarts
                times = f", more than {limit} times (restart_limit={limit})" if limit > 0 else ""
                raise FlowgraphError(f"{why}{times}")
            if self._closing.wait(LOOK_S):
                raise Stopped

    def finish(self, references: list[Any], why: Callable[[], str], seconds: float = START_S) -> list[Any]:
        """Wait for calls to come back; `why` makes the message if they do not."""
        ray, waiting = ray_module(), list(references)

        def done() -> bool:
            nonlocal waiting
            _, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=LOOK_S) if waiting else ([], [])
            return not waiting

        self._await(done, seconds, why)
        return references

    def close(self) -> None:
        """Give back what is reserved on the cluster."""
        if self._groups:
            from ray.util import remove_placement_group

            for group in self._groups.values():
                with contextlib.suppress(Exception):
                    remove_placement_group(group)

    def _make_groups(self, demands: list[Demand]) -> dict[str, tuple[Any, int]]:
        """Group and number of the place in it for each process that is in one."""
        members: dict[str, list[Demand]] = {}
        for demand in demands:
            if demand.group:
                members.setdefault(demand.group, []).append(demand)
        if not members:
            return {}
        from ray.util import placement_group

        places = {}
        for name, inside in members.items():
            bundles = [dict(demand.resources) for demand in inside]
            self._groups[name] = placement_group(bundles, strategy="STRICT_PACK", name="")
            places.update({demand.process: (self._groups[name], i) for i, demand in enumerate(inside)})
        self.finish(
            [group.ready() for group in self._groups.values()], lambda: _taken(demands, ray_module(), self._wait_s)
        )
        return places

    def _await(self, done: Callable[[], bool], seconds: float, why: Callable[[], str]) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            if self._closing.wait(LOOK_S / 4):
                raise Stopped
            if time.monotonic() > deadline:
                raise FlowgraphError(why())


def reference_value(reference: Any, actor: Actor) -> Any:
    """What a call came back with.

    Raises
    ------
    FlowgraphError
        If the actor could not be made there.
    """
    ray = ray_module()
    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        text = str(error)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        cause = next((line for line in reversed(lines) if "Error" in line), lines[-1] if lines else text)
        hint = ""
        if "No module named" in text or "failed to import" in text or "ImportError" in text:
            hint = "; install semstream there, the same version as here, or let Ray bring it: RayCluster(runtime_env=…)"
        raise FlowgraphError(
            f"process {actor.demand.process!r} cannot start on {actor.where}: {cause[:500]}{hint}",
            actor.demand.blocks[0],
        ) from None


def death_of(actor: Actor, error: BaseException) -> str:
    """In words, how an actor has died."""
    text = str(error)
    if "node has died" in text or "node was terminated" in text or "node is dead" in text:
        return f"its {actor.where} is lost to the cluster"
    if "out of memory" in text.lower() or "OOM" in text:
        return f"its process on {actor.where} was ended for lack of memory"
    return f"its process on {actor.where} has died (killed or crashed; Ray keeps its output in the session's logs)"


def _options(ray: Any, demand: Demand, places: dict[str, tuple[Any, int]]) -> dict[str, Any]:
    others = {n: amount for n, amount in demand.resources.items() if n not in ("CPU", "GPU", "memory")}
    options: dict[str, Any] = {
        "num_cpus": demand.resources.get("CPU", 0.0),
        "num_gpus": demand.resources.get("GPU", 0.0),
        "resources": others,
        "max_restarts": demand.restarts,
        "scheduling_strategy": "SPREAD",
    }
    if "memory" in demand.resources:
        options["memory"] = demand.resources["memory"]
    if demand.process in places:
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        group, number = places[demand.process]
        options["scheduling_strategy"] = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=number)
    return options


def _hosts(ray: Any) -> list[dict[str, float]]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _poor(demands: list[Demand], ray: Any, seconds: float) -> str:
    hosts = _hosts(ray)
    return (
        f"the Ray cluster ({len(hosts)} hosts) lacks {lacking(demands, hosts)}, after waiting {seconds:g} s; add hosts "
        "that have it, or ask for less in graph.add(block, resources=…)"
    )


def _taken(demands: list[Demand], ray: Any, seconds: float) -> str:
    free = ray.available_resources()
    names = dict.fromkeys(name for demand in demands for name in demand.resources)
    asked = {name: sum(d.resources.get(name, 0.0) for d in demands) for name in names}
    total = ray.cluster_resources()
    short = [
        f"{name}: {amount:g} asked, {free.get(name, 0.0):g} of {total.get(name, 0.0):g} free"
        for name, amount in asked.items()
    ]
    why = "; ".join(short) if short else "its hosts start no processes"
    return f"no room for all blocks on the Ray cluster after {START_S:g} s: {why}; others may be using it"
