"""Sockets to and from a GNU Radio, and one burst there and back over them."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

import zmq

from semstream.radio.burst_reader import BurstReader, reader
from semstream.radio.bursts import Burst, BurstWriter, Layout, Mode, Place
from semstream.radio.errors import RadioError
from semstream.radio.messages import Samples

SLICE_MS = 50
"""Longest wait before a waiting one is asked whether to go on."""
_LARGEST_MESSAGE = 2**26
_QUEUE = 64

GoOn = Callable[[], bool]


class Sockets:
    """A PUSH socket that takes messages, a PULL socket that gives them, or both.

    GNU Radio's stream sources connect and its sinks bind, so by default PUSH binds and PULL connects.

    Raises
    ------
    RadioError
        If an endpoint is taken or is none.
    """

    def __init__(self) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._poller = zmq.Poller()
        self.push: zmq.Socket[bytes] | None = None
        self.pull: zmq.Socket[bytes] | None = None

    def open_push(self, endpoint: str, *, bind: bool = True) -> str:
        """Open the socket that takes messages, and say where it is."""
        self.push = self._opened(zmq.PUSH, endpoint, bind, "send to")
        return self.push.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")

    def open_pull(self, endpoint: str, *, bind: bool = False) -> str:
        """Open the socket that gives messages, and say where it is."""
        self.pull = self._opened(zmq.PULL, endpoint, bind, "receive from")
        self._poller.register(self.pull, zmq.POLLIN)
        return self.pull.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")

    def _opened(self, kind: int, endpoint: str, bind: bool, purpose: str) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SNDHWM, _QUEUE)
        socket.setsockopt(zmq.RCVHWM, _QUEUE)
        socket.setsockopt(zmq.MAXMSGSIZE, _LARGEST_MESSAGE)
        try:
            (socket.bind if bind else socket.connect)(endpoint)
        except zmq.ZMQError as error:
            socket.close()
            raise RadioError(f"endpoint {endpoint!r} to {purpose}: {zmq.strerror(error.errno or 0)}") from None
        return socket

    def move(self, outgoing: deque[bytes], timeout_ms: int) -> bytes | None:
        """Send what can be sent of `outgoing`, and receive one message if there is one within the time."""
        if self.push is not None:
            if outgoing:
                self._poller.register(self.push, zmq.POLLOUT)
            elif self.push in self._poller:
                self._poller.unregister(self.push)
        events = dict(self._poller.poll(timeout_ms))
        if self.push is not None and self.push in events:
            try:
                while outgoing:
                    self.push.send(outgoing[0], zmq.NOBLOCK)
                    outgoing.popleft()
            except zmq.Again:
                pass
        if self.pull is not None and self.pull in events:
            return b"".join(self.pull.recv_multipart())
        return None

    def close(self, linger_s: float = 0.0) -> None:
        """Close both; what was not sent is given so long to go."""
        for socket in (self.push, self.pull):
            if socket is not None:
                socket.close(int(linger_s * 1000))
        self._context.term()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()


class Exchange:
    """Bursts through a GNU Radio and back, one at a time.

    Attributes
    ----------
    faults : Counter of str
        What was wrong with messages and tags (`burst_reader`), and ``late``: bursts that came after they were given up.
    """

    def __init__(self, sockets: Sockets, mode: Mode, layout: Layout) -> None:
        self._sockets = sockets
        self._writer = BurstWriter(mode, layout)
        self._reader: BurstReader = reader(mode, layout)
        self._outgoing: deque[bytes] = deque()
        self._opened = False

    @property
    def faults(self) -> Counter[str]:
        """What was wrong so far."""
        return self._reader.faults

    def there_and_back(self, number: int, samples: Samples, timeout: float, go_on: GoOn) -> Burst | None:
        """Send one burst, and wait for it.

        Parameters
        ----------
        number
            Of the burst, higher than any before.
        samples
            (N,) complex64.
        timeout
            In seconds, for the whole of it.
        go_on
            Asked at least every `SLICE_MS`; False gives up at once.

        Returns
        -------
        The burst, or None if it did not come.

        Raises
        ------
        RadioError
            If what came cannot be read, and what follows cannot either.
        """
        if not self._opened:
            self._outgoing.extend(self._writer.opening())
            self._opened = True
        if len(self._outgoing) > _QUEUE:  # nothing is taken any more: what cannot go does not queue for ever
            self._serve(timeout, go_on, lambda: len(self._outgoing) <= _QUEUE)
            if len(self._outgoing) > _QUEUE:
                return None
        place, messages = self._writer.burst(number, samples)
        self._reader.expect(place)
        self._outgoing.extend(messages)
        found: list[Burst] = []

        def done() -> bool:
            return bool(found) or self._reader.gone(place)

        self._serve(timeout, go_on, done, lambda burst: found.append(burst) if self._is(burst, place) else None)
        return found[0] if found else None

    def fill(self, count: int, timeout: float, go_on: GoOn) -> None:
        """Send so many zeros, and receive what comes meanwhile."""
        self._outgoing.extend(self._writer.filler(count))
        self._serve(timeout, go_on, lambda: not self._outgoing)

    def _is(self, burst: Burst, place: Place) -> bool:
        if (burst.number, burst.samples.size) == (place.number, place.count):
            return True
        self._reader.faults["late" if burst.number < place.number else "tag"] += 1
        return False

    def _serve(
        self, timeout: float, go_on: GoOn, done: Callable[[], bool], take: Callable[[Burst], None] | None = None
    ) -> None:
        deadline = time.monotonic() + timeout
        asked = time.monotonic()
        while not done() and (left := deadline - time.monotonic()) > 0:
            message = self._sockets.move(self._outgoing, max(1, min(SLICE_MS, int(left * 1000))))
            if message is not None:
                self._hand_on(self._reader.feed(message), take)
            if time.monotonic() - asked > SLICE_MS / 1000:
                asked = time.monotonic()
                if not go_on():
                    return

    @staticmethod
    def _hand_on(bursts: Iterable[Burst], take: Callable[[Burst], None] | None) -> None:
        for burst in bursts:
            if take is not None:
                take(burst)
