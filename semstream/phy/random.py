"""Counter-based random numbers: the same (seed, name, seq) gives the same numbers on every machine."""

import hashlib

import numpy as np


def generator(seed: int, name: str, seq: int) -> np.random.Generator:
    """Random generator of one frame in one block.

    Philox is counter-based: the key is a hash of (seed, name) and the sequence number is the top word of its
    256-bit counter, so that frames never overlap (2**192 draws each) and frame ``seq`` needs no frame before it.
    A run therefore draws the same noise under every engine, with replicas, and after a replay.

    Parameters
    ----------
    seed : int
        Seed of the flowgraph, any integer.
    name : str
        Name of the block that draws.
    seq : int
        Sequence number of the frame, 0 to 2**64 - 1.

    Returns
    -------
    numpy.random.Generator

    Raises
    ------
    ValueError
        If ``seq`` is out of range.
    """
    if not 0 <= seq < 2**64:
        raise ValueError(f"seq: expected 0 to 2**64 - 1, got {seq}; number the frames from 0")
    # A decimal integer holds no NUL, so (seed, name) is encoded without ambiguity.
    digest = hashlib.blake2b(f"{int(seed)}\0{name}".encode(), digest_size=16).digest()
    key = np.frombuffer(digest, dtype="<u8").astype(np.uint64)
    counter = np.array([0, 0, 0, seq], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))
