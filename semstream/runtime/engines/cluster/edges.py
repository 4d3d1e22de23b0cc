"""Edges of a run between hosts: where each one is, and the keys that guard it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from semstream.runtime.engines.cluster.demands import policy_of
from semstream.runtime.graph.endpoints import CurveKeys
from semstream.runtime.graph.nodes import NodeSpec
from semstream.runtime.graph.plan import Plan

LOOPBACK = "127.0.0.1"
Key = tuple[int, int]
"""Number of the edge, replica of its sender."""


class Edges:
    """The edges of one run that go from process to process.

    Parameters
    ----------
    plan
        Whose edges.
    encrypt
        Whether those between hosts have CURVE.
    """

    def __init__(self, plan: Plan, encrypt: bool) -> None:
        self._plan = plan
        pair = CurveKeys.generate()
        self._keys = CurveKeys(pair.public, pair.secret, pair.public, (pair.public,)) if encrypt else None
        self._places: dict[str, list[Key]] = {}
        self._ends: dict[Key, set[str]] = {}
        self._endpoint: dict[Key, str] = {}
        for number, edge in enumerate(plan.graph.edges):
            if edge.sender is None or edge.receiver is None:
                continue
            senders, receivers = plan.nodes[edge.sender.block.name], plan.nodes[edge.receiver.block.name]
            lanes = len(senders) > 1 and len(receivers) > 1
            ends = {plan.process[node] for node in senders + receivers}
            if len(ends) == 1:
                continue
            for i, node in enumerate(senders):
                self._places.setdefault(plan.process[node], []).append((number, i))
                lane = {plan.process[node], plan.process[receivers[i]]} if lanes else ends
                self._ends[number, i] = lane  # an input has loopback or CURVE at all its senders

    @property
    def clients(self) -> list[str]:
        """Public keys that may dial; none where nothing is encrypted."""
        return list(self._keys.clients) if self._keys is not None else []

    def wanted(self, process: str, hosts: Mapping[str, str]) -> list[tuple[Key, str]]:
        """The edges that leave a process, each with the address to listen on: loopback if all is on one host.

        Parameters
        ----------
        hosts
            Address of the host of each process.
        """
        found = []
        for key in self._places.get(process, []):
            # One that may be started again may come to another host.
            ends = self._ends[key]
            fixed = all(policy_of(self._plan.graph, block) == "never" for block in self._blocks(ends))
            near = fixed and {hosts[other] for other in ends} == {hosts[process]}
            found.append((key, LOOPBACK if near else hosts[process]))
        return found

    def _blocks(self, processes: set[str]) -> list[str]:
        return [b for b, nodes in self._plan.nodes.items() if any(self._plan.process[n] in processes for n in nodes)]

    def reserved(self, endpoints: Mapping[Key, str]) -> None:
        """Take note of where edges are."""
        self._endpoint.update(endpoints)

    def endpoint(self, number: int, replica: int, together: bool) -> str:
        """Endpoint of an edge, as `Plan.place` asks for it."""
        return f"inproc://edge-{number}-{replica}" if together else self._endpoint[number, replica]

    def endpoints(self, process: str) -> dict[Key, str]:
        """Endpoints of the edges that leave a process."""
        return {key: self._endpoint[key] for key in self._places.get(process, [])}

    def guarded(self, spec: NodeSpec) -> NodeSpec:
        """A node's spec with the keys of its edges between hosts."""

        def keys(endpoint: str) -> CurveKeys | None:
            across = endpoint.startswith("tcp://") and not endpoint.startswith(f"tcp://{LOOPBACK}:")
            return self._keys if across else None

        outputs = [item if item.remote else replace(item, curve=keys(item.endpoint)) for item in spec.outputs]
        inputs = []
        for item in spec.inputs:
            if item.remote:
                inputs.append(item)
                continue
            inputs.append(replace(item, curve=next((k for e in item.endpoints if (k := keys(e))), None)))
        return replace(spec, inputs=inputs, outputs=outputs)
