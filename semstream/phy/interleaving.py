"""Interleaving: an order, known to both ends, in which neighbours on the air are no neighbours in the frame."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from semstream.phy.random import generator


@lru_cache(maxsize=64)
def interleaver(count: int, name: str = "") -> NDArray[np.int64]:
    """A fixed random permutation of `count` places: ``sent = bits[order]``, ``bits[order] = received``.

    The same on every machine; another `name` gives another one.
    """
    order = generator(0, f"interleaver {name}", count).permutation(count)
    order.flags.writeable = False
    return order
