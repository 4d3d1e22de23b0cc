"""The engines by name."""

from __future__ import annotations

from semstream.runtime.engines.cluster.options import RayCluster
from semstream.runtime.engines.engine import Engine
from semstream.runtime.errors import FlowgraphError
from semstream.runtime.graph.plan import Plan

ENGINES = ("threads", "processes", "ray")


def make_engine(name: str | RayCluster, plan: Plan) -> Engine:
    """Engine by name, or for a certain Ray cluster.

    Raises
    ------
    FlowgraphError
        If there is no engine of that name.
    """
    if name == "threads":
        from semstream.runtime.engines.threads import ThreadEngine

        return ThreadEngine(plan)
    if name == "processes":
        from semstream.runtime.engines.processes import ProcessEngine

        return ProcessEngine(plan)
    if name == "ray" or isinstance(name, RayCluster):
        from semstream.runtime.engines.cluster.engine import RayEngine

        return RayEngine(plan, RayCluster() if isinstance(name, str) else name)
    raise FlowgraphError(f"expected an engine of {', '.join(ENGINES)}, got {name!r}")
