"""Graph: blocks and the edges between them, checked as they are connected. It is data; it starts nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Never, TypeVar

from semstream.runtime.block.block import Block, BoundPort
from semstream.runtime.errors import FlowgraphError, PortError
from semstream.runtime.frames.types import PortType
from semstream.runtime.graph import fitting
from semstream.runtime.graph.edge import Credit, Edge
from semstream.runtime.graph.endpoints import CurveKeys, Host, check_endpoint, check_listen
from semstream.runtime.graph.guard import (
    RESTART_LIMIT,
    RING_FRAMES,
    check_durable,
    check_limits,
    check_on_ray,
    check_reconnect,
    check_restart,
    refuse_unknown,
    ring_kind,
)
from semstream.runtime.graph.loops import check_no_loop
from semstream.runtime.graph.placement import Placement, check_resources

B = TypeVar("B", bound=Block)
Endpoint = Block | BoundPort


class Graph:
    """Blocks, and the edges that frames take between them.

    Parameters
    ----------
    name
        Name of the graph, in logs and reports.
    seed
        Seed of every random number in it; blocks see it as ``self.seed``.
    engine
        Engine of its runs unless they ask for another.
    policy, credit
        Of its edges unless `connect` or `listen` is told otherwise.
    durable
        Whether its edges of policy ``block`` lose no frame when a block, a process or a connection dies
        (`semstream.runtime.durable`): True, or ``"disk"`` to keep a source's frames in files.
    restart
        What is done with a block that fails: ``"never"``, ``"on_failure"`` (again with back-off, until it has died
        `restart_limit` times in a row with nothing done), ``"always"``. Default: ``"on_failure"`` where an edge is
        durable, else ``"never"``. Under the engine ``ray``, which starts a process again and knows nothing of what its
        blocks have done, a death is one of its process or host, the limit is one on all deaths, and a source and a
        block that renumbers are started again by no policy.
    ring, restart_limit
        Frames that a durable edge keeps, and that limit.
    state_folder
        Where a run with durable edges keeps what it needs to go on though this program, too, has died.
    """

    def __init__(
        self,
        name: str = "flowgraph",
        seed: int = 0,
        engine: str = "threads",
        *,
        policy: str = "block",
        credit: Credit = 2,
        durable: bool | str = False,
        restart: str | None = None,
        ring: int = RING_FRAMES,
        restart_limit: int = RESTART_LIMIT,
        state_folder: str | Path = "",
    ) -> None:
        check_restart(restart)
        check_limits(ring, restart_limit)
        self.name = name
        self.seed = seed
        self.engine = engine
        self.policy = policy
        self.credit = credit
        self.durable = ring_kind(durable)
        self.restart = restart
        self.ring = ring
        self.restart_limit = restart_limit
        self.state_folder = str(state_folder)
        self.blocks: dict[str, Block] = {}
        self.replicas: dict[str, int] = {}
        self.processes: dict[str, str] = {}
        self.placements: dict[str, Placement] = {}
        self.restarts: dict[str, str | None] = {}
        self.edges: list[Edge] = []
        self.hosts: dict[str, Host] = {}
        self.host_of: dict[str, str] = {}
        self.keys = ""

    def add(
        self,
        block: B,
        replicas: int = 1,
        process: str | None = None,
        restart: str | None = None,
        *,
        resources: Mapping[str, float] | None = None,
        group: str = "",
        **unknown: Never,
    ) -> B:
        """Add a block and return it.

        Parameters
        ----------
        block
            The block. If its name was not given and is taken, it gets a number.
        replicas
            How many of it run side by side and share the frames; order is restored behind them. A replica sees only
            some of the frames, so replicate blocks without state.
        process
            Under the engines ``processes`` and ``ray``: blocks with the same name here share a process. Default: one
            of its own.
        restart
            Its restart policy, if not the graph's. Under the engine ``ray`` it begins anew, so give one to blocks
            without state alone; frames that were under way to it are lost and counted.
        resources
            Under the engine ``ray``: what the block, or each replica, takes of its host, such as
            ``{"CPU": 1, "GPU": 0.5, "radio": 1}``. Default: nothing, and it runs anywhere.
        group
            Under the engine ``ray``: blocks with the same name here run on one host, such as those of one branch.

        Raises
        ------
        FlowgraphError
            If the name is taken, or the block cannot be replicated.
        """
        refuse_unknown(block.name, unknown)
        if block.name in self.blocks:
            if block.named:
                raise FlowgraphError(f"flowgraph {self.name!r} already has a block {block.name!r}; give another name=")
            number = 2
            while f"{block.name}_{number}" in self.blocks:
                number += 1
            block.name = f"{block.name}_{number}"
        fitting.check_replicas(block, replicas)
        placement = Placement(check_resources(block.name, resources), group)
        check_restart(restart, block.name)
        self.restarts[block.name] = restart
        self.blocks[block.name] = block
        self.replicas[block.name] = replicas
        self.processes[block.name] = process or block.name
        self.placements[block.name] = placement
        return block

    def host(self, name: str, address: str, *blocks: Block, listen: str = "", patience: float = 30.0) -> None:
        """Say which blocks live on a host of their own; `semstream.runtime.graph.hosts` makes its part of the graph.

        Without being asked for a part, a run has all blocks on this machine, as if there were no hosts.

        Parameters
        ----------
        name
            Of the host, as ``--only`` names it.
        address
            ``HOST:PORT`` that the others dial. The first edge that leaves the host has this port, the next one the
            next.
        *blocks
            What lives there; added if they are not yet.
        listen
            ``HOST:PORT`` that it binds, where that is another one than the others see.
        patience
            Seconds that the others wait for this host, at the start and when it cannot be reached.

        Raises
        ------
        FlowgraphError
            If an address is malformed, a name is given twice, or a block lives on another host.
        """
        if name in self.hosts:
            raise FlowgraphError(f"flowgraph {self.name!r} already has a host {name!r}")
        host = Host.parse(name, address, listen, patience)
        for block in blocks:
            if self.host_of.get(block.name, name) != name and self.blocks.get(block.name) is block:
                raise FlowgraphError(
                    f"block {block.name!r} lives on host {self.host_of[block.name]!r} and cannot live on {name!r} too",
                    block.name,
                )
        self.hosts[name] = host
        for block in blocks:
            if self.blocks.get(block.name) is not block:
                self.add(block)
            self.host_of[block.name] = name

    def connect(
        self,
        *chain: Endpoint,
        policy: str | None = None,
        credit: Credit | None = None,
        depth: int = 1,
        durable: bool | None = None,
    ) -> None:
        """Connect blocks (or ports, where a block has several) in a chain.

        Parameters
        ----------
        *chain
            Two or more. A block stands for its only port in that direction; blocks not yet added are added.
        policy
            ``"block"``: lossless, the sender waits. ``"drop_oldest"``: the sender goes on, what is too old is dropped
            and counted. ``"latest"``: only the newest frame waits (monitors).
        credit
            Frames that may be under way to one receiver. 2 keeps frames young, 8 gives more frames a second; ``"auto"``
            is as many as the way to another host needs, and 2 on this machine.
        depth
            For ``"drop_oldest"``: frames that wait at the sender besides.
        durable
            For ``"block"``: whether frames survive the death of a block or process; default: as the graph says.

        Raises
        ------
        PortError
            If the ports do not fit: block, port, expected, got, and what to do.
        """
        if len(chain) < 2:
            raise PortError("connect() expects at least two blocks or ports")
        policy = self.policy if policy is None else policy
        credit = self.credit if credit is None else credit
        for first, second in pairwise(chain):
            sender, receiver = self._port(first, False), self._port(second, True)
            fitting.check_edge(self.edges, policy, credit, depth, receiver)
            kept = self._is_durable(durable, policy)
            depth = 1 if policy == "latest" else depth
            self.edges.append(Edge(sender, receiver, policy, credit, depth, durable=kept))
            try:
                fitting.check_types(self.edges, self.replicas)
                check_no_loop(self.blocks, fitting.followers(self.edges))
            except PortError:
                self.edges.pop()
                raise

    def listen(
        self,
        port: Endpoint,
        endpoint: str,
        *,
        policy: str | None = None,
        depth: int = 1,
        curve: CurveKeys | None = None,
        reconnect: float = 0.0,
        durable: bool | None = None,
    ) -> None:
        """Export an output port: other flowgraphs dial `endpoint` and share its frames.

        Parameters
        ----------
        reconnect
            Seconds that a receiver may be out of reach, and then goes on where it was; 0: the run fails at once.

        Raises
        ------
        FlowgraphError
            If the endpoint is malformed, or can be reached from other machines and `curve` does not say who may.
        """
        policy = self.policy if policy is None else policy
        sender = self._port(port, False)
        check_listen(sender.block.name, sender.name, endpoint, curve)
        if self.replicas[sender.block.name] > 1:
            raise FlowgraphError(f"{sender}: replicas cannot share one endpoint; put a block behind them")
        fitting.check_edge(self.edges, policy, 1, depth, None)
        depth = 1 if policy == "latest" else depth
        kept = self._is_durable(durable, policy)
        self.edges.append(Edge(sender, None, policy, 1, depth, endpoint, curve, reconnect_s=reconnect, durable=kept))

    def dial(
        self,
        endpoint: str,
        port: Endpoint,
        *,
        credit: Credit = 2,
        curve: CurveKeys | None = None,
        connect_timeout: float = 30.0,
        reconnect: float = 0.0,
        durable: bool | None = None,
    ) -> None:
        """Import the frames that another flowgraph gives at `endpoint` into an input port.

        Parameters
        ----------
        connect_timeout
            Seconds to wait for the other flowgraph before the run fails.
        reconnect
            Seconds that it may be out of reach later on, and the stream then goes on where it was; 0: the run fails at
            once.
        durable
            Whether a connection that breaks is made again without loss; the other end must be durable too.
        """
        receiver = self._port(port, True)
        check_endpoint(receiver.block.name, receiver.name, endpoint)
        if curve is not None and not curve.server:
            raise FlowgraphError(f"{receiver}: dialling with CURVE needs the listener's public key, CurveKeys(server=)")
        fitting.check_edge(self.edges, "block", credit, 1, receiver)
        kept = self._is_durable(durable, "block")
        self.edges.append(
            Edge(None, receiver, "block", credit, 1, endpoint, curve, connect_timeout, reconnect, durable=kept)
        )

    def validate(self, engine: str | None = None) -> None:
        """Check the whole graph, as `start` does.

        Parameters
        ----------
        engine
            Under which it is to run; None: what hangs upon that is not checked.

        Raises
        ------
        FlowgraphError
            If there is no block, an input port has no edge, or the engine cannot do what the graph asks for.
        PortError
            If ports do not fit.
        """
        if not self.blocks:
            raise FlowgraphError(f"flowgraph {self.name!r} has no blocks")
        for port in self.unconnected():
            raise FlowgraphError(
                f"{port} ({port.port.type.name}) is not connected; connect(..., {port.block.name}.{port.name}) or "
                "dial() it",
                port.block.name,
            )
        fitting.check_types(self.edges, self.replicas)
        if engine == "ray":
            check_on_ray(self.blocks, self.edges, self.restarts)
        elif engine is not None and self.guarded:
            check_reconnect(self.edges)
        check_durable(
            self.blocks, self.edges, {name: self.restart_of(name) for name in self.blocks}, self.durable == "disk",
            self.state_folder,
        )  # fmt: skip

    def restart_of(self, block: str) -> str:
        """Restart policy of a block."""
        return self.restarts[block] or self.usual_restart

    @property
    def usual_restart(self) -> str:
        """Restart policy of blocks that have none of their own."""
        return self.restart or ("on_failure" if any(edge.durable for edge in self.edges) else "never")

    @property
    def guarded(self) -> bool:
        """Whether a block may be started again, or an edge is durable."""
        return any(e.durable for e in self.edges) or any(self.restart_of(name) != "never" for name in self.blocks)

    def protect(self, durable: bool | str | None = None, restart: str | None = None) -> None:
        """Make every edge of policy ``block`` durable, and give all blocks one restart policy; None: as it is.

        Raises
        ------
        FlowgraphError
            If it is no such thing; what does not go together is found by `validate`.
        """
        check_restart(restart)
        if restart is not None:
            self.restart, self.restarts = restart, dict.fromkeys(self.blocks)
        if durable is not None:
            self.durable = ring_kind(durable)
            self.edges = [replace(e, durable=bool(self.durable) and e.policy == "block") for e in self.edges]

    def unconnected(self) -> list[BoundPort]:
        """Input ports that need an edge and have none; of a block whose inputs are all optional, one is needed."""
        return fitting.unconnected(self.blocks, self.edges)

    def type_of(self, port: BoundPort) -> PortType:
        """What a port carries; for an output that is like an input, what is connected there."""
        return fitting.type_of(port, self.edges)

    def _port(self, end: Endpoint, is_input: bool) -> BoundPort:
        direction = "input" if is_input else "output"
        block = end if isinstance(end, Block) else end.block
        if self.blocks.get(block.name) is not block:
            self.add(block)
        if isinstance(end, BoundPort) and end.is_input == is_input:
            return end
        names = list(block.inputs if is_input else block.outputs)
        if len(names) != 1:
            way = f"name the port, e.g. {block.name}.{names[0]}" if names else f"it can only be the {_end(is_input)}"
            raise PortError(f"block {block.name!r}: expected one {direction} port, got {names or 'none'}; {way}")
        return block.port(names[0])

    def _is_durable(self, asked: bool | None, policy: str) -> bool:
        if asked and policy != "block":
            raise PortError(f"a durable edge drops nothing: expected policy 'block', got {policy!r}")
        return policy == "block" and (bool(self.durable) if asked is None else asked)


def _end(is_input: bool) -> str:
    return "first of a chain" if is_input else "last of a chain"
