"""A real GNU Radio where there is one, and a stand-in at the other end of the sockets that does as badly as asked."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest
import zmq

from semstream.radio.process import found
from semstream.runtime import Block, Frame
from semstream.testing import Harness

Answer = Callable[[bytes], Iterable[bytes]]


@pytest.fixture(scope="session")
def gnuradio() -> None:
    """Skips, with the reason, where there is no GNU Radio; fails where ``make test-gnuradio`` has installed one."""
    reason = found()
    if reason and os.environ.get("SEMSTREAM_GNURADIO") == "required":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


def free_endpoint() -> str:
    """An endpoint that nobody has bound."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


class StandIn:
    """Takes messages at one endpoint and answers at another; like GNU Radio it connects to ours and binds its own."""

    def __init__(self) -> None:
        self.context: zmq.Context[Any] = zmq.Context()
        self.send = free_endpoint()  # the block will bind it
        self.push = self.context.socket(zmq.PUSH)
        self.push.setsockopt(zmq.LINGER, 0)
        self.push.bind("tcp://127.0.0.1:*")
        self.receive = self.push.getsockopt_string(zmq.LAST_ENDPOINT)
        self.heard: list[bytes] = []
        self._going = True
        self._thread: threading.Thread | None = None

    def answer(self, answer: Answer) -> StandIn:
        """Start to answer each message by others."""
        self._thread = threading.Thread(target=self._serve, args=(answer,), daemon=True)
        self._thread.start()
        return self

    def _serve(self, answer: Answer) -> None:
        with self.context.socket(zmq.PULL) as pull:
            pull.setsockopt(zmq.LINGER, 0)
            pull.connect(self.send)
            while self._going:
                if pull.poll(20):
                    message = pull.recv()
                    self.heard.append(message)
                    for reply in answer(message):
                        while self._going and not self.push.poll(20, zmq.POLLOUT):
                            continue
                        if self._going:
                            self.push.send(reply)

    def close(self) -> None:
        """Stop."""
        self._going = False
        if self._thread is not None:
            self._thread.join(10)
        self.push.close(0)
        self.context.term()


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    other = StandIn()
    yield other
    other.close()


def run_until_stopped(block: Block, frames: Iterable[Frame]) -> Harness:
    """Run one block, and stop it also when it fails, as a run does."""
    harness = Harness(block)
    try:
        for frame in frames:
            harness.give(frame)
    finally:
        harness.finish()
    return harness


def symbol_frames(count: int, size: int = 500, seed: int = 0, **tags: Any) -> list[Frame]:
    """Frames of Gaussian symbols of unit power."""
    random = np.random.default_rng(seed)
    return [Frame({"symbols": gaussian(size, random)}, seq=i, tags=tags) for i in range(count)]


def gaussian(size: int, random: np.random.Generator) -> np.ndarray:
    """(size,) complex64, CN(0, 1)."""
    pairs = random.standard_normal((size, 2)).astype(np.float32) * np.float32(0.5**0.5)
    return pairs.view(np.complex64)[:, 0]
