"""What a block asks of the host that it runs on: for engines that choose among hosts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from semstream.runtime.errors import FlowgraphError


@dataclass(frozen=True)
class Placement:
    """Where a block may run.

    Attributes
    ----------
    resources
        What it takes of its host: ``CPU``, ``GPU``, ``memory`` in bytes, or any that the cluster's hosts name.
        Each replica takes as much.
    group
        Blocks of one group run on one host; empty: anywhere.
    """

    resources: Mapping[str, float] = field(default_factory=dict)
    group: str = ""


def check_resources(block: str, resources: Mapping[str, float] | None) -> dict[str, float]:
    """Resources as numbers.

    Raises
    ------
    FlowgraphError
        If a name is empty or misspelt, or an amount is none.
    """
    checked: dict[str, float] = {}
    for name, amount in (resources or {}).items():
        if not isinstance(name, str) or not name:
            raise FlowgraphError(f"block {block!r}, resources: expected names such as 'CPU', got {name!r}", block)
        upper = name.upper()
        if name != upper and upper in ("CPU", "GPU"):
            raise FlowgraphError(f"block {block!r}, resources: no resource {name!r}; did you mean {upper!r}?", block)
        number = isinstance(amount, int | float) and not isinstance(amount, bool)
        if not number or not math.isfinite(amount) or amount < 0:
            raise FlowgraphError(f"block {block!r}, resources: expected a number >= 0 of {name}, got {amount!r}", block)
        if amount > 1 and amount != int(amount):
            raise FlowgraphError(
                f"block {block!r}, resources: expected a whole number of {name}, or a share below 1, got {amount:g}",
                block,
            )
        if amount:
            checked[name] = float(amount)
    return checked
