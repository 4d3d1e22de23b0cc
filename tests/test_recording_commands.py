"""``semstream record`` and ``semstream replay`` as a user runs them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from codec_fixtures import smooth_pictures
from PIL import Image

from semstream.runtime.frames.recording import RecordingReader

SCRIPT = """
from blocks import (ContributionClassifier, Dequantizer, FadingChannel, ImageSource, MetricSink, NonUniformQuantizer,
                    PowerNormalizer, SwinDecoder, SwinEncoder)
from semstream.runtime import Flowgraph


def flowgraph():
    graph = Flowgraph("link", seed=3)
    w = {"weights": "WEIGHTS"}
    source, sink = ImageSource(source="PICTURES"), MetricSink(lpips="off")
    graph.connect(source, SwinEncoder(**w), ContributionClassifier(**w), NonUniformQuantizer(**w), PowerNormalizer(**w),
                  FadingChannel(snr_db=7.0), Dequantizer(**w), SwinDecoder(**w), sink.reconstruction)
    graph.connect(source, sink.reference)
    return graph
"""


def semstream(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "semstream.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)


@pytest.fixture
def link(tmp_path: Path, weights: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    for i, picture in enumerate(smooth_pictures(3)):
        Image.fromarray(picture).save(tmp_path / "pictures" / f"{i}.png")
    script = tmp_path / "my_link.py"
    script.write_text(SCRIPT.replace("WEIGHTS", str(weights)).replace("PICTURES", str(tmp_path / "pictures")))
    return script


def test_an_edge_is_recorded_described_and_replayed_into_the_link(link: Path, tmp_path: Path) -> None:
    file = tmp_path / "symbols.rec"
    done = semstream("record", link, "--edge", "power_normalizer.symbols -> fading_channel.symbols", "--out", file)
    assert done.returncode == 0, done.stderr
    assert "wrote 3 frames" in done.stdout
    with RecordingReader(file) as reader:
        assert reader.port_type.name == "Symbols"
    described = semstream("replay", file)
    assert "3 frames of Symbols" in described.stdout
    assert re.search(r"frames 0 to 2", described.stdout)
    again = semstream("replay", file, link, "--edge", "power_normalizer.symbols", "--out", tmp_path / "again")
    assert again.returncode == 0, again.stderr
    straight = semstream("run", "--out", tmp_path / "straight", link)
    assert straight.returncode == 0, straight.stderr
    quality = [
        [json.loads(line)["psnr_db"] for line in (tmp_path / name / "records.jsonl").read_text().splitlines()]
        for name in ("again", "straight")
    ]
    assert len(quality[0]) == 3
    assert quality[0] == quality[1]


def test_what_the_user_can_mend_is_one_line(link: Path, tmp_path: Path) -> None:
    (tmp_path / "text.rec").write_text("no recording")
    cases = (
        (("record", link, "--edge", "nobody.x", "--out", tmp_path / "a.rec"), "no edge"),
        (("replay", tmp_path / "text.rec"), "no recording"),
    )
    for arguments, words in cases:
        done = semstream(*arguments)
        assert done.returncode == 2
        assert words in done.stderr
        assert "Traceback" not in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
