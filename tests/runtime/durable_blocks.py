"""Blocks that die where they are told to, for the tests of durable edges; where child processes find them."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from runtime_blocks import Samples

from semstream.runtime import ArraySpec, Block, Frame, In, Out, PortType, live, setting


class Mortal(Block):
    """Adds up what it gets; dies at some frames, each time that `marks` has too few lines to have died of it."""

    samples = In(Samples)
    out = Out(Samples)
    state = ("_sum",)

    class Settings(Block.Settings):
        how: str = setting("raise")
        at: list[int] = setting([])
        times: int = setting(1)
        marks: str = setting("")
        gain: float = live(1.0)

    def start(self) -> None:
        self._sum = 0.0

    def process(self, frame: Frame) -> Frame:
        if frame.seq in self.settings.at and self._died(frame.seq) < self.settings.times:
            with Path(self.settings.marks).open("a") as file:
                file.write(f"{frame.seq}\n")
            if self.settings.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise RuntimeError("died as told")
        self._sum += float(frame["x"][0])
        return Frame({"x": np.array([self._sum * self.settings.gain], np.float32)}, tags={"life": self.restarts})

    def _died(self, seq: int) -> int:
        path = Path(self.settings.marks)
        return path.read_text().splitlines().count(str(seq)) if path.exists() else 0


class Radio(Block):
    """Source that cannot give its frames again: each holds the life that it was made in, and its number there."""

    out = Out(Samples)
    repeatable = False

    class Settings(Block.Settings):
        count: int = setting(50, description="frames in each life")
        die_at: int = setting(-1, description="in the first life")
        file_limit: int = setting(0, unit="bytes", description="largest file in the first life; 0: no limit")

    def start(self) -> None:
        if self.settings.file_limit and not self.restarts:
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.settings.file_limit, hard))

    def frames(self) -> Iterator[Frame]:
        for i in range(self.settings.count):
            if i == self.settings.die_at and not self.restarts:
                os.kill(os.getpid(), signal.SIGKILL)
            if i % 10 == 3:
                self.skip("noise")
            else:
                yield Frame({"x": np.array([self.restarts, i], np.float32)})


class Staircase(Block):
    """Source of sums 0 + 1 + ... whose state is where it stands; dies before it gives some, once each."""

    out = Out(Samples)
    state = ("_next", "_sum")

    class Settings(Block.Settings):
        count: int = setting(50)
        die_at: list[int] = setting([])

    def start(self) -> None:
        self._next = self._sum = 0

    def frames(self) -> Iterator[Frame]:
        while self._next < self.settings.count:
            if self._next in self.settings.die_at[self.restarts :]:
                os.kill(os.getpid(), signal.SIGKILL)
            self._sum += self._next
            self._next += 1
            yield Frame({"x": np.array([self._sum], np.float32)})


class Spoiler(Mortal):
    """Writes over its own snapshot before it dies."""

    def process(self, frame: Frame) -> Frame:
        if frame.seq in self.settings.at and not self.restarts:
            folder = Path(self._host.guard.folder)  # type: ignore[union-attr]
            snapshot = folder / f"{self.name}.snapshot"
            assert snapshot.exists()
            snapshot.write_bytes(snapshot.read_bytes()[:-1] + b"?")
        return super().process(frame)


class Ledgered(Block):
    """Sink whose state is what it has seen, published at the end."""

    samples = In(Samples)
    state = ("_seen",)

    class Settings(Block.Settings):
        die_at: int = setting(-1)

    def start(self) -> None:
        self._seen: list[int] = []

    def process(self, frame: Frame) -> None:
        if frame.seq == self.settings.die_at and not self.restarts:
            os.kill(os.getpid(), signal.SIGKILL)
        self._seen.append(frame.seq)
        self.publish({"seq": frame.seq, "x": frame["x"].tolist()})

    def stop(self) -> None:
        self.publish({"seen": self._seen})


class Narrow(Block):
    """Sink that takes frames of a few samples only."""

    small = In(PortType("Samples", {"x": ArraySpec("float32", ("N",))}, max_elements=10))

    def process(self, frame: Frame) -> None:
        self.publish({"seq": frame.seq})
