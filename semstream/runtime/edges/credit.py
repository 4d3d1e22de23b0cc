"""Credit on its way back to a sender: one small message, and behind it the leases of slots that are given back."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from semstream.runtime.errors import WireError
from semstream.runtime.frames import wire
from semstream.runtime.frames.types import PortType

CREDIT_MESSAGES = {n: wire.control("credit", n=n) for n in range(wire.MAX_CREDIT + 1)}
CREDITS = {message: n for n, message in CREDIT_MESSAGES.items()}
PING = wire.control("ping")
LEASE = struct.Struct("<Q")
"""One lease in the part behind the credit."""


def hello_of(fields: Mapping[str, Any]) -> tuple[str, int]:
    """Node and credit of a receiver's hello.

    Raises
    ------
    WireError
        If one is missing or odd.
    """
    node, count = fields.get("node"), fields.get("credit")
    if type(count) is not int or not 0 < count <= wire.MAX_CREDIT or type(node) is not str or len(node) > 256:
        raise WireError("hello", "credit or node is missing")
    return node, count


def refusal_of(fields: Mapping[str, Any], port_type: PortType) -> str | None:
    """Why a port does not take the type that a receiver's hello names; None if it does.

    Raises
    ------
    WireError
        If it names none.
    """
    try:
        return port_type.refusal(PortType.from_description(fields.get("type")))
    except ValueError as error:
        raise WireError("hello", str(error)) from error
