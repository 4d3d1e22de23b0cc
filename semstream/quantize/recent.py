"""A small cache inside an object: the few most recently built tables."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import TypeVar

__all__ = ["Recent"]

T = TypeVar("T")
_KEPT = 8


class Recent(OrderedDict[Hashable, T]):
    """Keeps the last few values, so that a budget that changes with every frame does not fill the memory."""

    def keep(self, key: Hashable, value: T) -> T:
        """Store `value`, drop the oldest beyond the limit, and return it."""
        self[key] = value
        while len(self) > _KEPT:
            self.popitem(last=False)
        return value
