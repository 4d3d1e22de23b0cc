"""Every target of the fuzzer on a few hundred inputs; what the fuzzer has found is in the tests of its room."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tools.fuzzing.target import BrokenError, Draw, holds  # noqa: E402
from tools.fuzzing.targets import TARGETS  # noqa: E402

SLOW = {"yaml", "flowgraph", "sigmf", "settings", "weights"}


def edited(seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    """A seed with some of its bytes changed, cut out or put in, or any bytes."""
    edit = st.tuples(st.integers(0, 2**12), st.integers(0, 4), st.binary(max_size=6))

    def apply(seed: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
        for at, cut, put in edits:
            place = at % (len(seed) + 1)
            seed = seed[:place] + put + seed[place + cut :]
        return seed

    return st.binary(max_size=200) | st.builds(apply, st.sampled_from(seeds), st.lists(edit, max_size=4))


@pytest.fixture(params=list(TARGETS))
def target(request: pytest.FixtureRequest) -> Iterator[tuple[str, Callable[[bytes], None]]]:
    found = TARGETS[request.param]
    with found.make() as one:
        yield found.name, one


def test_no_input_breaks_a_decoder(target: tuple[str, Callable[[bytes], None]]) -> None:
    name, one = target
    for seed in TARGETS[name].seeds():
        assert len(seed) < 3000
        one(seed)

    @settings(
        max_examples=15 if name in SLOW else 60,
        deadline=20_000,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(edited(TARGETS[name].seeds()))
    def search(data: bytes) -> None:
        one(data)

    search()


def test_a_property_that_does_not_hold_is_said() -> None:
    holds(True, "nothing")
    with pytest.raises(BrokenError, match="it adds up"):
        holds(False, "it adds up")


@given(st.binary(max_size=100))
def test_values_drawn_from_bytes_are_the_same_each_time_and_end_with_the_bytes(data: bytes) -> None:
    values = [
        repr([draw.value(), draw.array(("uint8", "bool", "float32")), draw.rest()]) for draw in (Draw(data), Draw(data))
    ]
    assert values[0] == values[1]
    ended = Draw(b"")
    assert ended.value() is None
    assert ended.text() == ""


def run_fuzz(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools" / "fuzz.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100)


def test_the_command_fuzzes_a_target_and_says_how_far_it_came(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="the fuzzer needs atheris: pip install 'semstream[fuzz]'")
    done = run_fuzz("iq-header", "--inputs", 2000, "--out", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (outcome,) = json.loads((tmp_path / "fuzz.json").read_text()).values()
    assert outcome["inputs"] >= 2000
    assert outcome["coverage"] > 0
    assert outcome["found"] == []


def test_one_input_is_tried_again_without_atheris(tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"\x93\x01")
    done = run_fuzz("iq-header", "--replay", tmp_path / "input")
    assert "nothing is wrong" in done.stdout, done.stderr


def test_a_target_that_is_not_there_is_said_with_those_that_are(tmp_path: Path) -> None:
    done = run_fuzz("wires")
    assert done.returncode == 2
    assert "wire" in done.stderr
    assert "Traceback" not in done.stderr
