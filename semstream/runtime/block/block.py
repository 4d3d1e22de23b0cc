"""Block, the base of everything in a flowgraph, and its ports, declared at the top of its class."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, overload

from semstream.runtime.block import settings as _settings
from semstream.runtime.errors import PortError, SemstreamError, SkipFrame
from semstream.runtime.frames.frame import Frame
from semstream.runtime.frames.types import ANY, PortType


class In:
    """An input port: ``image = In(Image)`` in the class of a block.

    Parameters
    ----------
    type
        What it takes.
    buffer
        Most frames held for a partner in a join, or for a predecessor from a slower replica; then the sender waits.
    optional
        Whether it may be left unconnected; ``process()`` then gets no frame of that name.
    """

    def __init__(self, type: PortType, buffer: int = 64, optional: bool = False) -> None:
        self.type = type
        self.buffer = buffer
        self.optional = optional
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, block: None, owner: type | None = None) -> In: ...
    @overload
    def __get__(self, block: Block, owner: type | None = None) -> BoundPort: ...
    def __get__(self, block: Block | None, owner: type | None = None) -> In | BoundPort:
        return self if block is None else BoundPort(block, self)


class Out:
    """An output port: ``out = Out(Image)`` in the class of a block.

    Parameters
    ----------
    type
        What it gives.
    like
        Instead of a type: name of the input port whose frames it passes on, so that `connect` still checks the chain.
    """

    def __init__(self, type: PortType = ANY, like: str | None = None) -> None:
        self.type = type
        self.like = like
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, block: None, owner: type | None = None) -> Out: ...
    @overload
    def __get__(self, block: Block, owner: type | None = None) -> BoundPort: ...
    def __get__(self, block: Block | None, owner: type | None = None) -> Out | BoundPort:
        return self if block is None else BoundPort(block, self)


@dataclass(frozen=True)
class BoundPort:
    """A port of one block, as `Flowgraph.connect` takes it."""

    block: Block
    port: In | Out

    @property
    def name(self) -> str:
        """Name of the port in its block."""
        return self.port.name

    @property
    def is_input(self) -> bool:
        """Whether frames enter the block here."""
        return isinstance(self.port, In)

    def __str__(self) -> str:
        return f"block {self.block.name!r}, port {self.name!r}"


class Host(Protocol):
    """What runs a block (a node, or the test harness) and answers its calls."""

    def publish(self, record: dict[str, Any]) -> None:
        """Take a record to the owner of the graph."""

    def show(self, name: str, value: dict[str, Any]) -> None:
        """Take a value to the owner, who keeps the newest of each name."""

    def skip(self, reason: str) -> None:
        """Count a frame that a source leaves out."""

    def pause(self, seconds: float) -> bool:
        """Wait; False as soon as the run is stopping."""


class Block:
    """A step of a flowgraph.

    A subclass declares, in this order: ports, settings, then lifecycle and processing::

        class Gain(Block):
            image = In(Image)
            out = Out(Image)

            class Settings(Block.Settings):
                gain: float = live(1.0, ge=0, description="factor on every sample")

            def process(self, frame):
                return frame.replace({"image": frame["image"] * self.settings.gain})

    A block without input is a source and has ``frames()``, a generator, in place of ``process()``.
    State belongs in ``start()``: the constructor runs in the owner's process, the rest where the block runs.

    Parameters
    ----------
    name
        Name in the flowgraph; by default the class name in snake case.
    **settings
        Values for ``Settings``.

    Raises
    ------
    SettingsError
        If a setting is unknown, missing or out of range.
    """

    class Settings(_settings.Settings):
        """Settings of this block; subclasses derive their own from it."""

    settings: Any
    inputs: ClassVar[dict[str, In]] = {}
    outputs: ClassVar[dict[str, Out]] = {}
    renumber: ClassVar[bool] = False
    """True for a block that gives more or fewer frames than it takes: its outputs are numbered anew from 0."""
    state: ClassVar[tuple[str, ...]] = ()
    """Attributes that carry over from frame to frame, restored when the block is started again; see `snapshot`."""
    repeatable: bool = True
    """False for a source whose frames cannot be had again, such as a camera."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        ports = {n: p for c in reversed(cls.__mro__) for n, p in vars(c).items() if isinstance(p, (In, Out))}
        cls.inputs = {n: p for n, p in ports.items() if isinstance(p, In)}
        cls.outputs = {n: p for n, p in ports.items() if isinstance(p, Out)}
        for name, out in cls.outputs.items():
            if out.like is not None and out.like not in cls.inputs:
                raise PortError(f"{cls.__name__}, port {name!r}: like={out.like!r} names no input port")
        if "process_batch" in vars(cls) and len(cls.inputs) != 1:
            raise PortError(f"{cls.__name__}: process_batch() is for a block with one input, got {list(cls.inputs)}")
        if "name" in cls.Settings.model_fields:
            raise SemstreamError(f"{cls.__name__}.Settings: 'name' is the block's own; call the setting otherwise")

    def __init__(self, *, name: str | None = None, **settings: Any) -> None:
        self.named = name is not None
        self.name = name if name is not None else snake_case(type(self).__name__)
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", self.name):
            raise SemstreamError(f"block name {self.name!r}: expected 1 to 64 letters, digits, '_', '-' or '.'")
        self.settings = _settings.validated(type(self).Settings, settings, self.name)
        self.seed = 0
        self.graph = ""
        self.run = ""
        self.restarts = 0
        self.resumes = False
        self._host: Host | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @property
    def is_source(self) -> bool:
        """Whether the block has no input."""
        return not self.inputs

    @property
    def log(self) -> logging.Logger:
        """Logger of this block; what is logged in another process comes out in the owner's."""
        return logging.getLogger(f"semstream.{self.graph}.{self.name}" if self.graph else f"semstream.{self.name}")

    def port(self, name: str) -> BoundPort:
        """The port of that name.

        Raises
        ------
        PortError
            If there is none.
        """
        port = self.inputs.get(name) or self.outputs.get(name)
        if port is None:
            raise PortError(
                f"block {self.name!r} has no port {name!r}; it has inputs {list(self.inputs)}, "
                f"outputs {list(self.outputs)}"
            )
        return BoundPort(self, port)

    # -- lifecycle, for subclasses ---------------------------------------------------------------------------------

    def preload(self) -> Sequence[str]:
        """Modules that `start` or `process` will import and that take long, such as ``torch``.

        The engine `processes` imports them once for all its children, which it then forks. None may start a thread or
        use a GPU when it is imported.
        """
        return ()

    def start(self) -> None:
        """Prepare: load weights, open files. Runs once, where the block runs, before the first frame."""

    def stop(self) -> None:
        """Clean up. Runs once after the last frame, also when the run fails; may still publish."""

    def on_change(self, changed: set[str]) -> None:
        """Live settings named in `changed` have new values; runs between frames."""

    def snapshot(self) -> dict[str, Any] | None:
        """What `restore` needs to go on after the frame at hand: plain values, arrays, and lists, tuples, sets, deques
        and dicts of them; None if nothing.

        Called between frames where the block may be started again (`semstream.runtime.durable`): then ``self.run``
        names the run, ``self.restarts`` counts its lives before this one, and in `stop` ``self.resumes`` says that
        another one goes on: this one has failed, or its run was stopped and has a state folder. Default: the attributes
        named in `state`.
        """
        names = type(self).state
        return {name: getattr(self, name) for name in names} if names else None

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what `snapshot` gave in an earlier life; runs after `start`."""
        for name, value in state.items():
            setattr(self, name, value)

    # -- processing, for subclasses --------------------------------------------------------------------------------

    def process(self, *args: Any, **kwargs: Any) -> Any:
        """Turn an input into output: a Frame, an iterable of them, ``{"port": Frame}`` for several outputs, or None.

        Called with one positional frame if there is one input, else with a frame a port as keywords, joined by
        (stream, seq). Outputs take over seq, stream, t0_ns and tags. `SkipFrame` drops the frame and is counted; any
        other exception ends the run. Several frames for one input keep its seq, unless the class sets `renumber`.
        """
        raise NotImplementedError(f"{type(self).__name__} has inputs and needs process()")

    @property
    def batch(self) -> int:
        """Most waiting frames that `process_batch` is given; read before each batch, so it may be a live setting."""
        return 1

    def process_batch(self, frames: Sequence[Frame]) -> Iterable[Any]:
        """Turn several waiting frames of the one input into outputs at once, where that is cheaper than one by one.

        Called in place of `process` when more than one frame waits and `batch` allows it; nothing is ever waited for,
        and no more can wait than the edge has credit for. Gives for each frame, in order, what `process` would give; a
        `SkipFrame` that is given, not raised, drops its frame. An exception ends the run at the first frame that has
        no result yet. Outputs, records and counters are then those of `process`; live settings change between batches.
        """
        return map(self.process, frames)

    def frames(self) -> Iterator[Frame]:
        """Generate the frames of a source; the runtime numbers them and stamps t0_ns."""
        raise NotImplementedError(f"{type(self).__name__} has no inputs and needs frames()")

    # -- calls, for subclasses -------------------------------------------------------------------------------------

    def publish(self, record: dict[str, Any]) -> None:
        """Send a small dict to the owner: lossless, in order, to ``run.records[name]`` and ``on_record``."""
        if self._host is not None:
            self._host.publish(record)

    def show(self, name: str, value: dict[str, Any]) -> None:
        """Send something to look at to the owner, who keeps only the newest value of each name (`Run.shown`).

        For pictures, constellations and the like; the value may hold bytes, up to some MB. Call it some times a
        second, not for every frame.
        """
        if self._host is not None:
            self._host.show(name, value)

    def skip(self, reason: str) -> None:
        """Leave a frame out, counted under `reason`.

        In a source this uses up a number of the sequence and returns (raising would end the generator); in
        ``process()`` it raises `SkipFrame`.
        """
        if not self.is_source:
            raise SkipFrame(reason)
        if self._host is not None:
            self._host.skip(reason)

    def pause(self, seconds: float) -> bool:
        """Wait without holding up credit, settings or a stop. Returns False as soon as the run is stopping."""
        if self._host is not None:
            return self._host.pause(seconds)
        time.sleep(max(0.0, seconds))
        return True


def snake_case(name: str) -> str:
    """``SwinEncoder`` -> ``swin_encoder``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
