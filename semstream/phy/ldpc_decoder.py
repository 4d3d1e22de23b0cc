"""Layered belief propagation for the lifted base graphs of `semstream.phy.ldpc`.

    for each row r:  v = posterior − message of r;  message of r = check(v);  posterior = v + message of r

The check's rule is min-sum, scaled (J. Chen, M. P. C. Fossorier, 2002), or the exact sum-product; layers after
M. M. Mansour, N. R. Shanbhag, "High-throughput LDPC decoders" (2003). A word whose checks all hold is finished.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from semstream.phy.errors import PhyError
from semstream.phy.ldpc import LdpcCode

Rule = Literal["min-sum", "sum-product"]
Llr = NDArray[np.float32]
SCALE = np.float32(0.75)
"""Factor on min-sum's messages, which are too sure of themselves."""
FILLER = np.float32(1e4)
_LIMIT = np.float32(60)
_LEAST = np.float32(1e-6)


@dataclass(frozen=True)
class Decoded:
    """Code words as they came out of the decoder.

    Attributes
    ----------
    llr
        (B, k) float32 log P(bit = 0)/P(bit = 1) of the information bits.
    converged
        (B,) bool: all checks of the word hold.
    iterations
        (B,) int that each word took.
    """

    llr: Llr
    converged: NDArray[np.bool_]
    iterations: NDArray[np.int64]

    @property
    def bits(self) -> NDArray[np.uint8]:
        """(B, k) uint8 hard decisions."""
        return (self.llr < 0).astype(np.uint8)


def decode(code: LdpcCode, llr: Llr, iterations: int = 10, rule: Rule = "min-sum", prior: Llr | None = None) -> Decoded:
    """Information bits of noisy code words.

    Parameters
    ----------
    code
        The words' code.
    llr : ndarray (B, n), real
        log P(bit = 0)/P(bit = 1) of each code bit. Min-sum needs them only up to a factor.
    iterations
        At most so many; a word whose checks hold stops earlier.
    rule
        Of the checks.
    prior : ndarray (B, k), real
        log P(bit = 0)/P(bit = 1) of the information bits before anything is received, where they are not equally
        likely; None: they are. Min-sum takes it in the scale of `llr`.

    Returns
    -------
    Decoded

    Raises
    ------
    PhyError
        If the shape is another, an LLR is NaN, or the rule unknown.
    """
    if llr.ndim != 2 or llr.shape[1] != code.n:
        raise PhyError(f"llr: expected (words, {code.n}), got {llr.shape}")
    if rule not in get_args(Rule):
        raise PhyError(f"rule: expected one of {', '.join(get_args(Rule))}, got {rule!r}")
    if prior is not None and prior.shape != (len(llr), code.k):
        raise PhyError(f"prior: expected ({len(llr)}, {code.k}), got {prior.shape}")
    if np.isnan(llr).any():
        raise PhyError("llr: expected numbers, got NaN")
    z, words = code.graph.lifting, len(llr)
    flat = np.zeros((code.columns * z, words), np.float32)
    flat[code.sent()] = np.clip(llr, -_LIMIT, _LIMIT).T
    if prior is not None:
        flat[: code.k] += prior.T
    flat[code.k : code.k + code.fillers] = FILLER
    posterior = flat.reshape(code.columns, z, words)
    messages = [np.zeros((len(row), z, words), np.float32) for row in code.graph.rows]
    result = np.empty((words, code.k), np.float32)
    converged, taken = np.zeros(words, bool), np.full(words, iterations)
    alive = np.arange(words)
    for turn in range(iterations):
        failed = np.zeros(alive.size, bool)
        before = posterior < 0
        for row, message in zip(code.graph.rows, messages, strict=True):
            failed |= _layer(posterior, row, message, rule)
        finished = ~(failed | (before != (posterior < 0)).any(axis=(0, 1)))
        if finished.any():
            done = alive[finished]
            converged[done], taken[done] = True, turn + 1
            result[done] = posterior.reshape(-1, alive.size)[: code.k, finished].T
            alive = alive[~finished]
            if not alive.size:
                return Decoded(result, converged, taken)
            posterior = np.ascontiguousarray(posterior[:, :, ~finished])
            messages = [np.ascontiguousarray(message[:, :, ~finished]) for message in messages]
    result[alive] = posterior.reshape(-1, alive.size)[: code.k].T
    return Decoded(result, converged, taken)


def _layer(posterior: Llr, row: tuple[tuple[int, int], ...], message: Llr, rule: Rule) -> NDArray[np.bool_]:
    """One row: updates posteriors and messages in place; (B,) whether a check did not hold when it came to it."""
    z = posterior.shape[1]
    values = np.empty_like(message)
    for place, (column, shift) in enumerate(row):
        values[place, : z - shift] = posterior[column, shift:]
        values[place, z - shift :] = posterior[column, :shift]
    odd = np.logical_xor.reduce(values < 0, axis=0)
    values -= message
    negative = values < 0
    sign = np.logical_xor.reduce(negative, axis=0) ^ negative
    magnitude = np.abs(values)
    if rule == "min-sum":
        _min_sum(magnitude, message)
    else:
        _sum_product(magnitude, message)
    np.negative(message, out=message, where=sign)
    values += message
    for place, (column, shift) in enumerate(row):
        posterior[column, shift:] = values[place, : z - shift]
        posterior[column, :shift] = values[place, z - shift :]
    failed: NDArray[np.bool_] = np.any(odd, axis=0)
    return failed


def _min_sum(magnitude: Llr, message: Llr) -> None:
    """Least of the other magnitudes, scaled."""
    least = magnitude.min(axis=0)
    here = magnitude == least
    np.copyto(magnitude, np.float32(np.inf), where=here)
    # Where two are least, the second least is the least too.
    second = np.where(here.sum(axis=0, dtype=np.uint8) > 1, least, magnitude.min(axis=0))
    least *= SCALE
    second *= SCALE
    message[...] = np.where(here, second, least)


def _sum_product(magnitude: Llr, message: Llr) -> None:
    """φ(Σ φ(other magnitudes)), φ(x) = −log tanh(x/2), which is its own inverse."""
    own = _phi(magnitude)
    total = own.sum(axis=0)
    np.subtract(total, own, out=message)
    message[...] = _phi(message)


def _phi(x: Llr) -> Llr:
    decay = np.exp(-np.clip(x, _LEAST, _LIMIT))
    value: Llr = np.log1p(2 * decay / (1 - decay))
    return value
