"""semstream: streaming blocks that send image sequences semantically."""

__version__ = "0.1.0"
