"""Errors of the quantization room: each is a ``ValueError`` that says what was expected, what came and the way out."""

from __future__ import annotations

__all__ = ["AllocationError", "PackingError", "QuantizeError"]


class QuantizeError(ValueError):
    """A feature array, a bit vector or a quantizer that cannot be used as given."""


class PackingError(QuantizeError):
    """Codes that do not fit their width, or a payload that is not one of ours."""


class AllocationError(QuantizeError):
    """A bit budget that no allocation can meet, or inputs that a scheme cannot work from."""
