"""FadingChannel where the channel must be estimated: channel uses, engines, what it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from blocks import FadingChannel
from semstream.phy import generator
from semstream.runtime import BlockError, Frame
from semstream.testing import harness_of, run_block


def frames(count: int = 4, size: int = 900) -> list[Frame]:
    return [
        Frame(
            {"symbols": generator(0, "s", i).standard_normal((size, 2), np.float32).view(np.complex64)[:, 0] / 2**0.5},
            seq=i,
            tags={"channel_uses": size + 10},
        )
        for i in range(count)
    ]


def test_pilots_and_preamble_are_counted_beside_what_was_there() -> None:
    got = run_block(FadingChannel(csi="estimated"), frames())
    assert {f.tags["channel_uses"] for f in got} == {910 + 100 + 1}
    got = run_block(FadingChannel(csi="estimated", frequency_offset=0.01), frames())
    assert {f.tags["channel_uses"] for f in got} == {910 + 100 + 1 + 64}
    got = run_block(FadingChannel(pilots=0.5), frames())
    assert {f.tags["channel_uses"] for f in got} == {910 + 900 + 1}
    got = run_block(FadingChannel(), frames())
    assert {f.tags["channel_uses"] for f in got} == {910}, "perfect CSI without pilots changes nothing"


def test_the_same_key_meets_the_same_channel_and_another_seed_another() -> None:
    settings: dict[str, Any] = {"channel": "rayleigh", "coherence": 50, "csi": "estimated", "noise_key": "air"}
    one, again = (run_block(FadingChannel(name=name, **settings), frames(), 1) for name in ("a", "b"))
    other = run_block(FadingChannel(**settings), frames(), 2)
    for a, b, c in zip(one, again, other, strict=True):
        assert np.array_equal(a["csi"], b["csi"])
        assert not np.array_equal(a["csi"], c["csi"])


def test_a_lost_preamble_is_counted_and_the_frame_goes_on_as_nothing() -> None:
    block = FadingChannel(csi="estimated", timing_offset=20.0, snr_db=-20.0)
    got = run_block(block, frames(3))
    assert [bool(f["csi"].any()) for f in got] == [False] * 3
    assert harness_of(block).records == [{"bursts": 3, "lost": 3}]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"channel": "rayleigh"}, "coherence"),
        ({"channel": "composite", "phase_noise": 0.01}, "impairments"),
        ({"pilots": 0.0}, "pilots"),
    ],
)
def test_what_cannot_be_estimated_names_the_block_and_the_way_out(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(BlockError, match=rf"(?s)block 'air'.*{words}"):
        run_block(FadingChannel(name="air", csi="estimated", **settings), frames(1))
