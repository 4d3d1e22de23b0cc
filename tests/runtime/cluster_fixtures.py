"""A Ray cluster of three hosts on this machine, each with an address of its own."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Iterator
from typing import Any

import pytest

REQUIRED = os.environ.get("SEMSTREAM_CLUSTER") == "required"
HAS_RAY = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not (HAS_RAY or REQUIRED), reason="Ray is not installed: make test-cluster")

QUICK = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 3,
}


class Hosts:
    """The hosts of a cluster: a head, and others with an address and a resource of the same name."""

    def __init__(self) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
        self._cluster = Cluster(initialize_head=True, head_node_args=head | {"_system_config": QUICK})
        self.address: str = self._cluster.address
        self._nodes: dict[str, Any] = {}

    def add(self, name: str, number: int, resource: str = "", gpus: int = 0) -> None:
        """A host with the address 127.0.0.NUMBER, and a resource, called like it unless told otherwise."""
        self._nodes[name] = self._cluster.add_node(
            num_cpus=2, num_gpus=gpus, object_store_memory=100 * 2**20, resources={resource or name: 10},
            node_ip_address=f"127.0.0.{number}",
        )  # fmt: skip

    def kill(self, name: str) -> None:
        """As a power cut does."""
        self._cluster.remove_node(self._nodes.pop(name), allow_graceful=False)

    def close(self) -> None:
        """End everything."""
        import ray

        ray.shutdown()
        self._cluster.shutdown()


@contextlib.contextmanager
def hosts() -> Iterator[Hosts]:
    """A cluster that ends with the block."""
    found = Hosts()
    try:
        yield found
    finally:
        found.close()
