"""A flowgraph as a command: a user's script with the options of every run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from blocks import FadingChannel, MetricSink, NonUniformQuantizer, UniformQuantizer
from semstream.runtime import Flowgraph
from semstream.runtime.errors import SettingsError
from semstream.runtime.files.overrides import override
from semstream.script import names, numbers

SCRIPT = '''
"""A link of one's own."""
import blocks as b
from semstream.runtime import Flowgraph
from semstream.script import Bits, run_as_command


def flowgraph(bits: Bits = 3.0, branch: str = "mine") -> Flowgraph:
    """Send photographs over AWGN."""
    graph = Flowgraph("mine", seed=3)
    source, sink = b.ImageSource(size=32, frames=2), b.MetricSink(branch=branch, lpips="off")
    codec = [b.SwinEncoder(), b.ContributionClassifier(), b.NonUniformQuantizer(bits=bits), b.PowerNormalizer()]
    graph.connect(source, *codec, b.FadingChannel(), b.Dequantizer(), b.SwinDecoder(), sink.reconstruction)
    graph.connect(source, sink.reference)
    return graph


def words(run):
    return [f"{len(run.records['metric_sink'])} records, seen by the script"]


if __name__ == "__main__":
    run_as_command(flowgraph, report=words)
'''


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(SCRIPT, encoding="utf-8")
    return path


def run(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, cwd=script.parent)


def test_a_users_script_has_its_own_options_and_those_of_every_run(script: Path) -> None:
    done = run(script, "--bits", "2", "--set", "*.snr_db=inf", "--engine", "threads", "--prometheus", "0")
    assert done.returncode == 0, done.stderr
    assert "mine --bits 2.0" in done.stdout
    assert "2 records, seen by the script" in done.stdout
    records = [json.loads(line) for line in (script.parent / "out/mine/records.jsonl").read_text().splitlines()]
    assert [(r["branch"], r["snr_db"]) for r in records] == [("mine", "inf")] * 2
    assert all(r["bits_per_feature"] <= 2 for r in records)
    assert (script.parent / "out/mine/frames.png").is_file()


def test_its_help_shows_the_function_and_every_option(script: Path) -> None:
    done = run(script, "--help")
    assert done.returncode == 0
    for word in ("Send photographs over AWGN", "--branch", "--bits", "--monitor", "--out", "--seed", "out/mine"):
        assert word in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--bits", "99"], "--bits"),
        (["--set", "*.nothing=1"], "nothing"),
        (["--set", "air.snr_db=1"], "air"),
        (["--weights", "nowhere"], "nowhere"),
        (["--monitor", "loud"], "loud"),
        (["--control"], "--monitor"),
    ],
)
def test_what_is_wrong_with_a_line_is_one_message(script: Path, arguments: list[str], words: str) -> None:
    done = run(script, *arguments)
    assert done.returncode in (1, 2)
    assert words in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_a_pattern_sets_every_block_that_has_the_setting() -> None:
    graph = Flowgraph()
    for block in (NonUniformQuantizer(bits=3, scheme="fixed"), UniformQuantizer(bits=4), FadingChannel(), MetricSink()):
        graph.add(block)
    override(graph, ["*.bits=2.5", "*quantizer.weights=photo-c96"])
    assert [b.settings.bits for b in graph.blocks.values() if hasattr(b.settings, "bits")] == [2.5, 2.5]
    assert graph.blocks["non_uniform_quantizer"].settings.scheme == "fixed"  # type: ignore[attr-defined]
    with pytest.raises(SettingsError, match=r"no block '\*' has a setting 'bit'"):
        override(graph, ["*.bit=2"])


@pytest.mark.parametrize("text", ["-+inf", "++inf", "inf inf", "--nan"])
def test_a_number_of_two_signs_is_refused_in_words(text: str) -> None:
    graph = Flowgraph()
    graph.add(FadingChannel(snr_db=3))
    with pytest.raises(SettingsError, match="snr_db"):
        override(graph, [f"fading_channel.snr_db={text}"])
    override(graph, ["fading_channel.snr_db=+inf"])
    assert graph.blocks["fading_channel"].settings.snr_db == float("inf")  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", ["", "loud", "1,nan"])
def test_numbers_refuses_what_is_none(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="expected numbers"):
        numbers(text)
    assert numbers("1, 4 inf") == [1.0, 4.0, float("inf")]


@pytest.mark.parametrize("text", ["", "awgn,awgn", "awgn,steam"])
def test_names_takes_each_known_word_once(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="each once"):
        names(text, ("awgn", "rician"))
    assert names("rician awgn", ("awgn", "rician")) == ["rician", "awgn"]
