"""Tests that need the extra `radio` (Sionna) say so, and are skipped where it is not installed."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

needs_radio = pytest.mark.skipif(
    find_spec("sionna") is None, reason="needs the extra radio: pip install 'semstream[radio]'"
)
