"""Targets of what a frame says of itself: the QAM header, packed codes, class maps, side information."""

from __future__ import annotations

import numpy as np

from semstream.quantize.errors import PackingError
from semstream.quantize.packing import class_map_bits, pack, pack_class_map, unpack, unpack_class_map
from tools.fuzzing.target import Draw, Target, holds, plain

MOST_CODES = 2**16


def read_packed(data: bytes) -> None:
    """Any bytes are packed codes or a `PackingError`; packed again they are the same bytes."""
    try:
        groups, widths = unpack(np.frombuffer(data, np.uint8), MOST_CODES)
    except PackingError:
        return
    holds(sum(group.size for group in groups) <= MOST_CODES, "no more codes than allowed")
    again_groups, again_widths = unpack(pack(groups, widths), MOST_CODES)
    holds(bool((again_widths == widths).all()), "widths survive")
    holds(all(map(np.array_equal, groups, again_groups)), "codes survive")


def write_packed(data: bytes) -> None:
    """Any codes survive packing, bit for bit, in exactly the bits that were promised."""
    from semstream.quantize.packing import header_bits, payload_bits

    draw = Draw(data)
    widths, groups = [], []
    for _ in range(draw.below(6)):
        width, size = draw.below(13), draw.below(20)
        raw = np.frombuffer(draw.take(2 * size).ljust(2 * size, b"\0"), "<u2")
        widths.append(width)
        groups.append((raw & (2**width - 1)).astype(np.uint16))
    packed = pack(groups, widths)
    counts = [group.size for group in groups]
    holds(packed.size * 8 - header_bits(widths, counts) == -(-payload_bits(widths, counts) // 8) * 8, "exact bits")
    again, told = unpack(packed, MOST_CODES)
    holds(told.tolist() == widths, "widths survive")
    holds(len(again) == len(groups) and all(map(np.array_equal, again, groups)), "codes survive")


def read_class_map(data: bytes) -> None:
    """Any bytes are a class map or a `PackingError`; any classes survive."""
    draw = Draw(data)
    m, count = draw.below(256) + 1, draw.below(200)
    body = np.frombuffer(draw.rest(), np.uint8)
    need = (class_map_bits(count, m) + 7) // 8
    for payload in (body, np.resize(body, need) if body.size else np.zeros(need, np.uint8)):
        try:
            classes = unpack_class_map(payload, count, m)
        except PackingError:
            continue
        holds(classes.size == count and (not count or int(classes.max()) < m), "classes that there are")
        holds(np.array_equal(pack_class_map(classes, m), payload), "packed again the same bytes")


def read_qam_header(data: bytes) -> None:
    """Any bits are a header or a `SideInformationError`; what is read is written as the same bits."""
    from semstream.codec.header import FrameHeader
    from semstream.codec.side_information import SideInformationError

    draw = Draw(data)
    order = list(np.argsort(np.frombuffer(draw.take(8).ljust(8, b"\0"), np.uint8), kind="stable"))
    bits = np.unpackbits(np.frombuffer(draw.rest(), np.uint8))
    try:
        found = FrameHeader.from_bits(bits, order)
    except SideInformationError as error:
        holds(len(str(error)) < 2000, "the reason is short")
        return
    written = found.to_bits(order)
    holds(FrameHeader.from_bits(written, order) == found, "from_bits(to_bits(x)) is x")


def read_side(data: bytes) -> None:
    """Any tags are side information or a `SideInformationError`."""
    from semstream.codec.side_information import SideInformation, SideInformationError

    draw = Draw(data)
    tags = dict(_SIDE)
    for _ in range(draw.below(4)):
        tags[draw.pick(list(_SIDE))] = draw.value()
    try:
        found = SideInformation.from_tags(tags, 2)
    except SideInformationError as error:
        holds(len(str(error)) < 500, "the reason is short")
        return
    holds(SideInformation.from_tags(found.to_tags(), 2) == found, "from_tags(to_tags(x)) is x")


_SIDE: dict[str, object] = {
    "shape": [2, 2, 2], "size": [8, 8], "scale": 1.0, "scheme": "optimal", "quantizer": "lloyd_max",
    "bits": b"\x02\x03", "class_map": False, "payload_bits": 20, "side_bits": 16,
}  # fmt: skip


def packed_seeds() -> list[bytes]:
    """Packed codes of several widths."""
    groups = [np.arange(5, dtype=np.uint16), np.arange(9, dtype=np.uint16)]
    equal = np.arange(12, dtype=np.uint16).reshape(3, 4)
    return [pack(groups, [3, 4]).tobytes(), pack(equal, [4, 0, 12], checked=False).tobytes(), pack([], []).tobytes()]


def header_seeds() -> list[bytes]:
    """A header."""
    from semstream.codec.header import FrameHeader

    header = FrameHeader(3, (96, 128), 1.5, 0.75, "optimal", "lloyd_max", "gray", 16, True, "code", 1.0, 2, 999, False,
                         (4, 4, 3, 3, 2, 2, 0, 0))  # fmt: skip
    return [bytes(8) + np.packbits(header.to_bits(range(8))).tobytes()]


TARGETS = [
    Target("packed", "packed codes", plain(read_packed), packed_seeds),
    Target("packed-values", "any codes, packed", plain(write_packed), lambda: [bytes(range(1, 90))]),
    Target("class-map", "maps of classes", plain(read_class_map), lambda: [bytes(range(60)), b"\x02\x50" * 20]),
    Target("qam-header", "the header of a frame over QAM", plain(read_qam_header), header_seeds),
    Target("side", "side information of a frame", plain(read_side),
           lambda: [bytes(30), bytes(range(1, 40))]),
]  # fmt: skip
