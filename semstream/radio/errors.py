"""The error of this room."""


class RadioError(ValueError):
    """Bytes, samples, a file or a GNU Radio that cannot be worked with: what was expected, what came, the way out."""
