"""The decoder's tensors among those of a codec, and a sum that says which encoder they belong to.

Several decoders may go with one encoder: one that was trained for PSNR and one for LPIPS, each receiver taking the one
it wants, without the transmitter knowing. Such a decoder is stored alone, in half of the bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Tensors = Mapping[str, NDArray[np.generic]]

_DECODER = ("synthesis.", "linear_synthesis.")


def decoder_part(tensors: Tensors) -> dict[str, NDArray[np.generic]]:
    """Those of `tensors` that the decoder alone uses: what may differ between the decoders of one encoder."""
    return {name: value for name, value in tensors.items() if name.startswith(_DECODER)}


def sum_of_the_rest(tensors: Tensors) -> str:
    """SHA-256, in hex, of names, shapes and fp16 values of all of a codec's `tensors` that are not the decoder's."""
    found = hashlib.sha256()
    for name in sorted(tensors.keys() - decoder_part(tensors).keys()):
        value = np.ascontiguousarray(tensors[name], np.float16)
        found.update(f"{name} {value.shape}\0".encode())
        found.update(value.tobytes())
    return found.hexdigest()
