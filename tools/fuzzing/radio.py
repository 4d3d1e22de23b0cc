"""Targets of the radio: PMT, GNU Radio's messages, bursts, what travels beside samples, SigMF."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from semstream.radio import pmt
from semstream.radio.errors import RadioError
from semstream.radio.messages import Pdu, Tag, decode_pdu, decode_tagged, encode_pdu, encode_tagged
from tools.fuzzing.target import Draw, Target, holds, plain
from tools.fuzzing.wire import parts_of

VECTORS = ("uint8", "int8", "int16", "uint32", "int64", "float32", "float64", "complex64", "complex128")


def read_pmt(data: bytes) -> None:
    """Any bytes are a PMT or a `RadioError`; what is read can be written, and reads the same."""
    try:
        value = pmt.decode(data)
    except RadioError as error:
        holds(len(str(error)) < 500, "the reason is short")
        return
    _written_again(value)


def write_pmt(data: bytes) -> None:
    """Any value that has a PMT survives it."""
    _written_again(_pmt_value(Draw(data)))


def _written_again(value: Any) -> None:
    try:
        written = pmt.encode(value)
    except RadioError:
        return
    again = pmt.encode(pmt.decode(written))
    holds(again == written, f"encode(decode(x)) is x: {value!r:.200}")


def _pmt_value(draw: Draw, deep: int = 0) -> Any:
    kind = draw.below(6)
    if kind == 0:
        return pmt.Pair(draw.value(), draw.value())
    if kind == 1:
        array = draw.array(VECTORS)
        return array.reshape(-1)
    if kind == 2 and deep < 250:  # deeper than PMTs may be nested, and no deeper than Python can go
        return tuple(_pmt_value(draw, deep + 1) for _ in range(draw.below(3)))
    return draw.value()


def read_tagged(data: bytes) -> None:
    """Any bytes are samples with tags, or a PDU, or a `RadioError`."""
    try:
        found = decode_tagged(data)
        holds(8 * found.samples.size <= len(data), "no more samples than bytes")
        inside = [t for t in found.tags if found.offset <= t.offset < found.offset + found.samples.size]
        with contextlib.suppress(RadioError):  # a tag's value need have no PMT of ours
            again = decode_tagged(encode_tagged(found.samples, inside, found.offset))
            holds(again.samples.tobytes() == found.samples.tobytes() and len(again.tags) == len(inside), "the same")
    except RadioError:
        pass
    with contextlib.suppress(RadioError):
        pdu = decode_pdu(data)
        holds(pdu.data.nbytes <= len(data), "no more samples than bytes")


def read_bursts(data: bytes) -> None:
    """Any messages give bursts that are no longer than the layout allows, and few samples are kept."""
    from semstream.radio.burst_reader import PduReader, StreamReader, reader
    from semstream.radio.bursts import Layout

    layout = Layout(3, 16, 64)
    draw = Draw(data)
    mode = draw.pick(("tagged", "pdu", "raw"))
    source = reader(mode, layout, every=draw.below(9) + 1)
    for message in parts_of(draw.rest()):
        try:
            bursts = source.feed(message)
        except RadioError:
            holds(mode == "raw", "only a raw stream cannot go on")
            return
        for burst in bursts:
            holds(0 < burst.samples.size <= layout.longest, "no longer than allowed")
            holds(burst.samples.shape == burst.present.shape, "each sample is there or not")
        if isinstance(source, StreamReader):
            holds(len(source._pending) * 8 <= 40 * len(data) + 80, "what is waited for was told of")
        else:
            holds(isinstance(source, PduReader), "one of the two")


def read_side_header(data: bytes) -> None:
    """What travels beside samples: checked, or a `ValueError`."""
    from blocks._radio import read_header

    try:
        told = read_header(data)
    except ValueError as error:
        holds(type(error) is ValueError and len(str(error)) < 500, "said in few words")
        return
    holds(isinstance(told.get("tags", {}), dict) and isinstance(told.get("count", 0), int), "as it was packed")


@contextlib.contextmanager
def sigmf() -> Iterator[Callable[[bytes], None]]:
    """Any metadata beside 32 samples: frames within the samples, counted faults, or a `RadioError`."""
    from semstream.radio.recording_reader import SigmfReader

    with tempfile.TemporaryDirectory(prefix="fuzz-", dir="/dev/shm") as folder:
        base = Path(folder) / "air"
        samples = np.arange(32, dtype="<c8")
        base.with_suffix(".sigmf-data").write_bytes(samples.tobytes())

        def one(data: bytes) -> None:
            draw = Draw(data)
            kind = draw.below(4)  # half of them from a file and by the schema, half straight to the frames
            try:
                if kind < 2:
                    told = data[1:] if kind else json.dumps(_metadata(draw)).encode()
                    base.with_suffix(".sigmf-meta").write_bytes(told)
                    reader = SigmfReader(str(base), verify=False)
                else:
                    reader = SigmfReader.__new__(SigmfReader)
                    reader.faults, reader._channel = Counter(), None
                    reader.metadata, reader.samples = _metadata(draw), samples
                frames = list(reader.frames())
            except RadioError as error:
                holds(len(str(error)) < 2000, "the reason is short")
                return
            for frame in frames:
                holds(0 < frame.samples.size <= 32 and frame.gain.size == frame.samples.size, "within the samples")

        yield one


def _metadata(draw: Draw) -> dict[str, Any]:
    annotations = []
    for _ in range(draw.below(4)):
        facts: dict[str, Any] = {
            "core:sample_start": draw.below(40), "core:sample_count": draw.below(40), "semstream:frame": draw.below(9),
            "semstream:gain": [1.0, 0.0], "semstream:noise_variance": 0.1, "semstream:header": "",
        }  # fmt: skip
        for _ in range(draw.below(3)):
            facts[draw.pick(list(facts)[2:])] = _plain(draw.value())
        annotations.append(facts)
    head = {"core:datatype": "cf32_le", "core:version": "1.0.0", "core:sample_rate": 1e6}
    if draw.below(4) == 0:
        head[draw.pick(("core:datatype", "core:num_channels", "core:sha512", "core:offset"))] = _plain(draw.value())
    return {"global": head, "captures": [{"core:sample_start": 0}], "annotations": annotations}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def pmt_seeds() -> list[bytes]:
    """Values of each kind."""
    values: list[Any] = [
        None, 5, -(2**40), 2**63, 1.5, 2j, "burst", [1, [2, "x"]], (1, 2), {"a": 1, 2: None},
        pmt.Pair({"n": 3}, np.zeros(3, np.complex64)), np.arange(4, dtype=np.int16),
    ]  # fmt: skip
    return [pmt.encode(value) for value in values]


def message_seeds() -> list[bytes]:
    """Messages with tags, and PDUs."""
    samples = np.arange(8, dtype=np.complex64)
    tags = [
        Tag(10, "burst", 0),
        Tag(10, "packet_len", 4),
        Tag(10, "frame", np.zeros(3, np.uint8)),
        Tag(15, "end", True),
    ]
    return [encode_tagged(samples, tags, 8), encode_tagged(samples), encode_pdu(Pdu(samples, {"burst": 1}))]


def burst_seeds() -> list[bytes]:
    """Messages in a row."""
    from tools.fuzzing.wire import joined

    first, second, pdu = message_seeds()
    return [b"\x00\x03" + joined([first, second]), b"\x01\x03" + joined([pdu, pdu]), b"\x02\x03" + joined([bytes(80)])]


def header_seeds() -> list[bytes]:
    """What travels beside a burst."""
    from semstream.runtime.frames import wire

    return [b"", wire.pack({"tags": {"snr_db": 1.0}, "t0_ns": 5, "count": 9, "class_map": b"\0"})]


TARGETS = [
    Target("pmt", "GNU Radio's polymorphic types", plain(read_pmt), pmt_seeds),
    Target("pmt-values", "any values as PMT", plain(write_pmt), lambda: [bytes(range(64))]),
    Target("iq", "samples with tags, and PDUs", plain(read_tagged), message_seeds),
    Target("bursts", "bursts in messages", plain(read_bursts), burst_seeds),
    Target("iq-header", "what travels beside a burst", plain(read_side_header), header_seeds),
    Target("sigmf", "metadata of a recording", sigmf,
           lambda: [bytes(40), bytes(range(90)), b"\x01{}", bytes(range(9, 99))]),
]  # fmt: skip
