"""Errors of the physical layer."""

from __future__ import annotations


class PhyError(ValueError):
    """A setting or an input that cannot be sent or received: says what was expected, what came, and the way out."""
