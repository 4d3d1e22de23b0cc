"""Which Ray cluster a run goes to, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class RayCluster:
    """A Ray cluster, as `Flowgraph.run` takes it for `engine`; ``engine="ray"`` is the one that `address` None means.

    Parameters
    ----------
    address
        ``HOST:PORT`` of its head, or ``auto`` for the one that runs on this machine. None: the one that this program
        has joined by ``ray.init``, else the one that the environment names as ``RAY_ADDRESS``, else a new one on this
        machine for this run.
    wait_s
        Seconds to wait for resources that the blocks ask for and the cluster does not have yet.
    encrypt
        Whether frames between hosts are encrypted and both ends authenticated (CURVE, with keys of this run). False
        leaves them open to whoever shares the network: for one that is trusted.
    runtime_env
        Ray's, for hosts that do not have the modules of your blocks: ``{"working_dir": "."}``.

    Examples
    --------
    >>> flowgraph.run(engine=RayCluster("10.0.0.1:6379"))   # doctest: +SKIP
    """

    address: str | None = None
    wait_s: float = 30.0
    encrypt: bool = True
    runtime_env: Mapping[str, Any] = field(default_factory=dict)
