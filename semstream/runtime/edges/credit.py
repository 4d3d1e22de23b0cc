"""Credit on its way back to a sender: one small message, and behind it the leases of slots that are given back."""

from __future__ import annotations

import struct

from semstream.runtime.frames import wire

CREDIT_MESSAGES = {n: wire.control("credit", n=n) for n in range(wire.MAX_CREDIT + 1)}
CREDITS = {message: n for n, message in CREDIT_MESSAGES.items()}
LEASE = struct.Struct("<Q")
"""One lease in the part behind the credit."""
