"""Targets of files: flowgraphs, settings, keys, recordings, weights."""

from __future__ import annotations

import contextlib
import json
import math
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from semstream.runtime import FlowgraphError, Frame
from tools.fuzzing.target import Draw, Target, holds, memory_file, plain

ROOT = Path(__file__).resolve().parents[2]

SMALL_YAML = b"""\
name: small
seed: 7
blocks:
  source: {class: ImageSource, settings: {size: 32, frames: 3}}
  sweep: {class: SnrSweep, settings: {snr_db: [1, .inf], hold: 2}}
  sink:
    class: MetricSink
    replicas: 1
edges:
  - source -> sweep -> sink.reconstruction
  - {connect: source -> sink.reference, policy: block, credit: 4}
listen:
  - {port: sweep, endpoint: "tcp://127.0.0.1:5555", policy: latest}
"""


def read_yaml(data: bytes) -> None:
    """Any bytes are YAML or have findings; what is read can be written and read again."""
    from semstream.runtime.files.yaml_text import dump, parse

    parsed = parse(data)
    holds(all(len(f.message) < 1000 for f in parsed.findings), "findings are short")
    if not parsed.findings:
        _written_again(parsed.value, dump, parse)


def write_yaml(data: bytes) -> None:
    """Any plain values survive YAML."""
    from semstream.runtime.files.yaml_text import dump, parse

    _written_again(_without_bytes(Draw(data).value()), dump, parse)


def _written_again(value: Any, dump: Callable[[Any], str], parse: Callable[[bytes], Any]) -> None:
    again = parse(dump(value).encode("utf-8", "surrogatepass"))
    if again.findings and value is None:
        return
    holds(not again.findings and _equal(again.value, value), f"parse(dump(x)) is x: {value!r:.200}")


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, float) and isinstance(second, float):
        return first == second or (math.isnan(first) and math.isnan(second))
    if type(first) is not type(second):
        return False
    if isinstance(first, dict):
        return list(first) == list(second) and all(_equal(first[k], second[k]) for k in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(_equal, first, second))
    return bool(first == second)


def _without_bytes(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: _without_bytes(item) for key, item in value.items()}
    return [_without_bytes(item) for item in value] if isinstance(value, list) else value


@contextlib.contextmanager
def flowgraph() -> Iterator[Callable[[bytes], None]]:
    """Any file is a graph, or has findings with lines. Classes of other modules are not imported here."""
    from unittest import mock

    from semstream.runtime import Flowgraph
    from semstream.runtime.files import classes, reading

    def ours(name: str, folder: Path | None = None) -> Any:
        if ":" in name and not name.startswith("blocks:"):
            raise FlowgraphError(f"no module {name!r} here")
        return classes.find_class(name)

    def one(data: bytes) -> None:
        graph, findings = reading.read(data, ROOT / "flowgraphs", Flowgraph)
        lines = data.count(b"\n") + data.count(b"\r") + 2 + data.count("\u2028".encode()) * 2
        holds(all(0 <= f.line <= lines + 2 * len(data) for f in findings), "findings have lines of the file")
        holds(all(len(f.message) < 5000 for f in findings), "findings are short")
        if not findings:
            graph.validate()

    with mock.patch.object(reading, "find_class", ours):
        yield one


@contextlib.contextmanager
def settings() -> Iterator[Callable[[bytes], None]]:
    """``--set`` of any text: a setting is changed, or a `SettingsError` says why not."""
    import blocks
    from semstream.runtime import Flowgraph, SettingsError
    from semstream.runtime.files.overrides import override

    graph = Flowgraph("fuzz")
    graph.connect(blocks.ImageSource(name="source"), blocks.SnrSweep(name="sweep"))
    graph.add(blocks.FadingChannel(name="channel"))
    before = {name: block.settings for name, block in graph.blocks.items()}

    def one(data: bytes) -> None:
        for name, unchanged in before.items():
            graph.blocks[name].settings = unchanged
        with contextlib.suppress(SettingsError):
            override(graph, [data.decode("utf-8", "replace")])

    yield one


@contextlib.contextmanager
def keys() -> Iterator[Callable[[bytes], None]]:
    """Any file is one of CURVE keys, or a `FlowgraphError` says what is missing, and never tells a key."""
    from semstream.runtime.files.keyfile import read_keys

    with memory_file() as (path, fill):

        def one(data: bytes) -> None:
            fill(data)
            with contextlib.suppress(FlowgraphError):
                found = read_keys(path)
                for key in (found.public, found.secret, *found.clients):
                    holds(isinstance(key, str) and len(key) == 40, "keys are 40 characters")

        yield one


@contextlib.contextmanager
def recording() -> Iterator[Callable[[bytes], None]]:
    """Any file is a recording, perhaps cut short, or a `RecordingError`. Checksums are put right in half of them."""
    from semstream.runtime.frames.recording import RecordingError, RecordingReader

    with memory_file() as (path, fill):

        def one(data: bytes) -> None:
            content = data[1:]
            fill(_with_checksums(content) if data[:1] > b"\x7f" else content)
            try:
                reader = RecordingReader(path)
            except RecordingError:
                return
            with reader:
                holds(len(reader) * 16 <= len(content), "no more frames than there are bytes for")
                holds(0 <= reader.lost_bytes <= len(content), "what is lost was there")
                for number in range(min(len(reader), 20)):
                    with contextlib.suppress(RecordingError):
                        holds(isinstance(reader.read(number).frame, Frame), "a frame")

        yield one


def _with_checksums(data: bytes) -> bytes:
    """The chunks of a recording with the checksum that each should have."""
    out = bytearray(data)
    at = 8
    while at + 16 <= len(out):
        length = struct.unpack_from("<Q", out, at + 8)[0]
        if length > len(out):
            break
        struct.pack_into("<I", out, at + 4, zlib.crc32(out[at + 16 : at + 16 + length]))
        at += 16 + length
    return bytes(out)


def recording_seeds() -> list[bytes]:
    """A recording of two frames."""
    import tempfile

    from semstream.runtime.frames.recording import RecordingWriter

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seed.rec"
        writer = RecordingWriter(path, facts={"seed": 1})
        for seq in range(2):
            writer.add(Frame({"a": np.arange(3, dtype=np.float32)}, seq))
        writer.close()
        data = path.read_bytes()
    return [b"\x00" + data, b"\xff" + data, b"\xff" + data[:-40]]


@contextlib.contextmanager
def weights() -> Iterator[Callable[[bytes], None]]:
    """Any file holds weights and profile, or a `WeightsError` says what is wrong with it."""
    from semstream.codec.checkpoint import WeightsError, load_profile

    with memory_file() as (path, fill):

        def one(data: bytes) -> None:
            fill(data)
            with contextlib.suppress(WeightsError):
                load_profile(str(path))
            fill(_safetensors(Draw(data)))
            with contextlib.suppress(WeightsError):
                load_profile(str(path))

        yield one


def _safetensors(draw: Draw) -> bytes:
    """A file that is whole: what is in it is any."""
    tensors: dict[str, Any] = {}
    at = 0
    config = {"channels": 2, "widths": [8], "depths": [1], "heads": [1]} | {draw.pick(CONFIG): draw.value()}
    names = ("profile.variance", "profile.maximum", "profile.codebook.levels.", "profile.codebook.", "profile.", "")
    for _ in range(draw.below(6)):
        kind, size = draw.pick((("F32", 4), ("F16", 2), ("BF16", 2), ("I64", 8), ("BOOL", 1), ("F8_E4M3", 1)))
        shape = [draw.below(4) for _ in range(draw.below(3))]
        end = at + size * math.prod(shape)
        name = draw.pick(names) + draw.text()
        tensors[name] = {"dtype": kind, "shape": shape, "data_offsets": [at, end]}
        at = end
    told = json.dumps(_without_bytes(config)) if draw.below(4) else draw.text()
    facts = {"config": told}
    if draw.below(8) == 0:
        facts["decoder_of"] = draw.pick((*[draw.text()] * 6, "../x", "swin-c32"))
    head = json.dumps(tensors | {"__metadata__": facts}).encode()
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head + draw.take(at).ljust(at, b"\0")


CONFIG = ("channels", "patch", "widths", "depths", "heads", "window", "mlp_ratio", "linear_path", "gated", "lap", "x")


def config(data: bytes) -> None:
    """Any text configures a codec of reasonable size, or is a `ConfigError`; what is read is written as it was."""
    from semstream.codec.config import CodecConfig, ConfigError

    draw = Draw(data)
    told = json.loads(CodecConfig().to_json())
    for _ in range(draw.below(4)):
        told[draw.pick(CONFIG)] = _without_bytes(draw.value())
    for text in (data.decode("utf-8", "replace"), json.dumps(told)):
        try:
            found = CodecConfig.from_json(text)
        except ConfigError as error:
            holds(len(str(error)) < 2000, "the reason is short")
            continue
        holds(CodecConfig.from_json(found.to_json()) == found, "from_json(to_json(x)) is x")
        parameters = max(found.widths) ** 2 * sum(found.depths) * found.mlp_ratio
        holds(parameters < 1e9 and found.channels * found.stride**2 < 1e9, "it can be built")


def weights_seeds() -> list[bytes]:
    """A tiny whole file, and one whose header lies."""
    return [_safetensors(Draw(bytes(range(1, 120)))), struct.pack("<Q", 2**40) + b"{}", bytes(range(100))]


def key_seeds() -> list[bytes]:
    """Files of keys."""
    key = b"rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
    return [b"public: '" + key + b"'\nsecret: '" + key + b"'\nclients:\n  - '" + key + b"'\n"]


TARGETS = [
    Target("yaml", "text as YAML, and written again", plain(read_yaml), lambda: [SMALL_YAML, b"[[[[", b"a: &a [*a]"]),
    Target("yaml-values", "any values as YAML", plain(write_yaml), lambda: [bytes(range(64))]),
    Target("flowgraph", "flowgraph files", flowgraph, lambda: [SMALL_YAML]),
    Target("settings", "--set block.setting=value", settings, lambda: [b"sweep.snr_db=1,4,inf", b"*.fps=25"]),
    Target("keys", "files of CURVE keys", keys, key_seeds),
    Target("recording", "recordings of an edge", recording, recording_seeds),
    Target("weights", "safetensors with metadata and profile", weights, weights_seeds),
    Target("config", "configuration of a codec", plain(config), lambda: [b'{"channels": 3}']),
]
