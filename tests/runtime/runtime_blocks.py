"""Blocks that the tests of the runtime wire together; in a module of their own, so that child processes find them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from semstream.runtime import ANY, ArraySpec, Block, Frame, In, Out, PortType, SkipFrame, live, setting

Samples = PortType("Samples", {"x": ArraySpec("float32", ("N",))})
Pair = PortType("Pair", {"x": ArraySpec("float32", ("N",)), "y": ArraySpec("float32", ("N",))})


class Ramp(Block):
    """Source: frame i holds i everywhere."""

    out = Out(Samples)

    class Settings(Block.Settings):
        count: int = setting(10, ge=-1, description="frames, -1 for ever")
        size: int = setting(4, ge=0)
        every_s: float = setting(0.0, unit="s")
        skip_every: int = setting(0)
        value: float = live(0.0, ge=0.0, le=100.0, unit="V", description="added to every sample")

    def frames(self) -> Iterator[Frame]:
        i = 0
        while i != self.settings.count:
            if self.settings.every_s and not self.pause(self.settings.every_s):
                return
            if self.settings.skip_every and i % self.settings.skip_every == 1:
                self.skip("odd one out")
            else:
                x = np.full(self.settings.size, i + self.settings.value, np.float32)
                yield Frame({"x": x}, tags={"index": i})
            i += 1


class Scale(Block):
    """Multiplies; `slow` is seconds of work, more for even frames, so that replicas get out of step."""

    samples = In(Samples)
    out = Out(Samples)

    class Settings(Block.Settings):
        gain: float = live(2.0, ge=0.0, le=10.0, description="factor")
        slow_s: float = setting(0.0)
        skip_every: int = setting(0)

    def start(self) -> None:
        self.changes: list[set[str]] = []

    def process(self, frame: Frame) -> Frame:
        if self.settings.slow_s:
            time.sleep(
                self.settings.slow_s * (1 + 3 * (frame.seq % 2 == 0))
            )  # work of the block under test, not a wait
        if self.settings.skip_every and frame.seq % self.settings.skip_every == 0:
            raise SkipFrame("multiple")
        return Frame({"x": frame["x"] * np.float32(self.settings.gain)}, tags={"gain": self.settings.gain})

    def on_change(self, changed: set[str]) -> None:
        self.changes.append(changed)
        self.publish({"changed": sorted(changed), "gain": self.settings.gain})


class Relay(Block):
    """Passes everything on."""

    into = In(ANY)
    out = Out(like="into")

    def process(self, frame: Frame) -> Frame:
        return frame


class Collect(Block):
    """Sink: publishes what it gets, and keeps it."""

    samples = In(Samples)

    class Settings(Block.Settings):
        slow_s: float = setting(0.0)

    def start(self) -> None:
        self.frames_seen: list[Frame] = []

    def process(self, frame: Frame) -> None:
        if self.settings.slow_s:
            time.sleep(self.settings.slow_s)
        self.frames_seen.append(frame)
        self.publish(
            {
                "seq": frame.seq,
                "first": float(frame["x"][0]) if frame["x"].size else None,
                "tags": frame.tags,
                "hops": [hop[0] for hop in frame.trace],
                "age_ms": (time.time_ns() - frame.t0_ns) / 1e6,
            }
        )


class Keep(Block):
    """Keeps what it gets, and only looks at the end whether it is still what a Ramp has sent."""

    samples = In(Samples)
    out = Out(Samples)

    class Settings(Block.Settings):
        gain: float = setting(1.0)
        most: int = setting(1000, description="frames that are kept; older ones go")

    def start(self) -> None:
        self.kept: list[Frame] = []

    def process(self, frame: Frame) -> Frame:
        self.kept = [*self.kept, frame][-self.settings.most :]
        return frame

    def stop(self) -> None:
        right = [bool(np.all(f["x"] == np.float32(f.seq * self.settings.gain))) for f in self.kept]
        writeable = any(f["x"].flags.writeable for f in self.kept)
        self.publish({"kept": len(right), "right": all(right), "writeable": writeable})


class Number(Block):
    """Sink: publishes the numbers of what it gets, and keeps nothing."""

    samples = In(Samples)

    class Settings(Block.Settings):
        slow_s: float = setting(0.0)

    def process(self, frame: Frame) -> None:
        time.sleep(self.settings.slow_s)  # work of the block under test, not a wait
        self.publish({"seq": frame.seq, "first": float(frame["x"][0]), "last": float(frame["x"][-1])})


class Compare(Block):
    """Sink with two inputs, joined."""

    reference = In(Samples, buffer=8)
    other = In(Samples, buffer=8)

    def process(self, reference: Frame, other: Frame) -> None:
        assert reference.seq == other.seq
        self.publish({"seq": reference.seq, "ratio": float(other["x"][0] / max(1.0, reference["x"][0]))})


class Split(Block):
    """Two outputs: odd frames only leave by one."""

    samples = In(Samples)
    all = Out(Samples)
    even = Out(Samples)

    def process(self, frame: Frame) -> dict[str, Frame]:
        return {"all": frame} if frame.seq % 2 else {"all": frame, "even": frame.replace()}


class Twice(Block):
    """Gives every frame twice, numbered anew."""

    renumber = True
    samples = In(Samples)
    out = Out(Samples)

    def process(self, frame: Frame) -> Iterator[Frame]:
        yield frame.replace()
        yield frame.replace()


class Failing(Block):
    """Raises where it is told to."""

    samples = In(Samples)
    out = Out(Samples)

    class Settings(Block.Settings):
        where: str = setting("process")
        at: int = setting(3)

    def start(self) -> None:
        if self.settings.where == "start":
            raise RuntimeError("broken in start")

    def process(self, frame: Frame) -> Frame:
        if self.settings.where == "process" and frame.seq == self.settings.at:
            raise RuntimeError("broken in process")
        if self.settings.where == "kill" and frame.seq == self.settings.at:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.settings.where == "freeze" and frame.seq == self.settings.at:
            os.kill(os.getpid(), signal.SIGSTOP)
        if self.settings.where == "wrong dtype":
            return Frame({"x": frame["x"].astype(np.float64)})
        if self.settings.where == "publish":
            self.publish({"bad": object()})
        return frame

    def stop(self) -> None:
        if self.settings.where == "stop":
            raise RuntimeError("broken in stop")


class FailingSource(Block):
    """Raises after some frames."""

    out = Out(Samples)

    def frames(self) -> Iterator[Frame]:
        for _ in range(3):
            yield Frame({"x": np.zeros(1, np.float32)})
        raise RuntimeError("broken in frames")


class Stuck(Block):
    """Never comes back from process()."""

    samples = In(Samples)

    def process(self, frame: Frame) -> None:
        self.publish({"stuck": True})
        threading.Event().wait()


class Where(Block):
    """Publishes the process that it runs in."""

    samples = In(Samples)
    out = Out(Samples)

    def process(self, frame: Frame) -> Frame:
        self.log.warning("frame %d", frame.seq)
        self.publish({"pid": os.getpid(), "seed": self.seed})
        return frame


def seqs(records: list[dict[str, Any]]) -> list[int]:
    """Sequence numbers of records."""
    return [record["seq"] for record in records]


class Together(Scale):
    """Scales what waits together, as `Scale` does one by one; at the end it publishes how many that were each time."""

    class Settings(Scale.Settings):
        most: int = live(4, ge=1)
        fail_at: int = setting(-1)
        wrong: str = setting("")

    @property
    def batch(self) -> int:
        return int(self.settings.most)

    def start(self) -> None:
        super().start()
        self.sizes: list[int] = []

    def process(self, frame: Frame) -> Frame:
        self.pause(0.005)  # serves arrivals, so that frames wait behind this one
        if frame.seq == self.settings.fail_at:
            raise RuntimeError("broken together")
        return super().process(frame)

    def process_batch(self, frames: Sequence[Frame]) -> Iterator[Frame | SkipFrame | None]:
        self.sizes.append(len(frames))
        for frame in frames:
            if self.settings.wrong == "raises SkipFrame":
                raise SkipFrame("not me")
            try:
                yield self.process(frame)
            except SkipFrame as skip:
                yield skip
        if self.settings.wrong == "too many":
            yield None

    def stop(self) -> None:
        self.publish({"sizes": self.sizes})
