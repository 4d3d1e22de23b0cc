"""The SNR that features were made for, told in the last bits of their frame's scale (`semstream.codec.folding`)."""

from __future__ import annotations

import numpy as np

SNR_BITS, SNR_STEP_DB = 4, 1.5


def snr_db_in(scale: float) -> float:
    """SNR in dB that a float16 scale tells, of a codec whose encoder is told one: 0, 1.5, … 22.5."""
    return float(np.float16(scale).view(np.uint16) & (2**SNR_BITS - 1)) * SNR_STEP_DB
